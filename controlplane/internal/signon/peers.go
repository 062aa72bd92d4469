package signon

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/warder-gateway/warder/internal/fault"
)

const (
	// metadataLife is how long metadata is used before it is fetched again.
	metadataLife = time.Hour
	// metadataRest is how long it is used at most while it cannot be.
	metadataRest = 24 * time.Hour
	// retryPace is how long a failed fetch is not repeated, however many people
	// ask for it.
	retryPace = 10 * time.Second
)

// peers keeps the providers whose metadata was fetched. It holds one entry a name,
// MaxProviders at most; when it is full, the one that was fetched first makes room
// and is fetched again when somebody asks for it. It is safe for concurrent use.
type peers struct {
	now     func() time.Time
	flights singleflight.Group

	mu   sync.Mutex
	held map[string]*held
}

// held is what is known of one provider. It is immutable.
type held struct {
	provider Provider
	peer     *peer // nil: it was never reached
	fetched  time.Time
	tried    time.Time
	err      error // of the last try; nil if that succeeded
}

func newPeers(now func() time.Time) *peers { return &peers{now: now, held: make(map[string]*held)} }

// get returns the provider as it is known, or fetches its metadata. Of many who
// ask at once, one does. Other settings of the same name are another provider.
func (c *peers) get(ctx context.Context, p Provider) (*peer, error) {
	h := c.look(&p)
	if !h.fresh(c.now()) {
		result, _, _ := c.flights.Do(p.Name, func() (any, error) {
			// For all who wait, so not bound to the one who came first.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
			defer cancel()
			return c.fetch(ctx, p), nil
		})
		h = result.(*held)
	}
	switch {
	case !h.provider.same(&p):
		return nil, fault.New(fault.Conflict, "the provider was changed at this moment; try again")
	case h.usable(c.now()):
		return h.peer, nil
	}
	return nil, h.err
}

// look returns what is held of these very settings, or nil.
func (c *peers) look(p *Provider) *held {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.held[p.Name]; h != nil && h.provider.same(p) {
		return h
	}
	return nil
}

// fresh reports whether there is no need, or no leave, to ask the provider.
func (h *held) fresh(now time.Time) bool {
	if h == nil {
		return false
	}
	if h.err != nil {
		return now.Sub(h.tried) < retryPace
	}
	return now.Sub(h.fetched) < metadataLife
}

// usable reports whether people can sign in by what is held.
func (h *held) usable(now time.Time) bool { return h.peer != nil && now.Sub(h.fetched) < metadataRest }

// fetch asks the provider and keeps what came of it: what was known before stays
// in use if it fails.
func (c *peers) fetch(ctx context.Context, p Provider) *held {
	before := c.look(&p)
	if before.fresh(c.now()) {
		return before // Somebody else did in the meantime.
	}
	h := &held{provider: p, tried: c.now()}
	h.peer, h.err = discover(ctx, p, c.now)
	h.fetched = h.tried
	if h.err != nil {
		h.peer = nil
		if before != nil {
			h.peer, h.fetched = before.peer, before.fetched
		}
	}
	c.keep(h)
	return h
}

// keep takes the place of what was held of the name.
func (c *peers) keep(h *held) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.held[h.provider.Name]; !known && len(c.held) >= MaxProviders {
		oldest := h
		for _, other := range c.held {
			if other.tried.Before(oldest.tried) {
				oldest = other
			}
		}
		delete(c.held, oldest.provider.Name)
	}
	c.held[h.provider.Name] = h
}
