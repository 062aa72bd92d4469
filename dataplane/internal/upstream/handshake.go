package upstream

import (
	"context"
	"errors"
	"net/http"

	"github.com/warder-gateway/warder/internal/mcp"
)

// maxSessionID bounds a server's session id, in bytes.
const maxSessionID = 4 << 10

// session is the result of one initialize with a legacy server. It is immutable.
type session struct {
	id      string // Mcp-Session-Id; empty: the server has no sessions
	version string // negotiated
	// header is what every request within the session has. Requests share it; it is never edited.
	header http.Header
}

// newSession prepares the header of a session.
func (e *endpoint) newSession(id, version string) *session {
	header := e.headerWith(2)
	header[mcp.HeaderVersion] = []string{version}
	if id != "" {
		header[mcp.HeaderSession] = []string{id}
	}
	return &session{id: id, version: version, header: header}
}

// initialize opens a session: initialize, and initialized. We declare no capabilities, so that the server has nothing to
// ask us for. All errors are failures.
func (e *endpoint) initialize(ctx context.Context) (*session, error) {
	var w watch
	w.start(ctx, &e.pool.config)
	defer w.close()
	params := append([]byte(`{"protocolVersion":"`+mcp.Version20251125+`","capabilities":{},"clientInfo":`), e.pool.clientInfo...)
	c := conversation{endpoint: e, watch: &w}
	defer c.close()
	message, err := c.request(e.header, mcp.MethodInitialize, append(params, '}'))
	if err != nil {
		return nil, err
	}
	if !c.scan.Error.Empty() {
		return nil, e.fail(mcp.CodeUnavailable, nil, "server %q refused to open a session (JSON-RPC error %d)", c.scan.ErrorCode)
	}
	version, err := stringMember(c.scan.Result.Of(message), "protocolVersion")
	if err != nil || !isLegacyVersion(version) {
		return nil, e.fail(mcp.CodeBadServerAnswer, err, "server %q speaks no protocol version that Warder knows")
	}
	id := c.response.Header.Get(mcp.HeaderSession)
	if !isSessionID(id) {
		return nil, e.fail(mcp.CodeBadServerAnswer, nil, "server %q gave a session id that is not valid")
	}
	s := e.newSession(id, version)
	if err := e.initialized(&w, s); err != nil {
		e.end(s)
		return nil, err
	}
	return s, nil
}

// initialized ends the handshake. The server may refuse calls before.
func (e *endpoint) initialized(w *watch, s *session) error {
	w.wait()
	status, err := e.post(w.ctx, s.header, mcp.WriteRequest(nil, nil, mcp.MethodInitialized, nil))
	if err != nil {
		return e.explain(w.ctx, err)
	}
	if status < 200 || status >= 300 {
		return e.refusal(status, "")
	}
	return nil
}

// request asks with a fresh id.
func (c *conversation) request(header http.Header, method string, params []byte) ([]byte, error) {
	c.id = c.endpoint.pool.nextID(nil)
	return c.ask(header, mcp.WriteRequest(nil, c.id, method, params))
}

// isLegacyVersion reports whether a server may answer initialize with this version.
func isLegacyVersion(version string) bool {
	return version == mcp.Version20241105 || mcp.EraOf(version) == mcp.Legacy
}

// isSessionID holds a session id to the specification: visible ASCII. Empty means no session.
func isSessionID(id string) bool {
	if len(id) > maxSessionID {
		return false
	}
	for i := range len(id) {
		if id[i] < 0x21 || id[i] > 0x7E {
			return false
		}
	}
	return true
}

// stringMember returns a string member of a JSON object.
func stringMember(object []byte, name string) (string, error) {
	var token []byte
	err := mcp.Members(object, func(member string, value mcp.Span) error {
		if member == name {
			token = value.Of(object)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if token == nil {
		return "", errors.New("no " + name)
	}
	return mcp.String(token)
}

// era returns which era the server speaks: as discovery recorded it, or as detected at the first call.
func (e *endpoint) era(ctx context.Context) (mcp.Era, error) {
	switch {
	case e.downgraded.Load():
		return mcp.Legacy, nil
	case e.declared != 0:
		return e.declared, nil
	}
	era, err := e.detection.do(ctx, func() (mcp.Era, error) { return e.detect(context.WithoutCancel(ctx)) })
	if err != nil {
		return 0, e.explain(ctx, err)
	}
	return era, nil
}

// detect asks the way of the modern era. An answer that has nothing of it means legacy; no answer, or one about
// something else (credentials, overload, a broken server) means nothing and is an error.
func (e *endpoint) detect(ctx context.Context) (mcp.Era, error) {
	var w watch
	w.start(ctx, &e.pool.config)
	defer w.close()
	header := e.headerWith(2)
	header[mcp.HeaderVersion] = []string{mcp.Version20260728}
	header[mcp.HeaderMethod] = []string{mcp.MethodDiscover}
	c := conversation{endpoint: e, watch: &w}
	defer c.close()
	message, err := c.request(header, mcp.MethodDiscover, e.pool.modernParams())
	switch {
	case err == nil && !c.scan.Result.Empty() && speaksModern(c.scan.Result.Of(message)):
		return mcp.Modern, nil
	case err == nil:
		return mcp.Legacy, nil
	case w.ctx.Err() == nil && isLegacyRefusal(c.status):
		return mcp.Legacy, nil
	}
	return 0, err
}

// modernParams are those of a modern request that has none of its own.
func (p *Pool) modernParams() []byte {
	params := append([]byte(nil), `{"_meta":{"io.modelcontextprotocol/protocolVersion":"`+mcp.Version20260728+
		`","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":`...)
	return append(append(params, p.clientInfo...), "}}"...)
}

// speaksModern reports whether the result of discover offers the version that we speak.
func speaksModern(result []byte) bool {
	found := false
	mcp.Members(result, func(name string, value mcp.Span) error {
		if name != "supportedVersions" {
			return nil
		}
		list := value.Of(result)
		return mcp.Elements(list, func(element mcp.Span) error {
			version, err := mcp.String(element.Of(list))
			found = found || err == nil && version == mcp.Version20260728
			return nil
		})
	})
	return found
}

// isLegacyRefusal reports whether a status without a JSON-RPC error is what a legacy server may say to a method that it
// does not know, or to a request without a session.
func isLegacyRefusal(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusNotImplemented:
		return true
	}
	return false
}
