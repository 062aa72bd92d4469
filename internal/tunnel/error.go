package tunnel

import (
	"errors"
	"fmt"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// Error is what Do, and reading the body of its Response, return when they fail.
type Error struct {
	// Sent says that the server may have got the request. If it is false it has not, and the request may be made elsewhere.
	Sent bool
	// Err is the cause. Its chain holds the cause of the context if that has ended, else one of the errors below.
	Err error
}

// Error returns the text of the cause, which is for logs: it may hold what the other end said.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

var (
	// ErrLost is in the chain of all errors that are due to the end of the tunnel.
	ErrLost = errors.New("the tunnel is lost")
	// ErrSilent is why a tunnel was lost whose other end said nothing, or did not answer a ping, for Config.Silence.
	ErrSilent = errors.New("the other end is silent")
	// ErrRule is why a tunnel was lost whose other end broke a rule of the wire.
	ErrRule = errors.New("the other end broke a rule of the tunnel")
	// ErrRevision is why a tunnel was lost whose ends have no revision of the wire in common.
	ErrRevision = errors.New("no revision of the tunnel that both ends speak")
	// ErrDraining says that the other end takes no more streams.
	ErrDraining = errors.New("the other end of the tunnel drains")
	// ErrFull says that as many streams are open as the other end allows.
	ErrFull = errors.New("too many streams are open in the tunnel")
	// ErrRefused says that the other end did nothing: it has no such server, too much to do, or drains.
	ErrRefused = errors.New("the other end of the tunnel refused the stream")
	// ErrFailed says that the other end gave up an exchange.
	ErrFailed = errors.New("the other end of the tunnel gave up")
	// ErrCancelled says that the other end is no longer interested in an exchange.
	ErrCancelled = errors.New("the other end of the tunnel cancelled the stream")
	// ErrInvalid says that a request, an answer or an announcement cannot be sent.
	ErrInvalid = errors.New("cannot be sent through a tunnel")
	// ErrTooLarge says that a body is larger than who reads it allows.
	ErrTooLarge = errors.New("the body is too large")
	// ErrClosed is what reading a closed body returns, and writing an answer that is over.
	ErrClosed = errors.New("the stream is closed")
)

// broken returns an error that names a rule. It holds nothing that the other end chose.
func broken(rule string) error { return fmt.Errorf("%w: %s", ErrRule, rule) }

func invalid(reason string) error { return fmt.Errorf("%w: %s", ErrInvalid, reason) }

// resetError is what a reset by the other end means.
func resetError(code tunnelv1.ResetCode, reason string) error {
	cause := ErrFailed
	switch code {
	case tunnelv1.ResetCode_RESET_CODE_REFUSED:
		cause = ErrRefused
	case tunnelv1.ResetCode_RESET_CODE_CANCELLED:
		cause = ErrCancelled
	}
	if reason == "" {
		return cause
	}
	return fmt.Errorf("%w: %q", cause, reason)
}
