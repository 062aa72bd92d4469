package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/transport"
	"github.com/warder-gateway/warder/internal/mcp"
)

// failure is why a server gave no answer that could be passed on. Its text is ours alone and names the server, so that
// it may be shown to clients; the cause may hold a server's bytes and goes no further than the log.
type failure struct {
	code  int    // of the JSON-RPC error
	dead  bool   // the server could not be connected to, or did not begin to answer
	text  string // a whole sentence without its full stop
	data  []byte // raw JSON of error.data, or nil
	cause error
}

// Error returns text and cause: for the log.
func (f *failure) Error() string {
	if f.cause == nil {
		return f.text
	}
	return f.text + ": " + f.cause.Error()
}

func (f *failure) Unwrap() error { return f.cause }

// fail returns a failure of the endpoint's server. The format's first verb is the server's name.
func (e *endpoint) fail(code int, cause error, format string, args ...any) *failure {
	return &failure{code: code, cause: cause, text: fmt.Sprintf(format, append([]any{e.name}, args...)...)}
}

// explain makes a failure of what RoundTrip, or reading an answer, returned. The cause of the context comes first: what
// went wrong on the wire then is only its echo.
func (e *endpoint) explain(ctx context.Context, err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if errors.Is(err, errOtherEra) {
		return err
	}
	if errors.Is(err, errOverBudget) {
		return e.overBudget()
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errNoAnswer):
		f := e.fail(mcp.CodeTimeout, err, "server %q did not answer within %v", e.limits.header)
		f.dead = true
		return f
	case errors.Is(cause, errStalled):
		return e.fail(mcp.CodeTimeout, err, "server %q stopped in the middle of its answer for %v", e.limits.idle)
	case errors.Is(cause, errTooLong):
		f := e.fail(mcp.CodeTimeout, err, "server %q did not finish the call within %v", e.limits.whole)
		if w, ok := ctx.(*watch); ok {
			// What was left of the time says nothing of a server, if that began to answer before.
			f.dead = !w.reading.Load() && w.limits.whole >= e.limits.whole
		}
		return f
	case cause != nil:
		return e.fail(mcp.CodeUnavailable, cause, "the call to server %q was cancelled")
	}
	if f := e.explainAway(err); f != nil {
		return f
	}
	if f := e.explainDial(err); f != nil {
		f.dead = true
		return f
	}
	switch {
	case errors.Is(err, mcp.ErrEventTooLarge):
		return e.tooLarge()
	case errors.Is(err, transport.ErrMalformed):
		return e.fail(mcp.CodeBadServerAnswer, err, "server %q answered with something that is not valid HTTP")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return e.fail(mcp.CodeUnavailable, err, "server %q closed the connection before its answer was complete")
	}
	return e.fail(mcp.CodeUnavailable, err, "the connection to server %q failed")
}

// explainDial explains why there is no connection; nil if err is about something else.
func (e *endpoint) explainDial(err error) *failure {
	if errors.Is(err, transport.ErrForbiddenAddress) {
		return e.fail(mcp.CodeUnavailable, err, "server %q has an address that is not public; mark the server as private if that is intended")
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return e.fail(mcp.CodeUnavailable, err, "the host name of server %q does not exist")
		}
		return e.fail(mcp.CodeUnavailable, err, "the host name of server %q cannot be resolved at the moment")
	}
	if f := e.explainTLS(err); f != nil {
		return f
	}
	op, ok := errors.AsType[*net.OpError](err)
	switch {
	case !ok || op.Op != "dial":
		return nil
	case op.Timeout():
		return e.fail(mcp.CodeTimeout, err, "server %q could not be connected to within %v", e.pool.config.DialTimeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		return e.fail(mcp.CodeUnavailable, err, "server %q refused the connection; it may be down")
	}
	return e.fail(mcp.CodeUnavailable, err, "server %q could not be connected to")
}

// explainTLS explains a failed handshake; nil if err is about something else.
func (e *endpoint) explainTLS(err error) *failure {
	certificate, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	_, isAlert := errors.AsType[tls.AlertError](err)
	switch {
	case isCertificate:
		return e.fail(mcp.CodeUnavailable, err, "the TLS certificate of server %q is not valid: %s", certificateFault(certificate))
	case isRecord:
		return e.fail(mcp.CodeUnavailable, err, "server %q does not speak TLS on its port")
	case isAlert || err.Error() == "net/http: TLS handshake timeout":
		return e.fail(mcp.CodeUnavailable, err, "the TLS handshake with server %q failed")
	}
	return nil
}

// certificateFault says in our own words what is wrong with a certificate.
func certificateFault(err *tls.CertificateVerificationError) string {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "it is for another host"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "it has expired or is not valid yet"
	}
	return "it is signed by an unknown authority"
}

func (e *endpoint) tooLarge() *failure {
	return e.fail(mcp.CodeBadServerAnswer, nil, "server %q sent more than the %d bytes that one message may have", e.pool.config.MessageBytes)
}

func (e *endpoint) garbage(cause error) *failure {
	return e.fail(mcp.CodeBadServerAnswer, cause, "server %q answered with something that is not a valid MCP message")
}

// refusal explains an HTTP status that is not 2xx and carries no JSON-RPC error.
func (e *endpoint) refusal(status int, retryHint string) *failure {
	switch {
	case status >= 300 && status < 400:
		return e.fail(mcp.CodeBadServerAnswer, nil, "server %q redirects elsewhere (HTTP %d), which is not followed; register the address that it redirects to", status)
	case status == 401 || status == 403:
		return e.fail(mcp.CodeUnavailable, nil, "server %q refused the credentials that Warder has for it (HTTP %d); an administrator must renew them", status)
	case status == 404 || status == 405:
		return e.fail(mcp.CodeBadServerAnswer, nil, "server %q has no MCP endpoint at its registered address (HTTP %d)", status)
	case status == 429:
		f := e.fail(mcp.CodeRateLimited, nil, "server %q asks to slow down (HTTP 429)")
		f.data = retryData(retryHint)
		return f
	case status == 503 && retryData(retryHint) != nil: // As an agent says of a server that is still starting.
		f := e.fail(mcp.CodeUnavailable, nil, "server %q is starting, or failed to, or has too much to do (HTTP 503); try again in a moment")
		f.data = retryData(retryHint)
		return f
	case status == 502 || status == 503 || status == 504:
		return e.fail(mcp.CodeUnavailable, nil, "server %q is not available (HTTP %d)", status)
	}
	return e.fail(mcp.CodeBadServerAnswer, nil, "server %q answered with HTTP status %d", status)
}

// maxRetryAfter bounds the hint that is passed on: longer means "not today", and clients would take it at its word.
const maxRetryAfter = 24 * time.Hour

// retryData is error.data with the hint of a Retry-After header, if that has one in seconds.
func retryData(header string) []byte {
	seconds, err := strconv.ParseUint(header, 10, 32)
	if err != nil {
		return nil
	}
	return retryAfter(time.Duration(seconds) * time.Second)
}

// retryAfter is error.data that says when to come back.
func retryAfter(wait time.Duration) []byte {
	return fmt.Appendf(nil, `{"retryAfterMs":%d}`, min(max(wait, 0), maxRetryAfter).Milliseconds())
}
