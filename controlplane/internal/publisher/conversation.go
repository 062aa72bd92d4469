package publisher

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// maxReason cuts what a node says of a refusal, in bytes.
const maxReason = 2000

// conversation is one stream with one node.
//
//	receive ──requests──▶ loop (owns the follower) ──updates──▶ send
//	                        │ latest only                 ▲
//	                        ├──▶ reporter ──▶ Book        │ part after part
//	                        ├──▶ record ──▶ Sessions ──▶ tell
//	                        │    bounded
//	                        ├──▶ asks ──▶ Shares ──▶ divide
//	                        └──▶ attached, with reporter ──▶ Locations ──▶ locate
//
// Only the loop touches the follower. It never blocks on the network or on the
// database, so it can always cut off a node that stopped reading.
type conversation struct {
	publisher *Publisher
	node      string
	id        string // makes nonces distinct between streams
	stream    syncv1.SyncService_SyncServer
	// end ends the stream with a reason; the first one counts.
	end context.CancelCauseFunc
	log *slog.Logger

	// endings are sessions that the node says have ended, and wait to be written
	// down. When it is full, they are dropped: the node says them again.
	endings chan []*syncv1.EndedSession

	// ahead has denials that go ahead of the next update: the latest, of which those
	// before are a part.
	ahead  chan *warning
	warned *snapshot.Set // that they are of

	follower follower
	report   *reporter
	attached *syncv1.Attached // what the node said last; nil: nothing
	// answered is the highest revision that the node acked or nacked on this
	// stream; the publisher's lock guards it.
	answered uint64
}

// warning is denials that go over the update under way, which is named by its nonce.
type warning struct {
	over    string
	denials *syncv1.Denials
}

// order is an update to be sent, and the denials of it that go first: its node has
// them before it begins to index the rest.
type order struct {
	update *syncv1.Update
	first  *syncv1.Denials // nil: none
}

// newStreamID returns a name for a stream.
func newStreamID() string { return rand.Text()[:8] }

// run serves the stream until ctx ends or the node leaves.
func (c *conversation) run(ctx context.Context) error {
	requests := make(chan *syncv1.SyncRequest)
	go c.receive(ctx, requests)
	hello, err := c.awaitHello(ctx, requests)
	if err != nil {
		return err
	}
	// One update is in flight at most, so one place is always free.
	updates, ended := make(chan order, 1), make(chan *syncv1.EndedSessions)
	shares, locations := make(chan *syncv1.Shares), make(chan *syncv1.Locations)
	c.ahead = make(chan *warning, 1)
	go c.send(ctx, updates, ended, shares, locations)
	defer c.locate(ctx, locations)()
	defer c.divide(ctx, shares)()
	defer c.sessions(ctx, ended)()

	c.report = newReporter(c.publisher.config.Book, c.node, c.publisher.config.Replica+"/"+c.id, c.log)
	c.greet(hello)
	defer c.report.close()
	return c.loop(ctx, requests, updates)
}

// greet takes the node's hello.
func (c *conversation) greet(hello *syncv1.Hello) {
	known, _ := c.publisher.state()
	c.follower.hello(hello, known)
	if c.follower.state == replicate {
		c.publisher.settle(c, c.follower.acked.revision)
	}
	if latest := known.latest(); hello.GetEpoch() == latest.Epoch() && hello.GetRevision() > latest.Revision() {
		c.publisher.config.Ahead(latest.Epoch(), hello.GetRevision())
	}
	c.log.Info("node connected", "version", clean(hello.GetVersion()), "revision", hello.GetRevision(), "state", c.follower.state)
	c.report.connected(hello, c.status())
}

