package transport

import "io"

// Response is an answer whose head was read. It belongs to one goroutine, which must close its body; to interrupt that
// goroutine, end the context of the call.
type Response struct {
	// Status is never below 200.
	Status int
	// ContentLength is that of the body in bytes, or -1 if its end is yet to be seen.
	ContentLength int64
	// Body is never nil. Its errors are of type *Error, except io.EOF; a body that was cut short never ends with that.
	// Close gives the connection back if the body was read to its end, and else closes the connection. It always returns
	// nil, and may be called more than once.
	Body io.ReadCloser

	exchange Exchange
}

// Exchange is what lies behind a Response. Its methods keep what Response promises of them.
type Exchange interface {
	io.ReadCloser
	// Header returns the first value of a field, whatever the case of its name and without blanks around it; empty if there
	// is none.
	Header(name string) string
	// Finish is Close for a body of which only the end is missing.
	Finish()
}

// NewResponse returns an answer that came another way than through a Transport. Length is that of the body in bytes, or -1.
func NewResponse(status int, length int64, exchange Exchange) *Response {
	return &Response{Status: status, ContentLength: length, Body: exchange, exchange: exchange}
}

// Header returns the first value of a header field, whatever the case of its name, or "" if there is none. It must not be
// called after the body was closed. What it returned stays valid.
func (r *Response) Header(name string) string { return r.exchange.Header(name) }

// Finish closes the body of an answer that has said all it had to say, while the last bytes of its frame may still be on
// their way, as it is with a stream of events. The connection is used again only once those have come, and closed if
// they do not come soon. What else the server sends is ignored.
func (r *Response) Finish() { r.exchange.Finish() }
