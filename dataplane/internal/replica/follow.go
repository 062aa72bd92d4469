package replica

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/warder-gateway/warder/internal/snapshot"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// stream is the node's side of a sync.
type stream = grpc.BidiStreamingClient[syncv1.SyncRequest, syncv1.SyncResponse]

// Follow opens one stream, says what is held, and applies what comes, until the stream or ctx ends. It returns always
// with an error; the caller waits a moment and calls again. What is current stays current meanwhile. It returns when the
// last good snapshot is on disk. One Follow runs at a time.
func (r *Replica[I]) Follow(ctx context.Context, client syncv1.SyncServiceClient) error {
	if !r.following.TryLock() {
		return errors.New("follow: another follow or a load is running")
	}
	defer r.following.Unlock()
	if err := r.loadPin(); err != nil {
		return fmt.Errorf("follow: %w", err)
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Sync(ctx, grpc.MaxCallRecvMsgSize(snapshot.MaxUpdate))
	if err != nil {
		return fmt.Errorf("follow: open stream: %w", err)
	}
	hello := r.hello()
	if err := stream.Send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Hello{Hello: hello}}); err != nil {
		return fmt.Errorf("follow: %w", broken(stream, err))
	}
	drains := r.drains
	if hello.GetDraining() {
		drains = nil
	}
	return fmt.Errorf("follow: %w", r.converse(ctx, cancel, stream, drains))
}

// converse hears and speaks until the stream ends, or drains is closed, and returns why it did.
func (r *Replica[I]) converse(ctx context.Context, cancel context.CancelFunc, stream stream, drains <-chan struct{}) error {
	answers, silent := make(chan *syncv1.SyncRequest), make(chan struct{})
	var failed error
	go func() {
		defer close(silent)
		if err := r.speak(ctx, stream, answers, drains); !errors.Is(err, io.EOF) { // Of a stream that broke, Recv says why.
			failed = err
			cancel()
		}
	}()
	err := r.listen(stream, answers, silent)
	cancel()
	<-silent
	if failed != nil {
		return failed
	}
	return err
}

// listen takes what comes, until the stream ends. After silent nobody takes answers any more. Updates are applied beside,
// one after another, so that what must not wait for them is heard.
func (r *Replica[I]) listen(stream stream, answers chan<- *syncv1.SyncRequest, silent <-chan struct{}) error {
	places := r.startPlacesWriter()
	defer places.close()
	updates, applied := make(chan arrival), make(chan struct{})
	go func() {
		defer close(applied)
		r.applyAll(updates, answers, silent)
	}()
	defer func() {
		close(updates)
		<-applied
	}()
	var coming incoming
	for {
		response, err := stream.Recv()
		if err != nil {
			return ended(err)
		}
		r.hear(response.GetEndedSessions())
		if shares := response.GetShares(); shares != nil && r.config.Shares != nil {
			r.config.Shares(shares)
		}
		r.locate(response.GetLocations(), places)
		r.warn(response.GetDenials())
		if part := response.GetPart(); part != nil {
			r.turns.Run(func(breathe func()) {
				coming.add(part, &r.ahead)
				breathe()
			})
			continue
		}
		if response.GetUpdate() == nil && besides(response) {
			continue
		}
		// A control plane sends an update when the last one is answered; one that does not is heard no further until then.
		updates <- coming.complete(response.GetUpdate(), &r.ahead)
	}
}

// besides reports whether a message has something else than an update.
func besides(m *syncv1.SyncResponse) bool {
	return m.GetEndedSessions() != nil || m.GetShares() != nil || m.GetDenials() != nil || m.GetLocations() != nil
}

// arrival is an update, its number among those received, and why it must not be applied, if so.
type arrival struct {
	update *syncv1.Update
	number uint64
	flaw   error
}

// incoming is an update of which parts came. Its number is that of the first part: denials that come between the parts go
// over it.
type incoming struct {
	parts  snapshot.Parts
	nonce  string // "": no part came
	number uint64
}

func (i *incoming) add(part *syncv1.Part, a *ahead) {
	if i.nonce == "" || i.nonce != part.GetNonce() {
		i.nonce, i.number = part.GetNonce(), a.arrived()
	}
	i.parts.Add(part)
}

// complete returns the update with its parts.
func (i *incoming) complete(update *syncv1.Update, a *ahead) arrival {
	number := i.number
	if i.nonce == "" || i.nonce != update.GetNonce() {
		number = a.arrived()
	}
	i.nonce = ""
	return arrival{update, number, i.parts.Complete(update)}
}

// applyAll applies updates and answers them.
func (r *Replica[I]) applyAll(updates <-chan arrival, answers chan<- *syncv1.SyncRequest, silent <-chan struct{}) {
	writer := r.startSnapshotWriter()
	defer writer.close()
	for next := range updates {
		select {
		case answers <- r.answer(next, writer):
		case <-silent:
		}
	}
}

// hello says what is held, so that a delta can go on from there.
func (r *Replica[I]) hello() *syncv1.Hello {
	hello := &syncv1.Hello{Version: r.config.Version, Address: r.config.Address, TunnelAddress: r.config.TunnelAddress}
	select {
	case <-r.drains:
		hello.Draining = true
	default:
	}
	if set := r.Set(); set != nil {
		digest := set.Digest()
		hello.Epoch, hello.Revision, hello.Digest = set.Epoch(), set.Revision(), digest[:]
	}
	return hello
}

// answer applies one update and says how that went.
func (r *Replica[I]) answer(arrived arrival, writer *writer) *syncv1.SyncRequest {
	update := arrived.update
	var next *state[I]
	err := arrived.flaw
	if err == nil {
		r.turns.Run(func(breathe func()) { next, err = r.receive(arrived, breathe) })
	}
	if err != nil {
		r.config.Log.Error("an update of the snapshot is refused; the last good one serves on",
			"revision", update.GetRevision(), "serving", r.Revision(), "reason", err)
		return nack(update.GetNonce(), err)
	}
	pinned := r.pinned
	writer.put(func(file io.Writer, breathe func()) error { return r.encode(file, next, pinned, breathe) })
	r.config.Log.Info("snapshot applied", "revision", next.set.Revision(), "items", next.set.Len())
	return &syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Ack{Ack: &syncv1.Ack{Nonce: update.GetNonce(), Revision: next.set.Revision()}}}
}

// receive applies an update of the control plane. At the first contact the key that the update names is pinned, once it
// has proved to be the one that signed.
func (r *Replica[I]) receive(arrived arrival, breathe func()) (*state[I], error) {
	update := arrived.update
	if update.GetNonce() == "" {
		return nil, errors.New("the update has no nonce, so no answer could name it")
	}
	if r.pinned != nil {
		return r.apply(update, arrived.number, r.pinned, breathe)
	}
	key := ed25519.PublicKey(update.GetPublicKey())
	next, err := r.apply(update, arrived.number, key, breathe)
	if err != nil {
		return nil, err
	}
	// The set is good and serves even if its key cannot be written down; the next start will tell.
	r.pinned = key
	if err := r.savePin(); err != nil {
		r.config.Log.Error("the key of the control plane is pinned in memory only", "error", err)
	}
	return next, nil
}

func nack(nonce string, reason error) *syncv1.SyncRequest {
	return &syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Nack{Nack: &syncv1.Nack{Nonce: nonce, Reason: reason.Error()}}}
}

// broken returns why a stream broke on which Send failed: Send itself says only that it did.
func broken(stream stream, err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	_, err = stream.Recv()
	return ended(err)
}

// ended says in words that the control plane closed the stream.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the control plane closed the stream")
	}
	return err
}