// awaitHello returns the first message, which must be hello.
func (c *conversation) awaitHello(ctx context.Context, requests <-chan *syncv1.SyncRequest) (*syncv1.Hello, error) {
	select {
	case request := <-requests:
		if hello := request.GetHello(); hello != nil {
			return hello, nil
		}
		return nil, errSilent
	case <-time.After(helloTimeout):
		return nil, errSilent
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// loop answers what the node says and sends what changed, in that order.
func (c *conversation) loop(ctx context.Context, requests <-chan *syncv1.SyncRequest, updates chan<- order) error {
	heartbeat := time.NewTicker(Heartbeat)
	defer heartbeat.Stop()
	patience := time.NewTimer(AckTimeout)
	defer patience.Stop()
	for {
		// What the node has said comes before what it is told, but one message at
		// a time: a flood of them must not keep the rest of the loop from its turn.
		select {
		case request := <-requests:
			if err := c.answer(request); err != nil {
				return err
			}
		default:
		}
		known, changed := c.publisher.state()
		if update := c.follower.next(known, c.id); update != nil {
			first := c.first(known)
			snapshot.Sign(update, c.publisher.config.Key)
			c.publisher.metrics.sent(update)
			select {
			case unsent := <-c.ahead: // The update has them, and takes long.
				first = cmp.Or(first, unsent.denials)
			default:
			}
			updates <- order{update, first}
			patience.Reset(AckTimeout)
		}
		c.warn(known)
		select {
		case request := <-requests:
			if err := c.answer(request); err != nil {
				return err
			}
		case <-changed:
		case <-patience.C:
			if c.follower.waiting() {
				c.publisher.metrics.cut.Inc()
				return errSlow
			}
		case <-heartbeat.C:
			c.report.status(c.status())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// warn sends what is denied now and was not by the update under way, as soon as there
// is anything. A node takes as long for an update as it takes to index it, and nothing
// revoked waits for that. What goes ahead takes the place of what went before, so it
// has all that the node does not serve yet: also what the update under way denies.
func (c *conversation) warn(known *history) {
	latest := known.latest()
	if !c.follower.waiting() || latest == c.warned || markOf(latest) == c.follower.inFlight.to {
		return
	}
	c.warned = latest
	if fresh(latest, known.find(c.follower.inFlight.to)) == nil {
		return
	}
	denials := fresh(latest, known.find(c.follower.inFlight.to), known.find(c.follower.acked))
	select {
	case <-c.ahead: // What was not sent yet is a part of it.
	default:
	}
	c.ahead <- &warning{over: c.follower.inFlight.nonce, denials: denials}
}

// first returns what is denied by the update that is about to go and not by what the
// node serves; nil if that is nothing, or if the node was told already. A policy and a
// revocation are one update if they are made at once, and to index a policy takes long.
func (c *conversation) first(known *history) *syncv1.Denials {
	serves := known.find(c.follower.acked)
	if serves == nil || c.warned == known.latest() {
		return nil
	}
	return fresh(known.latest(), serves)
}

// fresh returns the denials of a set that not each of the earlier ones has, all of them
// if one of those is not known any more; nil if there are none.
func fresh(set *snapshot.Set, earlier ...*snapshot.Set) *syncv1.Denials {
	var denies []*snapshotv1.Deny
	for item := range set.Under(snapshot.DenyPrefix) {
		lacks := func(e *snapshot.Set) bool {
			key, err := snapshot.Key(item)
			if e == nil || err != nil {
				return true
			}
			// A peer that joined anew and is revoked again is denied anew.
			known, there := e.Get(key)
			return !there || !proto.Equal(known, item)
		}
		if slices.ContainsFunc(earlier, lacks) {
			denies = append(denies, item.GetDeny())
		}
	}
	if len(denies) == 0 {
		return nil
	}
	return &syncv1.Denials{Denies: denies}
}

// answer takes one message of the node.
func (c *conversation) answer(request *syncv1.SyncRequest) error {
	var what answer
	asked := c.follower.inFlight.to.revision
	switch kind := request.GetKind().(type) {
	case *syncv1.SyncRequest_Ack:
		what = c.follower.ack(kind.Ack.GetNonce())
	case *syncv1.SyncRequest_Nack:
		what = c.follower.nack(kind.Nack.GetNonce(), clean(kind.Nack.GetReason()))
	case *syncv1.SyncRequest_ServerChanged:
		c.publisher.config.ServerChanged(clean(kind.ServerChanged.GetServer()))
		return nil
	case *syncv1.SyncRequest_Demand:
		c.publisher.config.Shares.Report(c.node, kind.Demand)
		return nil
	case *syncv1.SyncRequest_Attached:
		if len(kind.Attached.GetAgents()) > maxAttached {
			return errManyAgents
		}
		c.attached = kind.Attached
		c.report.status(c.status())
		return nil
	case *syncv1.SyncRequest_EndedSessions:
		return c.takeEnded(kind.EndedSessions.GetSessions())
	case *syncv1.SyncRequest_Hello:
		return errTwoHellos
	default:
		return errUnknown
	}
	c.publisher.metrics.answered(what)
	if what == stale {
		return nil
	}
	c.publisher.settle(c, asked)
	if what == nacked {
		c.log.Error("node refused a snapshot; it serves on from its last good one",
			"refused", c.follower.refused.revision, "serves", c.follower.acked.revision, "reason", c.follower.reason)
	}
	c.report.status(c.status())
	return nil
}

// status is what the node's row says.
func (c *conversation) status() condition {
	return condition{revision: c.serving(), refusal: c.follower.reason, attached: c.attached}
}

// serving returns the revision that the node serves; 0 if that is one of another
// history.
func (c *conversation) serving() uint64 {
	if known, _ := c.publisher.state(); c.follower.acked.epoch != known.latest().Epoch() {
		return 0
	}
	return c.follower.acked.revision
}

// receive reads the stream until it breaks, and then ends it.
func (c *conversation) receive(ctx context.Context, requests chan<- *syncv1.SyncRequest) {
	for {
		request, err := c.stream.Recv()
		if err != nil {
			c.end(gone(err))
			return
		}
		select {
		case requests <- request:
		case <-ctx.Done():
			return
		}
	}
}

// send writes updates, ended sessions, shares and locations until ctx ends. A send that blocks is
// released when the handler returns, which the loop decides.
func (c *conversation) send(ctx context.Context, updates <-chan order, ended <-chan *syncv1.EndedSessions, shares <-chan *syncv1.Shares, locations <-chan *syncv1.Locations) {
	for sent := true; sent; {
		select {
		case next := <-updates:
			sent = c.sendUpdate(next, ended, nil)
		case sessions := <-ended:
			sent = c.say(&syncv1.SyncResponse{EndedSessions: sessions})
		case warning := <-c.ahead:
			sent = c.sendWarning(warning, updates, ended)
		case mine := <-shares:
			sent = c.say(&syncv1.SyncResponse{Shares: mine})
		case places := <-locations:
			sent = c.say(&syncv1.SyncResponse{Locations: places})
		case <-ctx.Done():
			return
		}
	}
}

// sendWarning writes denials, behind the update that they go over.
func (c *conversation) sendWarning(w *warning, updates <-chan order, ended <-chan *syncv1.EndedSessions) bool {
	select {
	case next := <-updates:
		if next.update.GetNonce() != w.over {
			next.first, w = cmp.Or(next.first, w.denials), nil // The update came later, and has them, and takes long.
		}
		return c.sendUpdate(next, ended, w)
	default:
		return c.say(&syncv1.SyncResponse{Denials: w.denials})
	}
}

// sendUpdate writes an update part by part, its new denials before it. Denials that go over it, such as those of
// a warning, and sessions that ended do not wait for the last one. It reports whether
// the stream goes on.
func (c *conversation) sendUpdate(next order, ended <-chan *syncv1.EndedSessions, w *warning) bool {
	if next.first != nil && !c.say(&syncv1.SyncResponse{Denials: next.first}) {
		return false
	}
	for message := range snapshot.Split(next.update) {
		if !c.say(message) {
			return false
		}
		select {
		case w = <-c.ahead:
		default:
		}
		if w != nil && !c.say(&syncv1.SyncResponse{Denials: w.denials}) {
			return false
		}
		w = nil
		select {
		case sessions := <-ended:
			if !c.say(&syncv1.SyncResponse{EndedSessions: sessions}) {
				return false
			}
		default:
		}
	}
	return true
}

// say writes one message, and ends the stream if that fails. It reports whether
// the stream goes on.
func (c *conversation) say(response *syncv1.SyncResponse) bool {
	err := c.stream.Send(response)
	if err != nil {
		c.end(gone(err))
	}
	return err == nil
}

// gone is the reason for the end of a stream that the node, or the network,
// ended.
func gone(err error) error {
	if errors.Is(err, io.EOF) {
		return fault.New(fault.Unavailable, "the node closed the stream")
	}
	return fault.Wrap(fault.Unavailable, "the stream to the node broke", err)
}
