package catalog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/warder-gateway/warder/internal/egress"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/tunnel"
)

// trouble makes a fault about the server: "server "x" <what>". The text holds
// nothing that the server sent, but for what its agent says of it, which is escaped.
func (c *conversation) trouble(kind fault.Kind, cause error, format string, args ...any) error {
	return fault.Wrap(kind, fmt.Sprintf("server %q ", c.target.Name)+fmt.Sprintf(format, args...), cause)
}

// transportFault explains a request that got no answer.
func (c *conversation) transportFault(ctx context.Context, err error) error {
	if egress.Prohibited(err) {
		return needsPrivate(c.target.Name, err)
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return fmt.Errorf("discover server %s: %w", c.target.Name, context.Canceled)
	}
	if errors.Is(err, errTooLarge) {
		return c.tooLarge()
	}
	if timedOut(err) {
		return c.trouble(fault.Unavailable, err, "did not answer in time; check that it is up, then refresh it")
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return c.trouble(fault.Unavailable, err, "has a host name that cannot be resolved; check the URL")
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return c.trouble(fault.Unavailable, err, "refuses connections at its host and port; start it, or check the URL, then refresh it")
	}
	if _, ok := errors.AsType[*tunnel.Error](err); ok {
		return c.trouble(fault.Unavailable, err, "did not answer its agent %q; 'warder agent list' says how it runs", c.target.Agent)
	}
	if untrusted(err) {
		return c.trouble(fault.Precondition, err, "has a TLS certificate that this machine does not trust for its host name; check the certificate and the URL, or name the authority that signs for it with --ca-file")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return c.trouble(fault.Unavailable, err, "broke off the connection before it had answered; look at its log, then refresh it")
	}
	return c.trouble(fault.Unavailable, err, "cannot be talked to over HTTP; check the URL, then refresh it")
}

func timedOut(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

func untrusted(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.RecordHeaderError](err)
	return ok
}

func (c *conversation) tooLarge() error {
	return c.trouble(fault.Precondition, errTooLarge, "sends more than %d MiB in answer to one discovery, which is refused", c.caps.bytes>>20)
}

// statusFault explains an HTTP status that is not an answer.
func (c *conversation) statusFault(status int) error {
	cause := fmt.Errorf("HTTP status %d", status)
	switch {
	case status == http.StatusUnauthorized && len(c.target.Headers) == 0:
		return c.trouble(fault.Precondition, cause, "asks for credentials (HTTP 401); add it with --header 'Authorization: Bearer …'")
	case status == http.StatusUnauthorized:
		return c.trouble(fault.Precondition, cause, "does not accept the credentials in its headers (HTTP 401); remove it and add it with valid ones")
	case status == http.StatusForbidden:
		return c.trouble(fault.Precondition, cause, "forbids access (HTTP 403); check the credentials in its headers, and whether it accepts this host name")
	case status == http.StatusTooManyRequests:
		return c.trouble(fault.Unavailable, cause, "limits requests (HTTP 429); refresh it later")
	case status == http.StatusServiceUnavailable && c.failure != "":
		return c.trouble(fault.Unavailable, cause, "does not start at its agent %q: %s", c.target.Agent, c.failure)
	case status == http.StatusServiceUnavailable && c.target.Agent != "":
		return c.trouble(fault.Unavailable, cause, "does not serve yet, or not any more (HTTP 503); 'warder agent list' says what its agent knows of it")
	case status >= 500:
		return c.trouble(fault.Unavailable, cause, "failed (HTTP %d); look at its log, then refresh it", status)
	case status >= 300 && status < 400:
		return c.trouble(fault.Precondition, cause, "redirects (HTTP %d), and redirects are not followed; use the URL it redirects to, if you trust it", status)
	}
	return c.trouble(fault.Precondition, cause, "has no streamable HTTP endpoint at this URL (HTTP %d); check the path, which is often /mcp", status)
}

// garbage explains an answer that is not MCP.
func (c *conversation) garbage(cause error, method string) error {
	return c.trouble(fault.Precondition, cause, "answered %s with something that is not MCP; check that the URL is that of its MCP endpoint", method)
}

// refusal explains a JSON-RPC error.
func (c *conversation) refusal(method string, code int) error {
	return c.trouble(fault.Precondition, fmt.Errorf("JSON-RPC error %d", code), "refused %s (error %d); look at its log, then refresh it", method, code)
}
