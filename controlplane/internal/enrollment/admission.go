package enrollment

import (
	"context"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/warder-gateway/warder/internal/fault"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// admitted says which kind of peer may call a method. What is not here is
// denied: a method that is added is closed until somebody opens it.
var admitted = map[string]Kind{
	syncv1.SyncService_Sync_FullMethodName:   Node,
	auditv1.AuditService_Push_FullMethodName: Node,
}

// Interceptors returns what puts the identity of a peer into the context of each
// call that it may make, and refuses every other.
func Interceptors(log *slog.Logger) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			ctx, err := admit(ctx, info.FullMethod, log)
			if err != nil {
				return nil, err
			}
			return next(ctx, request)
		}),
		grpc.ChainStreamInterceptor(func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			ctx, err := admit(stream.Context(), info.FullMethod, log)
			if err != nil {
				return err
			}
			return next(server, identified{stream, ctx})
		}),
	}
}

// admit returns a context with the identity of the peer if it may call the
// method.
func admit(ctx context.Context, method string, log *slog.Logger) (context.Context, error) {
	identity, err := fromPeer(ctx)
	if err != nil {
		log.Warn("refused call without identity", "method", method, "error", err)
		return nil, fault.GRPC(fault.Wrap(fault.Unauthenticated, "no certificate of this installation was presented", err))
	}
	kind, known := admitted[method]
	if !known || identity.Kind != kind {
		log.Warn("refused call", "method", method, "peer", identity.String())
		return nil, fault.GRPC(fault.New(fault.Denied, "this certificate may not call this method"))
	}
	return WithIdentity(ctx, identity), nil
}

// identified is a stream whose context carries the identity.
type identified struct {
	grpc.ServerStream
	ctx context.Context
}

// Context returns the context with the identity.
func (s identified) Context() context.Context { return s.ctx }
