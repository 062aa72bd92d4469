package upstream

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

// bodyKey finds the scanned request in the context of a call.
type bodyKey struct{}

// fake is a hand-written MCP server that does to a tools/call whatever the test wants.
type fake struct {
	t testing.TB
	// call answers a tools/call; id is the raw id of the request.
	call func(w http.ResponseWriter, r *http.Request, id string)
	// stateful makes it issue session ids, and answer 404 to those it does not know.
	stateful bool
	// all makes call get every request but initialize.
	all bool
	// told gets what has no answer; nil: it is only kept.
	told func(body string)
	// resumed answers a GET; nil: 405.
	resumed func(w http.ResponseWriter, r *http.Request)

	calls       atomic.Int64
	initializes atomic.Int64
	mu          sync.Mutex
	sessions    map[string]bool
	ended       []string
	bodies      []string // of everything but calls
	requests    []string // calls
	hellos      []string // params of initialize
	headers     []http.Header
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client hung up
	}
	f.mu.Lock()
	f.headers = append(f.headers, r.Header.Clone())
	f.mu.Unlock()
	if r.Method == http.MethodDelete {
		f.end(r.Header.Get(mcp.HeaderSession))
		return
	}
	if r.Method == http.MethodGet {
		if f.resumed == nil {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		f.resumed(w, r)
		return
	}
	var request mcp.Request
	if err := mcp.ScanRequest(body, mcp.Limits{}, &request); err != nil {
		f.t.Errorf("the server got %s: %v", body, err)
		return
	}
	if request.Method == mcp.MethodInitialize {
		f.mu.Lock()
		f.hellos = append(f.hellos, string(request.Params.Of(body)))
		f.mu.Unlock()
		f.initialize(w, string(request.ID.Of(body)))
		return
	}
	if f.stateful && !f.knows(r.Header.Get(mcp.HeaderSession)) {
		http.Error(w, "session not found", http.StatusNotFound)
		return
	}
	if request.Method == mcp.MethodToolsCall || f.all && !request.ID.Empty() && !request.IsResponse() {
		f.calls.Add(1)
		f.mu.Lock()
		f.requests = append(f.requests, string(body))
		f.mu.Unlock()
		f.call(w, r.WithContext(context.WithValue(r.Context(), bodyKey{}, &request)), string(request.ID.Of(body)))
		return
	}
	if !request.ID.Empty() && !request.IsResponse() {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	f.mu.Lock()
	f.bodies = append(f.bodies, string(body))
	f.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
	if f.told != nil {
		f.told(string(body))
	}
}

func (f *fake) initialize(w http.ResponseWriter, id string) {
	n := f.initializes.Add(1)
	if f.stateful {
		session := fmt.Sprint("session-", n)
		f.mu.Lock()
		if f.sessions == nil {
			f.sessions = map[string]bool{}
		}
		f.sessions[session] = true
		f.mu.Unlock()
		w.Header().Set(mcp.HeaderSession, session)
	}
	reply(w, `{"jsonrpc":"2.0","id":`+id+`,"result":{"protocolVersion":"2025-06-18","capabilities":{"logging":{}},"serverInfo":{"name":"f","version":"1"}}}`)
}

func (f *fake) knows(session string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions[session]
}

// forgetAll makes the server forget its sessions, as a restart does.
func (f *fake) forgetAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.sessions)
}

func (f *fake) end(session string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sessions, session)
	f.ended = append(f.ended, session)
}

// seen returns what the server got besides calls.
func (f *fake) seen() (bodies, ended []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append(bodies, f.bodies...), append(ended, f.ended...)
}

// reply answers with JSON.
func reply(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, body)
}

// ok is the result that fakes give.
func ok(id string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"result":{"content":[{"type":"text","text":"fine","new":1.10}],"x":12345678901234567890}}`
}

// stream begins an event stream and returns what sends raw bytes of it.
func stream(w http.ResponseWriter) func(raw string) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	return func(raw string) {
		io.WriteString(w, raw)
		w.(http.Flusher).Flush()
	}
}

// cut ends the connection in the middle of whatever is being sent.
func cut(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}
