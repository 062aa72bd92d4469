package token

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/internal/egress"
)

// Times of a source. Together with coalescing they bound what tokens can make a
// node ask of an issuer (T-16).
const (
	// minInterval is between the beginnings of two fetches, whoever asks.
	minInterval = 15 * time.Second
	// refreshInterval is how often keys are fetched unasked.
	refreshInterval = 10 * time.Minute
	// maxRetry bounds how long it takes to ask an issuer again that failed.
	maxRetry     = 5 * time.Minute
	fetchTimeout = 5 * time.Second
	// maxWait is how long a request may wait for a fetch.
	maxWait = 2 * time.Second
)

// Bounds of a source.
const (
	maxJWKS    = 256 << 10 // bytes
	maxWaiters = 64        // requests; those beyond do not wait
)

// source is the JWKS of an issuer. Its keys are read without a lock.
type source struct {
	keeper  *Keeper
	from    origin
	client  *http.Client
	current atomic.Pointer[keySet] // nil until the first fetch succeeded
	wanted  chan struct{}          // one slot: somebody waits
	stop    context.CancelFunc

	mu      sync.Mutex
	began   time.Time // of the last fetch; zero before the first
	busy    bool      // it is under way
	round   chan struct{}
	waiting int
}

func newSource(k *Keeper, from origin) *source {
	var authorities *x509.CertPool
	if from.authorities != "" {
		authorities = x509.NewCertPool()
		authorities.AppendCertsFromPEM([]byte(from.authorities)) // NewIssuer has tried it.
	}
	client, transport := egress.NewClient(from.private, authorities)
	transport.DisableKeepAlives = true // minutes lie between two fetches
	s := &source{keeper: k, from: from, client: client, wanted: make(chan struct{}, 1), round: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	k.running.Go(func() { s.run(ctx) })
	return s
}

// run fetches until ctx ends: at once, then from time to time, and sooner if
// somebody waits.
func (s *source) run(ctx context.Context) {
	retry := minInterval
	for ctx.Err() == nil {
		err := s.turn(ctx)
		next := refreshInterval
		if err != nil && ctx.Err() == nil {
			next, retry = retry, min(2*retry, maxRetry)
			s.keeper.log.Warn("the keys of an issuer cannot be fetched; those that were fetched before stay in force",
				"url", s.from.url, "error", err, "retry_in", next)
		} else {
			retry = minInterval
		}
		s.sleep(ctx, next)
	}
}

// sleep waits until the next fetch is due. Who waits makes it due as soon as
// minInterval is over.
func (s *source) sleep(ctx context.Context, next time.Duration) {
	due := time.NewTimer(next)
	defer due.Stop()
	select {
	case <-ctx.Done():
	case <-due.C:
	case <-s.wanted:
	}
}

// turn is one fetch. When it is over, those who waited for it go on.
func (s *source) turn(ctx context.Context) error {
	s.mu.Lock()
	s.began, s.busy = s.keeper.now(), true
	s.mu.Unlock()
	set, err := s.fetch(ctx)
	if err == nil {
		s.current.Store(set)
	}
	s.keeper.fetched(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	select {
	case <-s.wanted: // This fetch was what they wanted.
	default:
	}
	close(s.round)
	s.round = make(chan struct{})
	return err
}

func (s *source) fetch(ctx context.Context) (*keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.from.url, nil)
	if err != nil {
		return nil, errors.New("the URL cannot be read")
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch keys: the answer has status %d", response.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxJWKS+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read keys: %w", err)
	case len(raw) > maxJWKS:
		return nil, fmt.Errorf("read keys: the answer has more than %d bytes", maxJWKS)
	}
	return parseKeys(raw)
}

// await waits for a fetch that is under way or may begin, and reports whether there
// was one. It does not wait where the last fetch began less than minInterval ago
// and is over, nor where as many wait as may.
func (s *source) await(ctx context.Context) bool {
	round, ok := s.join()
	if !ok {
		return false
	}
	defer s.leave()
	timeout := time.NewTimer(maxWait)
	defer timeout.Stop()
	select {
	case <-round:
		return true
	case <-timeout.C:
	case <-ctx.Done():
	}
	return false
}

func (s *source) join() (round <-chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	idle := !s.busy && !s.began.IsZero()
	if s.waiting >= maxWaiters || idle && s.keeper.now().Sub(s.began) < minInterval {
		return nil, false
	}
	s.waiting++
	if idle {
		select {
		case s.wanted <- struct{}{}:
		default: // It is asked for already.
		}
	}
	return s.round, true
}

func (s *source) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
}
