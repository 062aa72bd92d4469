package replica

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/turns"
	"github.com/warder-gateway/warder/internal/seal"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// Config is what a Replica is made of.
type Config[I any] struct {
	// Dir holds the snapshot and the pinned key. It must exist.
	Dir string
	// Seal seals the snapshot on disk: it holds hashes of keys, and credentials of servers.
	Seal *seal.Keyring
	// Build makes of a set what calls are served from. An error refuses the set. It must not keep the set from being
	// shared: sets are immutable. It calls breathe as turns.Run says.
	Build func(set *snapshot.Set, breathe func()) (*I, error)
	// Amend, if not nil, makes of an index that of the set which a delta leads to, where that takes much less than Build; nil
	// where it does not, and Build is called. An error refuses the set.
	Amend func(former *I, set *snapshot.Set, delta *syncv1.Delta) (*I, error)
	// Deny, if not nil, makes of an index one that denies more than its set: what comes ahead of an update.
	Deny func(former *I, denies []*snapshotv1.Deny, set *snapshot.Set) (*I, error)
	// Applied, if not nil, is told of each index after calls are served from it. It must not keep the follower waiting.
	Applied func(*I)
	// SessionEnded, if not nil, is told of each session that must not be served any more, wherever it was ended: when that
	// happens, and at each connection of all that have not expired. It must not keep the follower waiting.
	SessionEnded func(id [16]byte, expires time.Time)
	// Demand, if not nil, says each second what calls ask of limits; nil: nothing new. Shares, if not nil, is told which
	// parts of them the node has. Neither may keep the follower waiting.
	Demand func() *syncv1.Demand
	Shares func(*syncv1.Shares)
	// Attached, if not nil, says which agents have tunnels to the node; Locations, if not nil, is told where all are, and must
	// not change it. Neither may keep the follower waiting. Recalled, if not nil, is told by Load what Locations was last told
	// before the node was started.
	Attached            func() *syncv1.Attached
	Locations, Recalled func(*syncv1.Locations)
	// Dress, if not nil, makes of each index what serves in its place: with what the node knows that is in no snapshot. It is
	// called with a lock held, and must be quick.
	Dress func(*I) *I
	// Version and Address are told to the control plane, for people to read, and TunnelAddress, for agents and other nodes
	// to dial; empty: the node has no part in tunnels.
	Version, Address, TunnelAddress string
	// Log gets refused updates and files. Default: nowhere.
	Log *slog.Logger
}

// Replica holds the current snapshot in the form that calls use. Its methods may be used from many goroutines at once, but
// one of Load and Follow runs at a time.
type Replica[I any] struct {
	config  Config[I]
	current atomic.Pointer[state[I]]
	ahead   ahead
	outbox  *outbox
	turns   *turns.Turns  // receiving, applying and writing take turns with calls
	drains  chan struct{} // closed by Drain
	drain   func()

	// following is held by whoever changes the state.
	following sync.Mutex
	pinned    ed25519.PublicKey // nil before the first contact
	places    *syncv1.Locations // what is kept on disk, or will be
}

// state is one applied snapshot. It is immutable.
type state[I any] struct {
	set   *snapshot.Set
	index *I
	// signature is that of epoch, revision and digest: it holds for the set whichever way it was reached.
	signature []byte
}

// New returns a replica that holds nothing.
func New[I any](config Config[I]) *Replica[I] {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	drains := make(chan struct{})
	return &Replica[I]{
		config: config, outbox: newOutbox(config.Log), turns: turns.New(),
		drains: drains, drain: sync.OnceFunc(func() { close(drains) }),
	}
}

// ErrDrains is why a Follow ends that has not said that the node leaves: the next one says so in its hello, and may be called
// at once.
var ErrDrains = errors.New("the node leaves, and says so in another hello")

// Drain has the control plane told that the node leaves. What is current stays, and is followed as before.
func (r *Replica[I]) Drain() { r.drain() }

// Current returns what calls are served from, or nil before the first snapshot. It is one atomic load.
func (r *Replica[I]) Current() *I {
	if s := r.current.Load(); s != nil {
		return s.index
	}
	return nil
}

// Set returns the current set, or nil before the first snapshot.
func (r *Replica[I]) Set() *snapshot.Set {
	if s := r.current.Load(); s != nil {
		return s.set
	}
	return nil
}

// Revision returns that of the current snapshot, 0 before the first.
func (r *Replica[I]) Revision() uint64 {
	if s := r.current.Load(); s != nil {
		return s.set.Revision()
	}
	return 0
}

// apply verifies an update by a key, applies it to what is held, builds it and makes it current. On any error what is
// held stays current. The caller holds following.
//
// Number is that of the update among those received.
func (r *Replica[I]) apply(update *syncv1.Update, number uint64, key ed25519.PublicKey, breathe func()) (*state[I], error) {
	if err := snapshot.Verify(update, key); err != nil {
		return nil, err
	}
	set, err := r.Set().ApplySlowly(update, breathe)
	if err != nil {
		return nil, err
	}
	index, err := r.index(set, update.GetDelta(), breathe)
	if err != nil {
		return nil, fmt.Errorf("build revision %d: %w", set.Revision(), err)
	}
	next := &state[I]{set: set, index: index, signature: update.GetSignature()}
	index = r.put(next, number)
	if r.config.Applied != nil {
		r.config.Applied(index)
	}
	return next, nil
}

// index makes the index of a set: of the current one, if a small delta leads there, or anew. A panic refuses the set,
// because otherwise one snapshot could end every node at once, and again whenever it starts.
func (r *Replica[I]) index(set *snapshot.Set, delta *syncv1.Delta, breathe func()) (index *I, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			r.config.Log.Error("building a snapshot panicked; it is refused", "revision", set.Revision(), "panic", cause, "stack", string(debug.Stack()))
			index, err = nil, fmt.Errorf("panic: %v", cause)
		}
	}()
	if former := r.Current(); delta != nil && former != nil && r.config.Amend != nil {
		if index, err = r.config.Amend(former, set, delta); index != nil || err != nil {
			return index, err
		}
	}
	index, err = r.config.Build(set, breathe)
	if err == nil && index == nil {
		return nil, errors.New("nothing was built")
	}
	return index, err
}
