package upstream

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// carrying returns a call of a legacy client that carries a session of its own.
func carrying(t testing.TB, server *snapshotv1.Server, ref SessionRef, key string) *Call {
	t.Helper()
	call := callTo(t, server, mcp.Legacy, "1", "echo", `{}`)
	call.Session, call.SessionKey, call.Capabilities = &ref, key, everything
	return call
}

func TestACarriedSessionIsUsedAtAnyNodeWithoutAHandshake(t *testing.T) {
	f := statefulFake(t)
	server := versioned(listen(t, f), mcp.Version20251125)
	ref, err := newPool(t, Config{}).Open(t.Context(), server, nil, everything, mcp.Version20251125)
	if err != nil || ref.ID != "session-1" {
		t.Fatalf("Open: %v, %v", ref, err)
	}
	for range 3 {
		p := newPool(t, Config{})
		if answer := do(t, p, carrying(t, server, ref, "s/1")); answer.Outcome != outcomeOK || p.sessions.len() != 0 {
			t.Errorf("%s", show(answer))
		}
	}
	if f.initializes.Load() != 1 {
		t.Errorf("%d handshakes", f.initializes.Load())
	}
	newPool(t, Config{}).End(server, ref)
	await(t, "the end of the session", func() bool { _, ended := f.seen(); return slices.Equal(ended, []string{"session-1"}) })
}

func TestACarriedSessionThatWasLostIsReplacedForAllWhoShareIt(t *testing.T) {
	f := statefulFake(t)
	server := versioned(listen(t, f), mcp.Version20251125)
	p := newPool(t, Config{})
	ref, err := p.Open(t.Context(), server, nil, everything, mcp.Version20251125)
	if err != nil {
		t.Fatal(err)
	}
	f.forgetAll()
	for range 3 {
		if answer := do(t, p, carrying(t, server, ref, "s/1")); answer.Outcome != outcomeOK {
			t.Fatalf("%s", show(answer))
		}
	}
	if n, calls := f.initializes.Load(), f.calls.Load(); n != 2 || calls != 3 {
		t.Errorf("%d handshakes and %d calls, want 2 and 3", n, calls)
	}
	if !strings.Contains(f.hellos[1], `"sampling":{}`) {
		t.Errorf("the replacement was opened with %s", f.hellos[1])
	}

	// What the client says of its session goes to the one that took its place.
	if err := p.Notify(t.Context(), server, ref, []byte(`{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`)); err != nil {
		t.Error(err)
	}
	if err := p.Cancel(t.Context(), server, ref, []byte(`"x"`), "enough"); err != nil {
		t.Error(err)
	}
	bodies, _ := f.seen()
	want := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x","reason":"enough"}}`
	if !slices.Contains(bodies, want) || !slices.ContainsFunc(bodies, func(b string) bool { return strings.Contains(b, mcp.MethodRootsChanged) }) {
		t.Errorf("the server got %q", bodies)
	}

	f.forgetAll() // the replacement is lost as well
	if answer := do(t, p, carrying(t, server, ref, "s/1")); answer.Outcome != outcomeOK || f.initializes.Load() != 3 {
		t.Errorf("%s after %d handshakes", show(answer), f.initializes.Load())
	}
	p.End(server, ref)
	await(t, "the end of the replacement", func() bool { _, ended := f.seen(); return slices.Equal(ended, []string{"session-3"}) })
}

func TestOpenCarriesNothingWhereThereIsNothingToCarry(t *testing.T) {
	tests := map[string]struct {
		version  string
		stateful bool
		want     SessionRef
	}{
		"modern":           {mcp.Version20260728, false, SessionRef{}},
		"without sessions": {mcp.Version20251125, false, SessionRef{Version: "2025-06-18"}},
		"with sessions":    {mcp.Version20251125, true, SessionRef{ID: "session-1", Version: "2025-06-18"}},
	}
	for name, test := range tests {
		f := statefulFake(t)
		f.stateful = test.stateful
		server := versioned(listen(t, f), test.version)
		p := newPool(t, Config{})
		ref, err := p.Open(t.Context(), server, nil, 0, mcp.Version20250618)
		if err != nil || ref != test.want {
			t.Errorf("%s: %+v, %v", name, ref, err)
		}
		if answer := do(t, p, carrying(t, server, ref, "s/1")); answer.Outcome != outcomeOK {
			t.Errorf("%s: %s", name, show(answer))
		}
		if n := f.initializes.Load(); test.version == mcp.Version20251125 && n > 2 {
			t.Errorf("%s: %d handshakes", name, n)
		}
	}
	dead := &snapshotv1.Server{Name: "github", Url: "http://127.0.0.1:1/", Private: true, ProtocolVersion: mcp.Version20251125}
	if _, err := newPool(t, Config{}).Open(t.Context(), dead, nil, 0, mcp.Version20250618); fault.KindOf(err) != fault.Unavailable || !strings.Contains(fault.Text(err), "refused the connection") {
		t.Errorf("a dead server: %v", err)
	}
}

