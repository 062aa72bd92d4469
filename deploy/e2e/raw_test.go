package e2e_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// raw is an MCP server without a library: it keeps what it got as the bytes that
// came, and answers with the bytes that it is told.
type raw struct {
	url    string
	modern bool
	// answer writes the answer to a request that is about a tool, a prompt or a
	// resource; nil answers with an empty result.
	answer func(w http.ResponseWriter, got *message)
	// capabilities and lists are what it offers: JSON, lists by method. Those that are
	// missing are the ones of rawLists.
	capabilities string
	lists        map[string]string

	mu          sync.Mutex
	got         []*message     // requests that are not about lists
	sessions    map[string]int // calls by session; absent: dead
	initialized int
	streams     map[string]chan string // what the GET stream of a session says
	ended       int                    // by DELETE
}

// message is a request that a raw server got.
type message struct {
	ID     json.RawMessage
	Method string
	Params json.RawMessage
	header http.Header
	body   []byte
}

const rawCapabilities = `{"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true},"completions":{},"logging":{}}`

var rawLists = map[string]string{
	"tools/list": `"tools":[{"name":"read","description":"Reads","inputSchema":{"type":"object"}},` +
		`{"name":"wipe","description":"Wipes","inputSchema":{"type":"object"}}]`,
	"prompts/list":             `"prompts":[{"name":"greet","description":"Greets"},{"name":"wipe","description":"Wipes"}]`,
	"resources/list":           `"resources":[{"uri":"test://a/b","name":"b"},{"uri":"test://wipe/a","name":"wipe"}]`,
	"resources/templates/list": `"resourceTemplates":[{"uriTemplate":"test://t/{x}","name":"t"}]`,
}

func startRaw(t *testing.T, modern bool, answer func(http.ResponseWriter, *message)) *raw {
	t.Helper()
	s := &raw{modern: modern, answer: answer, sessions: map[string]int{}, streams: map[string]chan string{}}
	front := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	s.url = front.URL + "/mcp"
	return s
}

func (s *raw) serve(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		s.stream(w, r)
		return
	case http.MethodDelete:
		s.mu.Lock()
		s.ended++
		delete(s.sessions, r.Header.Get("Mcp-Session-Id"))
		s.mu.Unlock()
		return
	}
	m := &message{header: r.Header.Clone()}
	var err error
	if m.body, err = io.ReadAll(r.Body); err != nil {
		return // The client has gone.
	}
	if err := json.Unmarshal(m.body, m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if session := r.Header.Get("Mcp-Session-Id"); !s.modern && m.Method != "initialize" && m.Method != "server/discover" && !s.alive(session) {
		http.Error(w, "no such session", http.StatusNotFound)
		return
	}
	s.serveMessage(w, m)
}

func (s *raw) alive(session string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.sessions[session]
	return ok
}

func (s *raw) serveMessage(w http.ResponseWriter, m *message) {
	capabilities := cmp.Or(s.capabilities, rawCapabilities)
	list := cmp.Or(s.lists[m.Method], rawLists[m.Method])
	switch {
	case m.Method == "server/discover" && s.modern:
		s.result(w, m, `"supportedVersions":["2026-07-28"],"capabilities":`+capabilities+`,"ttlMs":0,"cacheScope":"private"`)
	case m.Method == "initialize" && !s.modern:
		session := s.open()
		w.Header().Set("Mcp-Session-Id", session)
		s.result(w, m, `"protocolVersion":"2025-11-25","capabilities":`+capabilities+`,"serverInfo":{"name":"raw","version":"1"}`)
	case list != "":
		s.result(w, m, list)
	case strings.HasPrefix(m.Method, "notifications/") || m.Method == "":
		s.keep(m)
		w.WriteHeader(http.StatusAccepted)
	case m.Method == "server/discover" || m.Method == "initialize" || m.Method == "subscriptions/listen":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no such method"}}`, m.ID)
	default:
		s.keep(m)
		if s.answer == nil {
			s.result(w, m, `"content":[],"messages":[],"contents":[]`)
			return
		}
		s.answer(w, m)
	}
}

// open makes a session.
func (s *raw) open() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.initialized++
	session := fmt.Sprintf("session-%d", s.initialized)
	s.sessions[session] = 0
	s.streams[session] = make(chan string, 16)
	return session
}

// forget ends all sessions, as a restart of a server that keeps them in memory.
func (s *raw) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}

// stream is the GET stream of a session.
func (s *raw) stream(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	messages, ok := s.streams[r.Header.Get("Mcp-Session-Id")]
	s.mu.Unlock()
	if !ok || s.modern {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case message := <-messages:
			fmt.Fprintf(w, "data: %s\n\n", message)
			_ = http.NewResponseController(w).Flush() // It fails when the client has gone, as does the context.
		case <-r.Context().Done():
			return
		}
	}
}

func (s *raw) result(w http.ResponseWriter, m *message, members string) {
	w.Header().Set("Content-Type", "application/json")
	if s.modern {
		members = `"resultType":"complete",` + members
	}
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{%s}}`, m.ID, members)
}

func (s *raw) keep(m *message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, m)
	if _, ok := s.sessions[m.header.Get("Mcp-Session-Id")]; ok {
		s.sessions[m.header.Get("Mcp-Session-Id")]++
	}
}

// take returns what came since the last take.
func (s *raw) take() []*message {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

// calls returns how many messages of a method are kept.
func (s *raw) calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, m := range s.got {
		if m.Method == method {
			n++
		}
	}
	return n
}

// initializations returns how often the server was initialised.
func (s *raw) initializations() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.initialized
}

// event writes messages as events of a stream.
func event(w http.ResponseWriter, messages ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, message := range messages {
		fmt.Fprintf(w, "event: message\ndata: %s\n\n", message)
	}
}

// modernMeta is what a modern client says of itself.
const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

// modernHeader returns the headers of a modern request.
func modernHeader(method, name string) []string {
	header := []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", method}
	if name != "" {
		header = append(header, "Mcp-Name", name)
	}
	return header
}

// openVersion opens a session of a version.
func openVersion(t *testing.T, url, key, version, capabilities string) string {
	t.Helper()
	status, body, header := send(t, url, key,
		`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"`+version+`","capabilities":`+capabilities+`}}`)
	id := header.Get("Mcp-Session-Id")
	if status != http.StatusOK || id == "" {
		t.Fatalf("initialize: %d %s", status, body)
	}
	return id
}

// serverAdd adds a server and approves all that it offers.
func serverAdd(t *testing.T, g gateway, name, url string) {
	t.Helper()
	admin(t, g.dataDir, "server", "add", name, "--url", url, "--private", "--approve")
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }
