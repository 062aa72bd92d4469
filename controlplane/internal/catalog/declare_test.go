package catalog

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/mcp"
)

const everyCapability = `{"roots":{},"sampling":{"context":{},"tools":{}},"elicitation":{"form":{},"url":{}}}`

// asking is a legacy server that shows the tool "ask" only to clients that can be
// elicited. Before it lists its tools it sends the client requests, each of which
// must be answered before it goes on.
type asking struct {
	requests []string // methods
	older    bool     // HTTP+SSE, the transport of 2024-11-05
	events   chan string
	answers  chan string
	taken    []string // answers; valid once the list is answered
	stop     <-chan struct{}
	tools    string
}

func newAsking(t *testing.T, older bool, requests ...string) *asking {
	t.Helper()
	return &asking{
		requests: requests, older: older, events: make(chan string, 16), answers: make(chan string, len(requests)),
		stop:  t.Context().Done(),
		tools: `{"name":"a","inputSchema":{"type":"object"}}`,
	}
}

func (s *asking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && s.older {
		s.stream(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost || s.older && r.URL.Path != "/messages" {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	var q mcp.Request
	if err := mcp.ScanRequest(body, mcp.Limits{}, &q); err != nil || q.Method == "" {
		s.answers <- string(body) // It should be a response.
		w.WriteHeader(http.StatusAccepted)
		return
	}
	id := string(q.ID.Of(body))
	switch q.Method {
	case mcp.MethodInitialize:
		if strings.Contains(string(body), `"capabilities":`+everyCapability) {
			s.tools += `,{"name":"ask","inputSchema":{"type":"object"}}`
		}
		s.reply(w, fmt.Sprintf(legacyHello, id))
	case mcp.MethodToolsList:
		s.list(w, r, id)
	case mcp.MethodInitialized:
		w.WriteHeader(http.StatusAccepted)
	default:
		s.reply(w, `{"jsonrpc":"2.0","id":`+id+`,"error":{"code":-32601,"message":"x"}}`)
	}
}

func (s *asking) reply(w http.ResponseWriter, message string) {
	if s.older {
		s.events <- message
		w.WriteHeader(http.StatusAccepted)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, message)
}

func (s *asking) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "event: endpoint\ndata: /messages\n\n")
	for {
		_ = http.NewResponseController(w).Flush()
		select {
		case message := <-s.events:
			_, _ = fmt.Fprintf(w, "data: %s\n\n", message)
		case <-r.Context().Done():
			return
		}
	}
}

// list asks what it has to ask, and answers then.
func (s *asking) list(w http.ResponseWriter, r *http.Request, id string) {
	send := func(message string) {
		if s.older {
			s.events <- message
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "data: %s\n\n", message)
		_ = http.NewResponseController(w).Flush()
	}
	if s.older {
		w.WriteHeader(http.StatusAccepted)
		go s.ask(s.stop, id, send) // The answer comes on the stream.
		return
	}
	s.ask(r.Context().Done(), id, send)
}

func (s *asking) ask(stop <-chan struct{}, id string, send func(string)) {
	for i, method := range s.requests {
		send(fmt.Sprintf(`{"jsonrpc":"2.0","id":"s%d","method":%q,"params":{}}`, i, method))
	}
	for range s.requests {
		select {
		case answer := <-s.answers:
			s.taken = append(s.taken, answer)
		case <-stop:
			return
		}
	}
	send(`{"jsonrpc":"2.0","id":` + id + `,"result":{"tools":[` + s.tools + `]}}`)
}

func TestDiscoverDeclaresWhatClientsMayBeAskedForAndDeclinesIt(t *testing.T) {
	for name, older := range map[string]bool{"streamable HTTP": false, "HTTP+SSE": true} {
		t.Run(name, func(t *testing.T) {
			fake := newAsking(t, older, mcp.MethodRootsList, mcp.MethodCreateMessage, mcp.MethodElicit, mcp.MethodPing)
			server := record(t, fake)
			found, err := NewDiscoverer("test").Discover(t.Context(), server.target())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"tool a", "tool ask"}, summary(found)); diff != "" {
				t.Error(diff)
			}
			for i, method := range fake.requests {
				answer, want := fake.taken[i], fmt.Sprintf(`"id":"s%d","error":{"code":-32601,`, i)
				if method == mcp.MethodPing {
					want = fmt.Sprintf(`"id":"s%d","result":{}`, i)
				}
				if !strings.Contains(answer, want) {
					t.Errorf("%s is answered %s", method, answer)
				}
			}
		})
	}
}