func TestClientsOfDifferentCapabilitiesDoNotShareAHandshake(t *testing.T) {
	f := statefulFake(t)
	f.stateful = false
	server := versioned(listen(t, f), mcp.Version20251125)
	p := newPool(t, Config{})
	for range 2 {
		for _, capabilities := range []mcp.Capabilities{0, mcp.CapRoots, everything} {
			call := callTo(t, server, mcp.Legacy, "1", "echo", `{}`)
			call.Capabilities = capabilities
			if answer := do(t, p, call); answer.Outcome != outcomeOK {
				t.Fatalf("%s", show(answer))
			}
		}
	}
	if n := f.initializes.Load(); n != 3 {
		t.Errorf("%d handshakes, want 3: %q", n, f.hellos)
	}
}

func TestALegacyServerThatWasReplacedByAModernOneIsFoundOut(t *testing.T) {
	refuse := func(status int, body string) func(w http.ResponseWriter, id string) {
		return func(w http.ResponseWriter, id string) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			if body != "" {
				w.Write([]byte(`{"jsonrpc":"2.0","id":` + id + `,"error":` + body + `}`))
			}
		}
	}
	for name, legacy := range map[string]func(w http.ResponseWriter, id string){
		"method not found in 404": refuse(404, `{"code":-32601,"message":"x"}`),
		"method not found in 200": refuse(200, `{"code":-32601,"message":"x"}`),
		"version refused":         refuse(400, `{"code":-32022,"message":"x","data":{"supported":["2026-07-28"],"requested":"2025-11-25"}}`),
		"nothing but 404":         refuse(404, ""),
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{t: t, all: true}
			modern := false
			f.call = func(w http.ResponseWriter, r *http.Request, id string) {
				request := r.Context().Value(bodyKey{}).(*mcp.Request)
				switch {
				case modern && r.Header.Get(mcp.HeaderVersion) != mcp.Version20260728:
					legacy(w, id)
				case request.Method == mcp.MethodDiscover:
					reply(w, discovered(id, `"2026-07-28"`))
				default:
					reply(w, ok(id))
				}
			}
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if modern && r.Method == http.MethodPost && r.Header.Get(mcp.HeaderVersion) == "" {
					legacy(w, idOf(t, string(body)))
					return
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				f.ServeHTTP(w, r)
			})
			f.stateful = true
			server := versioned(listen(t, handler), mcp.Version20251125)
			var changed []string
			p := newPool(t, Config{Changed: func(name string) { changed = append(changed, name) }})
			if answer := callAs(t, p, server, ana); answer.Outcome != outcomeOK {
				t.Fatalf("%s", show(answer))
			}
			modern, f.stateful = true, false
			p.sessions.mu.Lock()
			for h := range p.sessions.all {
				p.sessions.discard(h)
			}
			p.sessions.mu.Unlock()
			for range 2 {
				if answer := callAs(t, p, server, ana); answer.Outcome != outcomeOK {
					t.Fatalf("after it was replaced: %s", show(answer))
				}
			}
			if !slices.Equal(changed, []string{"github"}) {
				t.Errorf("changed: %q", changed)
			}
		})
	}
}

