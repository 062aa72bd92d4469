package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/header"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/seal"
)

// actor is who discovers in the background, in the audit.
const actor = "system"

// Config is what a Refresher is made of. Store, Keys, Discoverer and Log are
// required; durations of zero get their defaults.
type Config struct {
	Store *store.Store
	// Keys open the headers of servers.
	Keys       *seal.Vault
	Discoverer *Discoverer
	Log        *slog.Logger
	// Age is how long a server is left alone at most, whatever nodes say of it.
	Age time.Duration
	// Retry is how long a server that fails is left alone at first; later as long as
	// it has been failing, and never longer than Age.
	Retry time.Duration
	// Look is how often servers of that age are looked for; no less often than Age.
	Look time.Duration
	// Gather is how long a change that a node reports waits for more of them. A
	// change is to hold on every node within a second, so it is short.
	Gather time.Duration
	// Rest is how long a server that changed while it was discovered is left alone,
	// and at least as long as that took: a server that says all the time that it
	// changed has no more than half of the attention.
	Rest time.Duration
}

const (
	defaultAge    = 5 * time.Minute
	defaultRetry  = 10 * time.Second
	defaultLook   = 5 * time.Second
	defaultGather = 50 * time.Millisecond
	defaultRest   = 500 * time.Millisecond

	// maxChanged bounds the servers that wait; more than that are left to Age.
	maxChanged = 1_000
	// maxClaimed bounds what one replica takes at a time.
	maxClaimed = 32
	// atOnce bounds the discoveries in the background.
	atOnce = 4
)

// Refresher discovers saved servers again: when an administrator asks, when a
// node says that a server changed, and now and again. Replicas share the last:
// each server is taken by one of them. It is safe for concurrent use.
type Refresher struct {
	Config
	slots chan struct{} // one a discovery in the background

	mu      sync.Mutex
	changed map[string]time.Time // when to discover; zero while it runs
	again   map[string]bool      // changed while it ran
	rests   map[string]time.Time // until when a server that was discovered is left alone
	wake    chan struct{}
}

// NewRefresher returns a Refresher. Changed and what happens now and again need
// Run.
func NewRefresher(c Config) *Refresher {
	for _, d := range []struct {
		at    *time.Duration
		value time.Duration
	}{{&c.Age, defaultAge}, {&c.Retry, defaultRetry}, {&c.Look, defaultLook}, {&c.Gather, defaultGather}, {&c.Rest, defaultRest}} {
		if *d.at == 0 {
			*d.at = d.value
		}
	}
	c.Look = min(c.Look, c.Age)
	return &Refresher{
		Config: c, slots: make(chan struct{}, atOnce), changed: make(map[string]time.Time),
		again: make(map[string]bool), rests: make(map[string]time.Time), wake: make(chan struct{}, 1),
	}
}

// Target reads what discovery needs of a saved server; fault.NotFound if there is
// none.
func (r *Refresher) Target(ctx context.Context, name string) (Target, error) {
	return r.target(ctx, r.Store.Queries, name)
}

func (r *Refresher) target(ctx context.Context, q *db.Queries, name string) (Target, error) {
	row, err := q.GetServer(ctx, name)
	if err != nil {
		return Target{}, store.Missing(err, fmt.Sprintf("server %q", name))
	}
	headers, err := header.Open(r.Keys, name, row.HeadersSealed)
	if err != nil {
		return Target{}, err
	}
	target := Target{
		Name: row.Name, URL: row.URL, Private: row.Private, Headers: make(http.Header), CACertificates: row.CaCertificates,
		Agent: row.Agent, row: row.ID, command: row.Command, directory: row.Directory, environment: row.EnvironmentSealed,
	}
	for _, h := range headers {
		target.Headers.Add(h.GetName(), h.GetValue())
	}
	return target, nil
}

// Unmoved locks a saved server, and refuses what was found of a target that it is not
// any more, with fault.Conflict: it has another address by now, another agent or command,
// or other headers, or is another server of the same name. People would approve what the one before offers, and
// calls would go to the one of now.
func (r *Refresher) Unmoved(ctx context.Context, tx *store.Tx, found Target) error {
	if _, err := tx.LockServer(ctx, found.Name); err != nil {
		return store.Missing(err, fmt.Sprintf("server %q", found.Name))
	}
	now, err := r.target(ctx, tx.Queries, found.Name)
	if err != nil {
		return err
	}
	if now.row != found.row || now.URL != found.URL || now.Private != found.Private || now.CACertificates != found.CACertificates ||
		!maps.EqualFunc(now.Headers, found.Headers, slices.Equal) || now.Agent != found.Agent || !slices.Equal(now.command, found.command) ||
		now.directory != found.directory || !bytes.Equal(now.environment, found.environment) {
		return fault.Newf(fault.Conflict, "server %q was changed while it was discovered; refresh it again", found.Name)
	}
	return nil
}

