package token

import (
	"cmp"
	"context"
	"crypto/sha256"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is what a Keeper needs. Every field may be zero.
type Config struct {
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Keeper verifies tokens. It holds the keys of issuers and remembers verdicts. It
// is safe for concurrent use.
type Keeper struct {
	log      *slog.Logger
	now      func() time.Time
	verdicts verdicts
	fetches  *prometheus.CounterVec
	running  sync.WaitGroup // the sources

	mu      sync.Mutex // of those who change sources
	closed  bool
	sources atomic.Pointer[map[origin]*source]
}

// NewKeeper returns a keeper that knows no issuer.
func NewKeeper(c Config) *Keeper {
	k := &Keeper{log: c.Log, now: c.Now}
	if k.now == nil {
		k.now = time.Now
	}
	k.log = cmp.Or(k.log, slog.New(slog.DiscardHandler))
	k.sources.Store(&map[origin]*source{})
	k.fetches = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "warder_issuer_keys_fetches_total",
		Help: "Fetches of the keys of issuers, by whether they succeeded.",
	}, []string{"result"})
	if c.Registerer != nil {
		c.Registerer.MustRegister(k.fetches)
	}
	return k
}

func (k *Keeper) fetched(err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	k.fetches.WithLabelValues(result).Inc()
}

// Add begins to fetch the keys of issuers that are new, before the snapshot that
// brings them is in force.
func (k *Keeper) Add(all *Issuers) { k.change(all, false) }

// Retain also lets go of the keys of all other issuers: their URLs are not fetched
// any more.
func (k *Keeper) Retain(all *Issuers) { k.change(all, true) }

// Close stops all fetches and waits for them to end.
func (k *Keeper) Close() {
	k.Retain(nil)
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.running.Wait()
}

func (k *Keeper) change(all *Issuers, only bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	before, after := *k.sources.Load(), make(map[origin]*source)
	for _, i := range all.Sorted() {
		if after[i.from] == nil {
			after[i.from] = before[i.from]
		}
		if after[i.from] == nil {
			after[i.from] = newSource(k, i.from)
		}
	}
	for from, s := range before {
		if after[from] != nil {
			continue
		}
		if only {
			s.stop()
		} else {
			after[from] = s
		}
	}
	k.sources.Store(&after)
}

// keysOf returns the source of an issuer's keys; nil if they are not kept.
func (k *Keeper) keysOf(i *Issuer) *source { return (*k.sources.Load())[i.from] }

// Endpoint is what a request is for: the node's URL as clients know it, and the
// path.
type Endpoint struct {
	// Base is scheme://host[:port]; empty if it is not known.
	Base string
	Path string
}

// is reports whether a URL is that of the endpoint, exactly.
func (e Endpoint) is(url string) bool {
	n := len(e.Base)
	return n > 0 && len(url) == n+len(e.Path) && url[:n] == e.Base && url[n:] == e.Path
}

// Verify returns the token that the text is, or why it is not accepted at the
// endpoint. Exactly one of the two is nil. What was verified before costs a
// look-up. Of a key that is not known, it may wait for one fetch, until ctx ends.
func (k *Keeper) Verify(ctx context.Context, all *Issuers, text string, at Endpoint) (*Token, *Refusal) {
	now := k.now()
	var room [2048]byte // Most tokens fit, and need no memory of their own.
	digest := sha256.Sum256(append(room[:0], text...))
	t, refusal := k.recall(all, digest, now)
	if t == nil && refusal == nil {
		t, refusal = k.verify(ctx, all, text, digest, now)
	}
	if refusal != nil {
		return nil, refusal
	}
	issuer := all.same(t)
	switch {
	case issuer == nil:
		return nil, errIssuer
	case !t.isFor(issuer, at):
		return nil, errAudience
	case !t.suffices(issuer):
		return nil, &Refusal{Reason: ReasonScope, Text: "The token lacks a scope that is needed here.", Scopes: issuer.Item.GetScopes()}
	}
	return t, nil
}