func TestAModernClientsLogLevelIsSetOnceInASession(t *testing.T) {
	f := statefulFake(t)
	var levels []string
	f.all = true
	f.call = func(w http.ResponseWriter, r *http.Request, id string) {
		if request := r.Context().Value(bodyKey{}).(*mcp.Request); request.Method == mcp.MethodSetLevel {
			levels = append(levels, request.Level)
			reply(w, `{"jsonrpc":"2.0","id":`+id+`,"result":{}}`)
			return
		}
		send := stream(w)
		for _, level := range []string{"debug", "warning", "error"} {
			send(`data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"` + level + `","data":1}}` + "\n\n")
		}
		send("data: " + ok(id) + "\n\n")
	}
	server := versioned(listen(t, f), mcp.Version20251125)
	p := newPool(t, Config{})
	for _, level := range []string{"", "warning", "warning", "error"} {
		call := callTo(t, server, mcp.Modern, "1", "echo", `{}`)
		call.LogLevel = level
		var sink collector
		answer, err := p.Do(t.Context(), call, &sink)
		want := map[string]int{"": 0, "warning": 2, "error": 1}[level]
		if err != nil || answer.Outcome != outcomeOK || len(sink.messages) != want {
			t.Errorf("level %q: %v, %s, messages %q", level, err, show(answer), sink.messages)
		}
	}
	if !slices.Equal(levels, []string{"warning", "error"}) {
		t.Errorf("levels set: %q", levels)
	}
}

func TestAStreamThatEndsBeforeTheAnswerIsReadOn(t *testing.T) {
	var from []string
	f := statefulFake(t)
	f.call = func(w http.ResponseWriter, r *http.Request, id string) {
		stream(w)("id: e1\nretry: 20\ndata:\n\nid: e2\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\"}}\n\nevent: close\nretry: 30\ndata:\n\n")
		f.resumed = func(w http.ResponseWriter, r *http.Request) {
			from = append(from, r.Header.Get("Last-Event-ID")+" "+r.Header.Get(mcp.HeaderSession))
			send := stream(w)
			if len(from) == 1 {
				send("id: e3\ndata:\n\n")
				return
			}
			send("id: e4\ndata: " + ok(id) + "\n\n")
		}
	}
	server := versioned(listen(t, f), mcp.Version20251125)
	p := newPool(t, Config{})
	if answer := do(t, p, callTo(t, server, mcp.Modern, `"m"`, "echo", `{}`)); answer.Outcome != outcomeOK || !strings.Contains(string(answer.Body), `"id":"m"`) {
		t.Errorf("a modern client: %s", show(answer))
	}
	if !slices.Equal(from, []string{"e2 session-1", "e3 session-1"}) || f.calls.Load() != 1 {
		t.Errorf("resumed from %q after %d calls", from, f.calls.Load())
	}

	var sink collector
	answer, err := p.Do(t.Context(), callTo(t, server, mcp.Legacy, `"m"`, "echo", `{}`), &sink)
	session := SessionRef{ID: "session-1", Version: "2025-06-18"}
	if err != nil || !answer.Detached || answer.Body != nil || !time.Now().Before(answer.Until) || answer.At != (Mark{EventID: "e2", Retry: 30 * time.Millisecond, Session: session}) {
		t.Errorf("a legacy client: %v, %+v", err, answer)
	}
	if !slices.Equal(sink.primes, []Mark{{EventID: "e1", Retry: 20 * time.Millisecond, Session: session}, {Retry: 30 * time.Millisecond}}) ||
		!slices.Equal(sink.marks, []Mark{{EventID: "e2", Session: session}}) {
		t.Errorf("primes %+v, marks %+v", sink.primes, sink.marks)
	}
}

func TestAStreamThatCannotBeReadOnIsAFailureAndTheCallIsNotRepeated(t *testing.T) {
	for name, resumed := range map[string]func(w http.ResponseWriter, r *http.Request){
		"405":              nil,
		"404":              func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"ends every time":  func(w http.ResponseWriter, _ *http.Request) { stream(w)(": hello\n\n") },
		"version refused":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) },
		"an error in JSON": func(w http.ResponseWriter, _ *http.Request) { olderSDK(w, "null") },
	} {
		f := statefulFake(t)
		f.call = func(w http.ResponseWriter, _ *http.Request, _ string) { stream(w)("id: e1\nretry: 1\ndata:\n\n") }
		f.resumed = resumed
		server := versioned(listen(t, f), mcp.Version20251125)
		answer := do(t, newPool(t, Config{}), callTo(t, server, mcp.Modern, "1", "echo", `{}`))
		wantFailure(t, answer, mcp.CodeUnavailable, "before the answer")
		if f.calls.Load() != 1 || f.initializes.Load() != 1 {
			t.Errorf("%s: %d calls, %d handshakes", name, f.calls.Load(), f.initializes.Load())
		}
	}
}
