package publisher

import (
	"bytes"
	"fmt"

	"github.com/warder-gateway/warder/internal/snapshot"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// state is what the next update to a node will be.
type state int

// The states; see the package's picture.
const (
	probe state = iota
	needSnapshot
	replicate
)

// String returns the state's name.
func (s state) String() string {
	return [...]string{"probe", "snapshot", "replicate"}[s]
}

// mark names one set: two sets with the same mark are the same.
type mark struct {
	epoch    string
	revision uint64
	digest   [32]byte
}

// markOf returns the mark of a set.
func markOf(set *snapshot.Set) mark {
	return mark{set.Epoch(), set.Revision(), set.Digest()}
}

// answer is what a node's message meant.
type answer int

// The three answers, and none is another.
const (
	acked answer = iota
	nacked
	stale
)

// follower is the record of one node's stream. It does no I/O, has no clock, and
// is used by one goroutine.
type follower struct {
	state state
	// acked is what the node said that it serves.
	// Invariant: in replicate, acked is a set of our epoch.
	acked mark
	// inFlight is the update that was sent and not answered; its nonce is empty
	// if there is none. Invariant: at most one.
	inFlight flight
	// refused is the last set that the node refused, and why; cleared by an ack.
	refused mark
	reason  string
	// sent counts updates, and makes nonces distinct within the stream.
	sent uint64
}

// flight is an update on its way.
type flight struct {
	nonce string
	to    mark
}

// hello takes what the node says it holds, and leaves probe.
func (f *follower) hello(hello *syncv1.Hello, known *history) {
	f.acked = mark{epoch: hello.GetEpoch(), revision: hello.GetRevision()}
	digestFits := copy(f.acked.digest[:], hello.GetDigest()) == len(f.acked.digest) &&
		bytes.Equal(f.acked.digest[:], hello.GetDigest())
	f.state = needSnapshot
	if digestFits && known.find(f.acked) != nil {
		f.state = replicate
	}
}

// next returns the update to send now, if any, and takes it as sent. The caller
// signs it.
func (f *follower) next(h *history, stream string) *syncv1.Update {
	latest := h.latest()
	if f.state == probe || latest == nil || f.inFlight.nonce != "" {
		return nil
	}
	to := markOf(latest)
	if f.refused == to || f.state == replicate && f.acked == to {
		return nil
	}
	var update *syncv1.Update
	if base := h.find(f.acked); f.state == replicate && base != nil && f.acked.epoch == to.epoch {
		update = snapshot.DeltaUpdate(base, latest)
	} else {
		f.state = needSnapshot
		update = snapshot.FullUpdate(latest)
	}
	f.sent++
	f.inFlight = flight{fmt.Sprintf("%s-%d", stream, f.sent), to}
	update.Nonce = f.inFlight.nonce
	return update
}

// ack takes that the node applied an update.
func (f *follower) ack(nonce string) answer {
	if nonce == "" || nonce != f.inFlight.nonce {
		return stale
	}
	f.acked, f.state = f.inFlight.to, replicate
	f.refused, f.reason = mark{}, ""
	f.inFlight = flight{}
	return acked
}

// nack takes that the node refused an update. What the node serves stays what it
// was, but our idea of it may be what was wrong, so the next update is whole.
func (f *follower) nack(nonce, reason string) answer {
	if nonce == "" || nonce != f.inFlight.nonce {
		return stale
	}
	f.refused, f.reason = f.inFlight.to, reason
	f.state = needSnapshot
	f.inFlight = flight{}
	return nacked
}

// waiting reports whether an answer of the node is due.
func (f *follower) waiting() bool { return f.inFlight.nonce != "" }