// Changed says that what a server offers may be another now. The server is
// discovered soon: what is said of it in the meantime is covered, and a server
// that says it all the time is left to rest in between. It never blocks. Names
// that no server can have are ignored.
func (r *Refresher) Changed(server string) {
	if !mcp.ValidSlug(server) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at, waits := r.changed[server]
	switch {
	case waits && at.IsZero():
		r.again[server] = true
		return
	case waits:
		return
	case len(r.changed) >= maxChanged:
		r.Log.Warn("too many servers say that they changed; this one is looked at in its turn", "server", server)
		return
	}
	at = time.Now().Add(r.Gather)
	if rest := r.rests[server]; rest.After(at) {
		at = rest
	}
	r.changed[server] = at
	r.signal()
}

// signal wakes Run.
func (r *Refresher) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run discovers in the background until ctx ends and all of it has returned.
func (r *Refresher) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { r.keepAssessed(ctx) })
	look := time.NewTicker(r.Look)
	defer look.Stop()
	due := time.NewTimer(r.Look)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			r.claim(ctx)
		case <-due.C:
		case <-r.wake:
		}
		names, next := r.take(time.Now())
		for _, name := range names {
			running.Go(func() { r.discoverChanged(ctx, name) })
		}
		due.Reset(next)
	}
}

// take returns the servers whose time has come, and how long until the next.
func (r *Refresher) take(now time.Time) (names []string, next time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next = r.Look
	for name, at := range r.changed {
		switch {
		case at.IsZero():
		case at.After(now):
			next = min(next, at.Sub(now))
		default:
			r.changed[name] = time.Time{}
			names = append(names, name)
		}
	}
	maps.DeleteFunc(r.rests, func(_ string, until time.Time) bool { return !until.After(now) })
	return names, next
}

// claim takes the servers that nobody has looked at for long, and those that fail.
func (r *Refresher) claim(ctx context.Context) {
	names, err := r.Store.ClaimStaleServers(ctx, db.ClaimStaleServersParams{
		AgeSeconds: r.age().Seconds(), RetrySeconds: r.Retry.Seconds(), AtMost: maxClaimed,
		Agents: r.Discoverer.tunnels.Here(),
	})
	if err != nil && ctx.Err() == nil {
		r.Log.Warn("cannot look for servers to discover; tries again", "error", err)
	}
	for _, name := range names {
		r.Changed(name)
	}
}

// age is Age with a jitter, so that servers which were added together are not
// discovered together for ever.
func (r *Refresher) age() time.Duration {
	return r.Age + time.Duration(rand.Int64N(int64(r.Age)/10+1))
}

// discoverChanged discovers one server, and puts it back if it changed meanwhile.
func (r *Refresher) discoverChanged(ctx context.Context, name string) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	start := time.Now()
	err := r.background(ctx, name)
	<-r.slots
	if err != nil && ctx.Err() == nil && !fault.Is(err, fault.NotFound) {
		r.Log.InfoContext(ctx, "discovery in the background failed", "server", name, "error", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	rest := now.Add(max(r.Rest, now.Sub(start)))
	r.rests[name] = rest
	delete(r.changed, name)
	if r.again[name] {
		delete(r.again, name)
		r.changed[name] = rest
		r.signal()
	}
}

// errNoNews rolls back what found nothing new.
var errNoNews = errors.New("nothing new")

// Hasten leaves a server of an agent to the replica that the agent is attached to, at its next
// look. Nothing that people decide changes by it, so it is not audited.
func (r *Refresher) Hasten(ctx context.Context, name string) error {
	return r.Store.HastenServer(ctx, name)
}

// background discovers a server, and audits it only where there is news.
func (r *Refresher) background(ctx context.Context, name string) error {
	target, err := r.Target(ctx, name)
	if err != nil {
		return err
	}
	found, trouble := r.Discoverer.Discover(ctx, target)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(trouble, ErrAway) {
		return r.Hasten(ctx, name)
	}
	_, err = r.Store.Change(ctx, actor, func(tx *store.Tx) error {
		var news bool
		err := r.Unmoved(ctx, tx, target)
		if err != nil {
			return err
		}
		if trouble != nil {
			news, err = fail(ctx, tx, name, fault.Text(trouble))
		} else {
			_, news, err = recordNews(ctx, tx, name, found)
		}
		if err == nil && !news {
			err = errNoNews
		}
		return err
	})
	if fault.Is(err, fault.Conflict) {
		r.Changed(name) // As it is now.
		return err
	}
	if errors.Is(err, errNoNews) {
		err = nil
		if trouble == nil {
			err = r.Store.TouchServer(ctx, name)
		}
	}
	return errors.Join(trouble, err)
}
