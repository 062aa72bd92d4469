package upstream

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"

	"github.com/warder-gateway/warder/dataplane/internal/transport"
	"github.com/warder-gateway/warder/internal/mcp"
)

// maxSessionID bounds a server's session id, in bytes.
const maxSessionID = 4 << 10

// dialect is what a client tells a legacy server of itself when it opens a session.
type dialect struct {
	version      string
	capabilities mcp.Capabilities
}

// dialectOf returns that of a client. A modern client is presented as one of the last legacy version.
func dialectOf(capabilities mcp.Capabilities, version string) dialect {
	if mcp.EraOf(version) != mcp.Legacy {
		version = mcp.Version20251125
	}
	return dialect{version: version, capabilities: capabilities}
}

// session is the result of one initialize with a legacy server. All but level is immutable.
type session struct {
	id      string // Mcp-Session-Id; empty: the server has no sessions
	version string // negotiated
	line    line   // of a server of 2024-11-05; nil: the session is spoken in by POST
	logs    bool   // the server has a log whose level can be set

	levelMu sync.Mutex
	level   string // that was last set for a modern client
}

// ref names the session to other nodes.
func (s *session) ref() SessionRef { return SessionRef{ID: s.id, Version: s.version} }

// fields appends the header fields of every request within the session.
func (s *session) fields(dst []transport.Field) []transport.Field {
	dst = append(dst, transport.Field{Name: mcp.HeaderVersion, Value: s.version})
	if s.id != "" && s.line == nil {
		dst = append(dst, transport.Field{Name: mcp.HeaderSession, Value: s.id})
	}
	return dst
}

// initialize opens a session for a caller: initialize, and initialized. All errors are failures, or errOtherEra.
func (e *endpoint) initialize(ctx context.Context, d dialect, caller transport.Caller) (*session, error) {
	var w watch
	w.start(ctx, e.limits)
	defer w.close()
	s := &session{version: d.version}
	if e.overSSE.Load() {
		return e.initializeLine(&w, s, d)
	}
	c := conversation{endpoint: e, watch: &w, caller: caller}
	defer c.close()
	message, err := c.request(nil, mcp.MethodInitialize, e.initializeParams(d))
	if refused := c.status >= 400 || err == nil && c.scan.ErrorCode == mcp.CodeMethodNotFound; refused && w.Err() == nil {
		return e.otherThanLegacy(&w, s, d, &c, err)
	}
	if err != nil {
		return nil, err
	}
	s.id = c.response.Header(mcp.HeaderSession)
	if !isSessionID(s.id) {
		return nil, e.fail(mcp.CodeBadServerAnswer, nil, "server %q gave a session id that is not valid")
	}
	if err := e.opened(&w, s, &c, message); err != nil {
		return nil, err
	}
	return s, nil
}

// otherThanLegacy finds out what a server is that refuses initialize: one of 2024-11-05, or a modern one, or a broken one.
func (e *endpoint) otherThanLegacy(w *watch, s *session, d dialect, c *conversation, refusal error) (*session, error) {
	if refusal == nil {
		refusal = e.refusedSession(c.scan.ErrorCode)
	}
	status, code := c.status, c.scan.ErrorCode
	c.close()
	switch {
	case code == mcp.CodeUnsupportedVersion || code == mcp.CodeMethodNotFound:
	case status == http.StatusBadRequest || status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		if e.url == nil { // An agent speaks 2024-11-05 itself.
			break
		}
		if opened, err := e.initializeLine(w, s, d); err == nil {
			e.overSSE.Store(true)
			return opened, nil
		}
	default:
		return nil, refusal // says nothing of what is spoken
	}
	if era, err := e.detect(w); err == nil && era == mcp.Modern {
		return nil, errOtherEra
	}
	return nil, refusal
}

// initializeLine opens a session with a server of 2024-11-05.
func (e *endpoint) initializeLine(w *watch, s *session, d dialect) (*session, error) {
	w.wait()
	l, err := e.dialLine(w)
	if err != nil {
		return nil, e.explain(w, err)
	}
	s.line, s.id = l, e.nameLine()
	d.version = mcp.Version20241105
	c := conversation{endpoint: e, watch: w, session: s}
	defer c.close()
	message, err := c.request(nil, mcp.MethodInitialize, e.initializeParams(d))
	if err == nil {
		err = e.opened(w, s, &c, message)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	e.lines.Store(s.id, l)
	go func() {
		<-l.ended()
		e.lines.Delete(s.id)
	}()
	return s, nil
}

// initializeParams are what we tell of a client.
func (e *endpoint) initializeParams(d dialect) []byte {
	params := append([]byte(`{"protocolVersion":"`), d.version...)
	params = d.capabilities.Append(append(params, `","capabilities":`...), d.version)
	params = append(append(params, `,"clientInfo":`...), e.pool.clientInfo...)
	return append(params, '}')
}

// opened reads the answer to initialize and ends the handshake. The server may refuse calls before.
func (e *endpoint) opened(w *watch, s *session, c *conversation, message []byte) error {
	if !c.scan.Error.Empty() {
		return e.refusedSession(c.scan.ErrorCode)
	}
	result := c.scan.Result.Of(message)
	version, err := stringMember(result, "protocolVersion")
	if err != nil || !isLegacyVersion(version) {
		return e.fail(mcp.CodeBadServerAnswer, err, "server %q speaks no protocol version that Warder knows")
	}
	s.version = version
	if offers, err := mcp.ParseServerCapabilities(rawMember(result, "capabilities")); err == nil {
		s.logs = offers.Logging
	}
	w.wait()
	if err := e.tell(w, s, mcp.WriteNotification(nil, mcp.MethodInitialized, nil)); err != nil {
		e.end(s)
		return err
	}
	return nil
}

func (e *endpoint) refusedSession(code int) *failure {
	return e.fail(mcp.CodeUnavailable, nil, "server %q refused to open a session (JSON-RPC error %d)", code)
}

// linePrefix begins the ids of sessions that have none of their own. No id of a server begins with a blank.
const linePrefix = " line "

// nameLine returns an id for a session of 2024-11-05, by which it is found at this node only.
func (e *endpoint) nameLine() string { return linePrefix + rand.Text() }

// request asks with a fresh id.
func (c *conversation) request(fields []transport.Field, method string, params []byte) ([]byte, error) {
	c.id = c.endpoint.pool.nextID(nil)
	return c.ask(fields, mcp.WriteRequest(nil, c.id, method, params))
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

// rawMember returns the raw value of a member of a JSON object; nil if it is not there.
func rawMember(object []byte, name string) (raw []byte) {
	mcp.Members(object, func(member string, value mcp.Span) error {
		if member == name {
			raw = value.Of(object)
		}
		return nil
	})
	return raw
}

// stringMember returns a string member of a JSON object.
func stringMember(object []byte, name string) (string, error) {
	raw := rawMember(object, name)
	if raw == nil {
		return "", errors.New("no " + name)
	}
	return mcp.String(raw)
}
