package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/internal/fault"
)

// chain is what every procedure goes through: permission, validation, the
// mapping of errors, the log. It is immutable.
type chain struct {
	log       *slog.Logger
	validator protovalidate.Validator
}

func newChain(log *slog.Logger) (*chain, error) {
	validator, err := protovalidate.New()
	if err != nil {
		return nil, fmt.Errorf("compile validation rules: %w", err)
	}
	return &chain{log: log, validator: validator}, nil
}

// WrapUnary guards a unary procedure.
func (c *chain) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		started, procedure := time.Now(), request.Spec().Procedure
		response, err := c.unary(ctx, procedure, request, next)
		c.report(ctx, procedure, started, err)
		if err != nil {
			return nil, outward(err)
		}
		return response, nil
	}
}

func (c *chain) unary(ctx context.Context, procedure string, request connect.AnyRequest, next connect.UnaryFunc) (connect.AnyResponse, error) {
	if err := permit(ctx, procedure); err != nil {
		return nil, err
	}
	if err := c.validate(request.Any()); err != nil {
		return nil, err
	}
	return next(ctx, request)
}

// WrapStreamingClient passes on: this side is never the client.
func (c *chain) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler guards a stream; its messages are validated as they come.
func (c *chain) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		started, procedure := time.Now(), conn.Spec().Procedure
		err := permit(ctx, procedure)
		if err == nil {
			err = next(ctx, validated{conn, c})
		}
		c.report(ctx, procedure, started, err)
		return outward(err)
	}
}

// validated is a stream whose messages are validated when they are received.
type validated struct {
	connect.StreamingHandlerConn
	chain *chain
}

// Receive receives one message and validates it.
func (v validated) Receive(message any) error {
	if err := v.StreamingHandlerConn.Receive(message); err != nil {
		return err
	}
	return outward(v.chain.validate(message))
}

// permit lets the caller through or says why not. Where it could not be found
// out who calls, it says that, rather than ask somebody to sign in who has.
func permit(ctx context.Context, procedure string) error {
	err := login.Require(login.From(ctx), procedure)
	if trouble := login.Trouble(ctx); trouble != nil && fault.Is(err, fault.Unauthenticated) {
		return fmt.Errorf("determine caller: %w", trouble)
	}
	return err
}

// validate holds a message to the rules in its proto.
func (c *chain) validate(message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("validate %T: not a protobuf message", message)
	}
	err := c.validator.Validate(m)
	if err == nil {
		return nil
	}
	broken, ok := errors.AsType[*protovalidate.ValidationError](err)
	if !ok {
		return fmt.Errorf("validate %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return fault.New(fault.Invalid, explainViolations(broken))
}

// outward maps an error onto the wire. Who gave up waiting, or ran out of time,
// is told so.
func outward(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, context.Canceled)
	case errors.Is(err, context.DeadlineExceeded) && fault.KindOf(err) == fault.Internal:
		return connect.NewError(connect.CodeDeadlineExceeded, context.DeadlineExceeded)
	}
	return fault.Connect(err)
}

// report logs one call. What nobody classified is the operator's to look at;
// what the caller can put right is not.
func (c *chain) report(ctx context.Context, procedure string, started time.Time, err error) {
	level, attrs := slog.LevelDebug, []slog.Attr{
		slog.String("procedure", procedure),
		slog.String("caller", login.From(ctx).Name),
		slog.Duration("took", time.Since(started)),
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
		if _, known := errors.AsType[*connect.Error](err); !known && fault.KindOf(err) == fault.Internal && ctx.Err() == nil {
			level = slog.LevelError
		}
	}
	c.log.LogAttrs(ctx, level, "admin call", attrs...)
}

// recovered turns a panic into an error that says nothing, and logs it.
func (c *chain) recovered(ctx context.Context, spec connect.Spec, _ http.Header, p any) error {
	c.log.ErrorContext(ctx, "admin call panicked", "procedure", spec.Procedure, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	return outward(fault.New(fault.Internal, "internal error; the log of the control plane has the cause"))
}
