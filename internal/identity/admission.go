package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/warder-gateway/warder/internal/fault"
)

// Admission decides who may call which method of a gRPC server.
type Admission struct {
	// Methods says which kinds may call a method, by its full name, exactly. What is
	// not here is denied: a method that is added is closed until somebody opens it.
	// Anybody opens one to who has no certificate.
	Methods map[string][]Kind
	// Standing, if there is one, refuses a peer whose certificate is void. Of a call
	// that it admits it returns a context that ends when that changes, with a fault as
	// its cause, and what to call when the call is over.
	Standing func(context.Context, Peer, *x509.Certificate) (context.Context, func(), error)
	Log      *slog.Logger
}

// Interceptors returns what puts the peer into the context of each call that it may
// make, and refuses every other.
func (a *Admission) Interceptors() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			ctx, over, err := a.admit(ctx, info.FullMethod)
			if err != nil {
				return nil, err
			}
			defer over()
			return next(ctx, request)
		}),
		grpc.ChainStreamInterceptor(func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			ctx, over, err := a.admit(stream.Context(), info.FullMethod)
			if err != nil {
				return err
			}
			defer over()
			return serve(server, admitted{stream, ctx}, next)
		}),
	}
}

// admit returns a context with the peer if it may call the method.
func (a *Admission) admit(ctx context.Context, method string) (context.Context, func(), error) {
	kinds := a.Methods[method]
	if slices.Contains(kinds, Anybody) {
		return ctx, func() {}, nil
	}
	certificate, who, err := fromContext(ctx)
	if err != nil {
		a.Log.Warn("refused call without identity", "method", method, "error", err)
		return nil, nil, fault.GRPC(fault.Wrap(fault.Unauthenticated, "no certificate of this installation was presented", err))
	}
	if !slices.Contains(kinds, who.Kind) {
		a.Log.Warn("refused call", "method", method, "peer", who.String())
		return nil, nil, fault.GRPC(fault.New(fault.Denied, "this certificate may not call this method"))
	}
	ctx, over := context.WithValue(WithPeer(ctx, who), issuedKey{}, IssuedAt(certificate)), func() {}
	if a.Standing != nil {
		if ctx, over, err = a.Standing(ctx, who, certificate); err != nil {
			a.Log.Warn("refused call", "method", method, "peer", who.String(), "error", err)
			return nil, nil, fault.GRPC(err)
		}
	}
	return ctx, over, nil
}

// fromContext returns the certificate behind a call. It fails closed: a call that did
// not come through mutual TLS has none.
func fromContext(ctx context.Context) (*x509.Certificate, Peer, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, Peer{}, errors.New("call without a peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return nil, Peer{}, errors.New("call without TLS")
	}
	certificate, err := verified(info.State)
	if err != nil {
		return nil, Peer{}, err
	}
	who, err := Of(certificate)
	return certificate, who, err
}

// admitted is a stream whose context carries the peer.
type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

// Context returns the context with the peer.
func (s admitted) Context() context.Context { return s.ctx }

// serve runs a handler, and ends the stream when the peer's standing does: a handler
// that waits for the peer would not hear of it. It finds the stream ended.
func serve(server any, stream admitted, next grpc.StreamHandler) error {
	ended := make(chan error, 1)
	go func() { ended <- next(server, stream) }()
	select {
	case err := <-ended:
		return err
	case <-stream.ctx.Done():
	}
	if void, ok := errors.AsType[*fault.Error](context.Cause(stream.ctx)); ok {
		return fault.GRPC(void)
	}
	return <-ended // The peer went away, which the handler sees.
}
