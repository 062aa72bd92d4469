package transport

import (
	"errors"
	"fmt"
)

// Error is what Do, and reading the body of its Response, return when they fail.
type Error struct {
	// Sent says that some of the request may have reached the server. If it is false, none has, and the request may be
	// sent again.
	Sent bool
	// Err is the cause. Its chain holds the cause of the context if that has ended, else what net, tls or this package
	// says.
	Err error
}

// Error returns the text of the cause, which is for logs: it may hold the server's address, and where net/http was used,
// bytes of the server.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

var (
	// ErrForbiddenAddress is why a dial to a special-purpose address failed.
	ErrForbiddenAddress = errors.New("dial: the address is not a public one")
	// ErrMalformed is in the chain when the server broke the rules of HTTP, or used a part of it that is not spoken here.
	ErrMalformed = errors.New("malformed HTTP answer")
	// ErrInvalidRequest is in the chain when a Request, or a Block, cannot be written as HTTP.
	ErrInvalidRequest = errors.New("invalid HTTP request")
	// ErrClosed is what reading the body of a closed Response returns.
	ErrClosed = errors.New("read of a closed answer")
)

// malformed returns an error about an answer. The reason holds none of its bytes.
func malformed(reason string) error { return fmt.Errorf("%w: %s", ErrMalformed, reason) }

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidRequest, fmt.Sprintf(format, args...))
}
