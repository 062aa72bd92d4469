// Package fault is the one error type that crosses an edge of a process.
//
// Inside a plane, errors are ordinary: fmt.Errorf("verb noun: %w", err). Where
// one is about to leave for somebody else, it carries three things apart:
//
//	kind   what sort of failure it is; decides the code on each wire
//	text   what may be shown to whoever asked: names what, where, what to do
//	cause  what really happened; goes to the log and never leaves
//
// An error without a fault in its chain is Internal, and its text is withheld:
// forgetting to classify an error must not leak it.
//
//	                 ┌─ Connect(err) ─▶ dashboard, command line
//	fault.Wrap(...) ─┼─ GRPC(err) ────▶ the other plane
//	                 └─ Text(err) ────▶ JSON-RPC and HTTP answers
package fault

import (
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Kind is the sort of a failure. Its zero value is Internal.
type Kind int

// The kinds. The comment is what the person who sees one should do.
const (
	Internal        Kind = iota // tell the operator; the log has the cause
	Invalid                     // correct the request
	NotFound                    // name something that exists
	Exists                      // choose another name
	Conflict                    // read again, then try again
	Denied                      // ask somebody who may
	Unauthenticated             // sign in, or present a valid key
	Precondition                // put something else right first; the text says what
	Exhausted                   // slow down, or raise a limit
	Unavailable                 // try again later
)

var kinds = [...]struct {
	name    string
	connect connect.Code
	grpc    codes.Code
}{
	Internal:        {"internal", connect.CodeInternal, codes.Internal},
	Invalid:         {"invalid", connect.CodeInvalidArgument, codes.InvalidArgument},
	NotFound:        {"not found", connect.CodeNotFound, codes.NotFound},
	Exists:          {"exists", connect.CodeAlreadyExists, codes.AlreadyExists},
	Conflict:        {"conflict", connect.CodeAborted, codes.Aborted},
	Denied:          {"denied", connect.CodePermissionDenied, codes.PermissionDenied},
	Unauthenticated: {"unauthenticated", connect.CodeUnauthenticated, codes.Unauthenticated},
	Precondition:    {"precondition", connect.CodeFailedPrecondition, codes.FailedPrecondition},
	Exhausted:       {"exhausted", connect.CodeResourceExhausted, codes.ResourceExhausted},
	Unavailable:     {"unavailable", connect.CodeUnavailable, codes.Unavailable},
}

// String returns the kind in lower case.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kinds) {
		return fmt.Sprintf("kind(%d)", int(k))
	}
	return kinds[k].name
}

// withheld is what a stranger sees of an error that nobody classified.
const withheld = "internal error; the log of the process has the cause"

// Error is a classified failure. It is immutable.
type Error struct {
	kind  Kind
	text  string
	cause error
	code  string
}

// New returns a fault without a cause. The text is shown to whoever asked.
func New(kind Kind, text string) *Error { return &Error{kind: kind, text: text} }

// Newf is New with a format. Whatever is formatted in is shown, so it must be
// safe to show; %w has no meaning here, use Wrap.
func Newf(kind Kind, format string, args ...any) *Error {
	return New(kind, fmt.Sprintf(format, args...))
}

// Wrap returns a fault with a cause, which errors.Is and errors.As find and
// which no edge shows.
func Wrap(kind Kind, text string, cause error) *Error {
	return &Error{kind: kind, text: text, cause: cause}
}

// Coded returns the same fault with a code of its own, such as "WARDER-DB-002", for
// failures that have a place in the documentation apart from their kind.
func (e *Error) Coded(code string) *Error {
	coded := *e
	coded.code = code
	return &coded
}

// Code returns the code of the outermost fault in the chain of err; empty if it has
// none of its own.
func Code(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.code
	}
	return ""
}

// Error returns text and cause: for logs, not for strangers.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.text
	}
	return e.text + ": " + e.cause.Error()
}

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Kind returns the kind.
func (e *Error) Kind() Kind { return e.kind }

// Text returns what may be shown.
func (e *Error) Text() string { return e.text }

// KindOf returns the kind of the outermost fault in the chain of err, and
// Internal if there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.kind
	}
	return Internal
}

// Is reports whether err carries a fault of this kind. A nil error has no kind.
func Is(err error, kind Kind) bool {
	return err != nil && KindOf(err) == kind
}

// Text returns what may be shown of err. It is empty for nil, and withheld for
// an error without a fault.
func Text(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.text
	}
	return withheld
}

// Connect maps err onto the Connect API. Errors that are Connect errors already
// (of a validator, for example) pass unchanged; nil stays nil.
func Connect(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*connect.Error](err); ok {
		return err
	}
	return connect.NewError(kinds[KindOf(err)].connect, errors.New(Text(err)))
}

// GRPC maps err onto gRPC between the planes. Errors that have a status already
// pass unchanged; nil stays nil.
func GRPC(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(kinds[KindOf(err)].grpc, Text(err))
}
