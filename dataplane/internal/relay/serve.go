package relay

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/warder-gateway/warder/internal/budget"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

const (
	// maxBody bounds the body of a request, in bytes: the call of a client, of which nodes let in less, and what an errand has
	// around it.
	maxBody = 32 << 20
	// allBodies bounds those of all requests together, if Config.Bodies does not say otherwise.
	allBodies = 256 << 20
	// piece is how much of an answer is passed on at a time.
	piece = 32 << 10
	// maxLines is how many lines a node may have here: one, and those that are retired and finish what runs. One more is
	// refused.
	maxLines = 8
)

// served is the line of another node to this one.
type served struct {
	relay  *Relay
	node   string
	issued time.Time // the certificate of the node
	end    context.CancelCauseFunc
	bodies *budget.Budget // of requests of the node, over whichever of its lines
	tunnel *tunnel.Tunnel
}

// Serve is the RelayService: it serves another node until its line ends. The peer is in the context, as identity.Admission
// puts it there.
func (r *Relay) Serve(stream grpc.BidiStreamingServer[tunnelv1.Frames, tunnelv1.Frames]) error {
	peer, err := identity.FromContext(stream.Context())
	switch {
	case err != nil:
		return fault.GRPC(err)
	case peer.Kind != identity.Node:
		return status.Error(codes.PermissionDenied, "only nodes relay here")
	}
	ctx, end := context.WithCancelCause(stream.Context())
	defer end(nil)
	s := &served{relay: r, node: peer.Name, issued: identity.Issued(stream.Context()), end: end}
	if err := r.takeUp(s, stream); err != nil {
		return err
	}
	defer r.letGo(s)
	err = s.tunnel.Run(ctx)
	if errors.Is(err, tunnel.ErrRule) || errors.Is(err, tunnel.ErrRevision) {
		r.config.Log.Warn("the line of another node ended", "node", peer.Name, "reason", err)
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return status.Error(codes.Unavailable, "the line ended")
}

// takeUp takes up a line over conn, if its node may have one.
func (r *Relay) takeUp(s *served, conn tunnel.Conn) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, void := r.barred.Cover(s.node, s.issued); void {
		r.config.Log.Warn("a denied node wants to relay", "node", s.node)
		return status.Error(codes.PermissionDenied, errBarred.Error())
	}
	if r.over || r.draining {
		return status.Error(codes.Unavailable, errOver.Error())
	}
	lines := 0
	for other := range r.serving {
		if other.node == s.node {
			lines++
			s.bodies = other.bodies
		}
	}
	if lines >= maxLines {
		return status.Error(codes.ResourceExhausted, "the node has too many lines to this one")
	}
	if s.bodies == nil {
		s.bodies = r.bodies.Share(r.config.Bodies / 2)
	}
	s.tunnel = tunnel.New(conn, tunnel.Config{Version: r.config.Version, Log: r.config.Log, Handler: s, Bodies: s.bodies})
	r.serving[s] = struct{}{}
	return nil
}

func (r *Relay) letGo(s *served) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.serving, s)
	r.desert()
}

// Serve implements tunnel.Handler: a call is made by a tunnel that is here, and its answer passed on as it comes; an errand is
// this node's own.
func (s *served) Serve(ctx context.Context, in *tunnel.Incoming, w tunnel.Answer) {
	switch {
	case in.Errand != "" && s.relay.config.Errand == nil:
		w.Reset(tunnelv1.ResetCode_RESET_CODE_REFUSED, "no errands are taken here")
		return
	case in.Errand == "" && s.relay.leaves():
		w.Reset(tunnelv1.ResetCode_RESET_CODE_REFUSED, "the node is going down")
		return
	}
	body, err := in.ReadAll(maxBody)
	switch {
	case errors.Is(err, budget.ErrFull):
		s.relay.metrics.full.Inc()
		w.Reset(tunnelv1.ResetCode_RESET_CODE_REFUSED, "the node holds as many bytes of requests as it may")
	case err != nil:
		w.Reset(tunnelv1.ResetCode_RESET_CODE_REFUSED, "the request did not come")
	case in.Errand != "":
		s.relay.config.Errand(ctx, s.node, in.Errand, body, w)
	default:
		s.call(ctx, in, body, w)
	}
}

// call makes the call of another node.
func (s *served) call(ctx context.Context, in *tunnel.Incoming, body []byte, w tunnel.Answer) {
	response, err := s.relay.config.Local(ctx, &tunnel.Request{
		Server: in.Server, Agent: in.Agent, Caller: in.Caller, Method: in.Method, Header: in.Header, Body: body,
	})
	if err != nil {
		reset(w, err)
		return
	}
	defer response.Body.Close()
	if err := pass(w, response); err != nil {
		w.Reset(tunnelv1.ResetCode_RESET_CODE_FAILED, "the answer is not complete")
	}
}

// reset tells the other node why there is no answer, and whether it may look elsewhere.
func reset(w tunnel.Answer, err error) {
	code := tunnelv1.ResetCode_RESET_CODE_FAILED
	if failed, ok := errors.AsType[*tunnel.Error](err); ok && !failed.Sent {
		code = tunnelv1.ResetCode_RESET_CODE_REFUSED
	}
	w.Reset(code, "the agent's tunnel gave no answer")
}

// pieces are buffers for what is passed on.
var pieces = sync.Pool{New: func() any { return new([piece]byte) }}

// pass passes an answer on: in one step, if it is there as a whole and small.
func pass(w tunnel.Answer, response *tunnel.Response) error {
	buffer := pieces.Get().(*[piece]byte)
	defer pieces.Put(buffer)
	if length := response.ContentLength; length >= 0 && length <= piece {
		if _, err := io.ReadFull(response.Body, buffer[:length]); err != nil {
			return err
		}
		return w.Reply(response.Status, response.Header, buffer[:length])
	}
	if err := w.Head(response.Status, response.Header); err != nil {
		return err
	}
	for {
		n, err := response.Body.Read(buffer[:])
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