func TestDiscoverDeclaresTheSameToModernServersInEachRequest(t *testing.T) {
	server := record(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !strings.Contains(string(body), `"io.modelcontextprotocol/clientCapabilities":`+everyCapability+`,`) {
			t.Errorf("the client says %s, %v", body, err)
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		script{"server/discover": modernHello, "tools/list": oneTool}.ServeHTTP(w, r)
	}))
	found, err := NewDiscoverer("test").Discover(t.Context(), server.target())
	if err != nil || len(found.Entries) != 1 {
		t.Fatalf("Discover = %+v, %v", found, err)
	}
}

func TestHostileServersRequestsAreAnsweredUpToABound(t *testing.T) {
	var answered atomic.Int32
	legacy := script{"initialize": legacyHello, "notifications/initialized": ""}
	server := record(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		var q mcp.Request
		switch scanned := mcp.ScanRequest(body, mcp.Limits{}, &q); {
		case err != nil || r.Method != http.MethodPost:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case scanned != nil || q.Method == "":
			answered.Add(1)
			w.WriteHeader(http.StatusBadRequest) // It does not even take them.
		case q.Method == mcp.MethodToolsList:
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 10 * maxDeclined {
				_, _ = fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"roots/list\"}\n\n", i)
			}
			_, _ = fmt.Fprintf(w, "data: "+oneTool+"\n\n", q.ID.Of(body))
		default:
			legacy.ServeHTTP(w, r)
		}
	}))
	found, err := NewDiscoverer("test").Discover(t.Context(), server.target())
	if err != nil || len(found.Entries) != 1 {
		t.Fatalf("Discover = %+v, %v", found, err)
	}
	if n := answered.Load(); n != maxDeclined {
		t.Errorf("%d requests of the server are answered, not %d", n, maxDeclined)
	}
}

// A server that looks whether its client is there before it answers initialize
// gets its answer in the session that it has just named.
func TestWhatAServerAsksBeforeItAnswersInitializeIsAnsweredInItsSession(t *testing.T) {
	pong := make(chan string, 1)
	server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var q mcp.Request
		if err := mcp.ScanRequest(body, mcp.Limits{}, &q); err != nil || q.Method == "" {
			pong <- r.Header.Get("Mcp-Session-Id") + " " + string(body)
			w.WriteHeader(http.StatusAccepted)
			return
		}
		id := string(q.ID.Of(body))
		switch q.Method {
		case mcp.MethodInitialize:
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Mcp-Session-Id", "just-named")
			_, _ = io.WriteString(w, `data: {"jsonrpc":"2.0","id":"p","method":"ping"}`+"\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case got := <-pong:
				if want := `just-named {"jsonrpc":"2.0","id":"p","result":{}}`; got != want {
					t.Errorf("ping was answered with %s, want %s", got, want)
				}
			case <-r.Context().Done():
				return
			}
			_, _ = fmt.Fprintf(w, "data: "+legacyHello+"\n\n", id)
		case mcp.MethodInitialized:
			w.WriteHeader(http.StatusAccepted)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":`+id+`,"error":{"code":-32601,"message":"x"}}`)
		}
	})
	if _, err := NewDiscoverer("test").Discover(t.Context(), record(t, server).target()); err != nil {
		t.Error(err)
	}
}