// recall returns the verdict on a text that was verified before, if it still holds.
func (k *Keeper) recall(all *Issuers, digest [sha256.Size]byte, now time.Time) (*Token, *Refusal) {
	v := k.verdicts.get(digest)
	switch {
	case v == nil:
		return nil, nil
	case v.token == nil:
		if now.Before(v.until) && v.holds(k, all) {
			return nil, v.refusal
		}
		return nil, nil
	case !k.Holds(all, v.token, now):
		return nil, nil
	}
	return v.token, nil
}

// Holds reports whether a token that was verified before would be again: it has
// not expired, its issuer is in the table just as it was, and still publishes the
// key.
func (k *Keeper) Holds(all *Issuers, t *Token, now time.Time) bool {
	issuer := all.same(t)
	if issuer == nil || !now.Before(t.Expires) {
		return false
	}
	s := k.keysOf(issuer)
	if s == nil {
		return false
	}
	set := s.current.Load()
	if t.kept.keys.Load() == set {
		return true
	}
	if set == nil || !set.prints[t.kept.key] {
		return false
	}
	t.kept.keys.Store(set)
	return true
}

// verify works a verdict out, cheap questions first, and remembers it.
func (k *Keeper) verify(ctx context.Context, all *Issuers, text string, digest [sha256.Size]byte, now time.Time) (*Token, *Refusal) {
	c, refusal := parse(text)
	if refusal != nil {
		return nil, refusal
	}
	issuer, a, refusal := all.choose(c)
	if refusal != nil {
		return nil, refusal
	}
	t, refusal := readClaims(issuer, c.claims, now)
	if refusal != nil {
		return nil, refusal
	}
	set, keys := k.find(ctx, issuer, c.header, a)
	switch {
	case set == nil:
		return nil, errNoKeys
	case len(keys) == 0:
		return nil, errKey
	}
	signer := c.signer(keys, a)
	if signer == nil {
		k.verdicts.put(digest, &verdict{refusal: errSignature, until: now.Add(maxNegative), issuer: issuer, keys: set})
		return nil, errSignature
	}
	t.kept.key = signer.print
	t.kept.keys.Store(set)
	k.verdicts.put(digest, &verdict{token: t})
	return t, nil
}

// choose finds the issuer that a token names, by exact look-up, and the algorithm
// among those that this issuer may use.
func (all *Issuers) choose(c *compact) (*Issuer, algorithm, *Refusal) {
	url, ok := c.claims.text("iss")
	if !ok || all == nil || all.byURL[url] == nil {
		return nil, algorithm{}, errIssuer
	}
	issuer := all.byURL[url]
	a, ok := issuer.algorithms[c.header.algorithm]
	if !ok {
		return nil, a, errAlgorithm
	}
	return issuer, a, nil
}

// find returns the issuer's keys, nil if they were never fetched, and those of them
// that may have signed. For a key that is not known, it waits for one fetch.
func (k *Keeper) find(ctx context.Context, i *Issuer, h header, a algorithm) (*keySet, []*key) {
	s := k.keysOf(i)
	if s == nil {
		return nil, nil
	}
	set := s.current.Load()
	if set != nil {
		if keys := set.find(h, a); len(keys) > 0 {
			return set, keys
		}
	}
	if s.await(ctx) {
		set = s.current.Load()
	}
	if set == nil {
		return nil, nil
	}
	return set, set.find(h, a)
}

// isFor reports whether the token is meant for the endpoint: for one of the
// audiences that people named, or else for the endpoint itself (RFC 8707).
func (t *Token) isFor(i *Issuer, at Endpoint) bool {
	named := i.Item.GetAudiences()
	for _, audience := range t.audiences {
		if len(named) == 0 && at.is(audience) || slices.Contains(named, audience) {
			return true
		}
	}
	return false
}

// suffices reports whether the token has the scopes that the issuer's clients are
// told to ask for.
func (t *Token) suffices(i *Issuer) bool {
	for _, scope := range i.Item.GetScopes() {
		if !slices.Contains(t.scopes, scope) {
			return false
		}
	}
	return true
}
