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

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

const (
	// maxBody bounds the body of a request, in bytes. Nodes let in less.
	maxBody = 32 << 20
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
	s.tunnel = tunnel.New(stream, tunnel.Config{Version: r.config.Version, Log: r.config.Log, Handler: s})
	if err := r.takeUp(s); err != nil {
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

// takeUp takes up a line, if its node may have one.
func (r *Relay) takeUp(s *served) error {
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
		}
	}
	if lines >= maxLines {
		return status.Error(codes.ResourceExhausted, "the node has too many lines to this one")
	}
	r.serving[s] = struct{}{}
	return nil
}

func (r *Relay) letGo(s *served) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.serving, s)
	r.desert()
}

// Serve implements tunnel.Handler: the request is made by a tunnel that is here, and its answer passed on as it comes.
func (s *served) Serve(ctx context.Context, in *tunnel.Incoming, w tunnel.Answer) {
	if in.Errand != "" {
		s.errand(ctx, in, w)
		return
	}
	if s.relay.leaves() {
		w.Reset(tunnelv1.ResetCode_RESET_CODE_REFUSED, "the node is going down")
		return
	}
	body, err := in.ReadAll(maxBody)
	if err != nil {
		w.Reset(tunnelv1.ResetCode_RESET_CODE_REFUSED, "the request did not come")
		return
	}
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

func (s *served) errand(ctx context.Context, in *tunnel.Incoming, w tunnel.Answer) {
	if s.relay.config.Errand == nil {
		w.Reset(tunnelv1.ResetCode_RESET_CODE_REFUSED, "no errands are taken here")
		return
	}
	s.relay.config.Errand(ctx, s.node, in, w)
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
