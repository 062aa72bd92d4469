package upstream

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// statefulFake is a legacy server with sessions that answers everything well.
func statefulFake(t *testing.T) *fake {
	return &fake{t: t, stateful: true, call: func(w http.ResponseWriter, _ *http.Request, id string) { reply(w, ok(id)) }}
}

func key(n int) *principal.Principal {
	return &principal.Principal{User: "u", KeyID: fmt.Sprint("key", n)}
}

func callAs(t testing.TB, p *Pool, server *snapshotv1.Server, who *principal.Principal) *Answer {
	t.Helper()
	call := callTo(t, server, mcp.Legacy, "1", "echo", `{}`)
	call.Principal = who
	return do(t, p, call)
}

func TestTheHandshakeIsThatOfAClientWithoutCapabilities(t *testing.T) {
	var bodies []string
	var versions []string
	f := statefulFake(t)
	server := versioned(listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
		versions = append(versions, r.Header.Get(mcp.HeaderVersion)+" "+r.Header.Get(mcp.HeaderSession))
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		f.ServeHTTP(w, r)
	})), mcp.Version20251125)
	p := newPool(t, Config{Version: "9"})
	p.ids.Store(1)
	if answer := callAs(t, p, server, ana); answer.Outcome != outcomeOK {
		t.Fatalf("%s", show(answer))
	}
	want := []string{
		`{"jsonrpc":"2.0","id":2,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"warder","version":"9"}}}`,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"echo","arguments":{}}}`,
	}
	bodies[0] = strings.Replace(bodies[0], `"id":1,`, `"id":2,`, 1)
	bodies[2] = strings.Replace(bodies[2], `"id":2,`, `"id":3,`, 1)
	if !slices.Equal(bodies, want) {
		t.Errorf("messages:\n%s\nwant:\n%s", strings.Join(bodies, "\n"), strings.Join(want, "\n"))
	}
	if !slices.Equal(versions, []string{" ", "2025-06-18 session-1", "2025-06-18 session-1"}) {
		t.Errorf("versions and sessions: %q", versions)
	}
}

func TestManyFirstCallsMakeOneHandshakePerKey(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		f := statefulFake(t)
		f.stateful = stateful
		server := versioned(listen(t, f), mcp.Version20251125)
		p := newPool(t, Config{})
		var wait sync.WaitGroup
		for i := range 60 {
			wait.Go(func() {
				if answer := callAs(t, p, server, key(i%3)); answer.Outcome != outcomeOK {
					t.Errorf("%s", show(answer))
				}
			})
		}
		wait.Wait()
		want := int64(1)
		if stateful {
			want = 3
		}
		if n := f.initializes.Load(); n != want {
			t.Errorf("stateful %v: %d handshakes, want %d", stateful, n, want)
		}
	}
}

func TestACallOfALostSessionIsMadeAgainOnce(t *testing.T) {
	f := statefulFake(t)
	server := versioned(listen(t, f), mcp.Version20251125)
	p := newPool(t, Config{})
	callAs(t, p, server, ana)
	f.forgetAll()
	if answer := callAs(t, p, server, ana); answer.Outcome != outcomeOK {
		t.Errorf("after the server forgot the session: %s", answer.Error)
	}
	if n, calls := f.initializes.Load(), f.calls.Load(); n != 2 || calls != 2 {
		t.Errorf("%d handshakes, %d executed calls; want 2 and 2", n, calls)
	}
}

func TestAServerThatForgetsEachSessionFailsAfterOneRetry(t *testing.T) {
	f := statefulFake(t)
	var posts atomic.Int64
	server := versioned(listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posts.Add(1)
		f.ServeHTTP(w, r)
		if r.Header.Get(mcp.HeaderVersion) != "" {
			f.forgetAll()
		}
	})), mcp.Version20251125)
	wantFailure(t, callAs(t, newPool(t, Config{}), server, ana), mcp.CodeBadServerAnswer, "forgets each session at once")
	if n := posts.Load(); n != 6 {
		t.Errorf("%d requests, want two times initialize, initialized, call", n)
	}
}

func TestNothingButALostSessionIsEverSentAgain(t *testing.T) {
	for name, call := range map[string]func(http.ResponseWriter){
		"hangs up": cut,
		"500":      func(w http.ResponseWriter) { w.WriteHeader(500) },
		"503":      func(w http.ResponseWriter) { w.WriteHeader(503) },
		"429":      func(w http.ResponseWriter) { w.WriteHeader(429) },
		"400":      func(w http.ResponseWriter) { w.WriteHeader(400) },
	} {
		for _, version := range []string{mcp.Version20251125, mcp.Version20260728} {
			f := &fake{t: t}
			f.call = func(w http.ResponseWriter, _ *http.Request, id string) {
				if f.calls.Load() == 1 {
					reply(w, ok(id)) // makes a connection that is used again
					return
				}
				call(w)
			}
			server := versioned(listen(t, f), version)
			p := newPool(t, Config{})
			callAs(t, p, server, ana)
			if answer := callAs(t, p, server, ana); answer.Outcome != outcomeServerFailed {
				t.Errorf("%s, %s: %s", name, version, show(answer))
			}
			if n := f.calls.Load(); n != 2 {
				t.Errorf("%s, %s: the second call reached the server %d times", name, version, n-1)
			}
		}
	}
}

// notFound answers HTTP 404 with a body.
func notFound(media, body string) func(w http.ResponseWriter, id string) {
	return func(w http.ResponseWriter, id string) {
		if media != "" {
			w.Header().Set("Content-Type", media)
		}
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, strings.ReplaceAll(body, "ID", id))
	}
}

// lostCall makes a call of a method in the client's own session, which the server answers the first time with refuse,
// and then one more. It returns both answers and how often the server got a call.
func lostCall(t *testing.T, body string, refuse func(w http.ResponseWriter, id string)) (first, second *Answer, calls int64) {
	t.Helper()
	f := statefulFake(t)
	f.all = true
	f.call = func(w http.ResponseWriter, r *http.Request, id string) {
		if r.Header.Get(mcp.HeaderSession) == "session-1" {
			refuse(w, id)
			return
		}
		reply(w, ok(id))
	}
	server := versioned(listen(t, f), mcp.Version20251125)
	p := newPool(t, Config{})
	ref, err := p.Open(t.Context(), server, nil, 0, mcp.Version20251125)
	if err != nil || ref.ID != "session-1" {
		t.Fatalf("the client's own session is %v: %v", ref, err)
	}
	call := func() *Answer {
		c := callWith(t, server, mcp.Legacy, mcp.Version20251125, body, "get")
		c.Session, c.SessionKey = &ref, "s/1"
		return do(t, p, c)
	}
	first = call()
	calls = f.calls.Load()
	return first, call(), calls
}

const (
	toolCall  = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"github__get"}}`
	promptGet = `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"github__get"}}`
)

// TestALostSessionThatIsBeyondDoubtCostsNothing: the protocol has HTTP 404 for a session that is not there, which says that
// nothing was executed, of whatever method.
func TestALostSessionThatIsBeyondDoubtCostsNothing(t *testing.T) {
	for name, refuse := range map[string]func(http.ResponseWriter, string){
		"no body":              notFound("", ""),
		"the Go SDK":           notFound("text/plain", "session not found"),
		"the TypeScript SDK":   notFound("application/json", `{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}`),
		"the Python SDK":       notFound("application/json", `{"jsonrpc":"2.0","error":{"code":-32600,"message":"Session not found"},"id":"server-error"}`),
		"JSON that is not RPC": notFound("application/json", `{"message":"Session not found"}`),
	} {
		for _, body := range []string{toolCall, promptGet} {
			first, _, calls := lostCall(t, body, refuse)
			if first.Outcome != outcomeOK || calls != 2 {
				t.Errorf("%s: %s after %d calls", name, show(first), calls)
			}
		}
	}
}

// TestACallOfAToolThatMayHaveRunIsNotMadeAgain: whoever names the request has read it. What a tool says of itself is not
// even known here; only a method that does no harm twice is made again.
func TestACallOfAToolThatMayHaveRunIsNotMadeAgain(t *testing.T) {
	for name, refuse := range map[string]func(http.ResponseWriter, string){
		"an error of the session": notFound("application/json", `{"jsonrpc":"2.0","id":ID,"error":{"code":-32001,"message":"Session not found"}}`),
		"an error of its own":     notFound("application/json", `{"jsonrpc":"2.0","id":ID,"error":{"code":7,"message":"no such issue"}}`),
		"a result":                notFound("application/json", `{"jsonrpc":"2.0","id":ID,"result":{"content":[]}}`),
		"half an answer":          notFound("application/json", `{"jsonrpc":"2.0","id":ID,"result":`),
		"an older SDK's error":    olderSDK,
	} {
		first, second, calls := lostCall(t, toolCall, refuse)
		wantFailure(t, first, mcp.CodeUnavailable, "may have executed the call")
		if calls != 1 {
			t.Errorf("%s: the call was made %d times", name, calls)
		}
		if second.Outcome != outcomeOK {
			t.Errorf("%s: the next call, which should have a new session: %s", name, show(second))
		}
		if first, _, calls := lostCall(t, promptGet, refuse); first.Outcome != outcomeOK || calls != 2 {
			t.Errorf("%s, of a prompt: %s after %d calls", name, show(first), calls)
		}
	}
}

// olderSDK answers as servers made with the older SDKs do to a session that they do not know.
func olderSDK(w http.ResponseWriter, id string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(400)
	io.WriteString(w, `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":`+id+`}`)
}

func TestACallThatAnOlderSDKRefusedForItsSessionIsMadeAgainOnce(t *testing.T) {
	f := statefulFake(t)
	server := versioned(listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session := r.Header.Get(mcp.HeaderSession)
		switch {
		case session != "" && r.Method == http.MethodPost && !f.knows(session):
			olderSDK(w, "null")
		default:
			f.ServeHTTP(w, r)
		}
	})), mcp.Version20251125)
	p := newPool(t, Config{})
	callAs(t, p, server, ana)
	f.forgetAll()
	if answer := callAs(t, p, server, ana); answer.Outcome != outcomeOK {
		t.Errorf("after the server forgot the session: %s", show(answer))
	}
	if n, calls := f.initializes.Load(), f.calls.Load(); n != 2 || calls != 2 {
		t.Errorf("%d handshakes, %d executed calls; want 2 and 2", n, calls)
	}
}

func TestAServerThatRefusesEachSessionTheOldWayFailsAfterOneRetry(t *testing.T) {
	f := statefulFake(t)
	f.call = func(w http.ResponseWriter, _ *http.Request, _ string) { olderSDK(w, "null") }
	server := versioned(listen(t, f), mcp.Version20251125)
	wantFailure(t, callAs(t, newPool(t, Config{}), server, ana), mcp.CodeBadServerAnswer, "forgets each session at once")
	if n := f.calls.Load(); n != 2 {
		t.Errorf("the call was sent %d times; want 2", n)
	}
}

func TestA400ThatNamesTheRequestEndsTheSessionWithoutARetry(t *testing.T) {
	f := statefulFake(t)
	f.call = func(w http.ResponseWriter, _ *http.Request, id string) {
		if f.calls.Load() > 1 {
			reply(w, ok(id))
			return
		}
		olderSDK(w, id)
	}
	server := versioned(listen(t, f), mcp.Version20251125)
	p := newPool(t, Config{})
	wantFailure(t, callAs(t, p, server, ana), mcp.CodeUnavailable, "call again")
	if f.calls.Load() != 1 {
		t.Error("the call was sent again")
	}
	if answer := callAs(t, p, server, ana); answer.Outcome != outcomeOK || f.initializes.Load() != 2 {
		t.Errorf("the next call: %s after %d handshakes", show(answer), f.initializes.Load())
	}
}

func TestSessionsAreBoundedAndTheOldestIsEnded(t *testing.T) {
	f := statefulFake(t)
	server := versioned(listen(t, f), mcp.Version20251125)
	p := newPool(t, Config{Sessions: 3})
	for n := range 3 {
		callAs(t, p, server, key(n))
	}
	callAs(t, p, server, key(0)) // used again: now the session of key 1 is the oldest
	callAs(t, p, server, key(3))
	await(t, "the end of a session", func() bool { _, ended := f.seen(); return slices.Equal(ended, []string{"session-2"}) })
	callAs(t, p, server, key(0))
	if n := f.initializes.Load(); n != 4 {
		t.Errorf("%d handshakes, want 4", n)
	}
}

func TestASessionInUseIsNotEnded(t *testing.T) {
	f := statefulFake(t)
	release := make(chan struct{})
	f.call = func(w http.ResponseWriter, r *http.Request, id string) {
		if r.Header.Get(mcp.HeaderSession) == "session-1" {
			<-release
		}
		reply(w, ok(id))
	}
	server := versioned(listen(t, f), mcp.Version20251125)
	p := newPool(t, Config{Sessions: 1})
	done := make(chan *Answer)
	go func() { done <- callAs(t, p, server, key(1)) }()
	await(t, "the first call", func() bool { return f.calls.Load() == 1 })
	callAs(t, p, server, key(2))
	callAs(t, p, server, key(3))
	await(t, "the end of a session", func() bool { _, ended := f.seen(); return slices.Equal(ended, []string{"session-2"}) })
	close(release)
	if answer := <-done; answer.Outcome != outcomeOK {
		t.Errorf("the call in the session: %s", show(answer))
	}
}

func TestAnIdleSessionIsEnded(t *testing.T) {
	f := statefulFake(t)
	server := versioned(listen(t, f), mcp.Version20251125)
	p := newPool(t, Config{SessionIdle: 50 * time.Millisecond})
	callAs(t, p, server, ana)
	await(t, "the end of the session", func() bool { _, ended := f.seen(); return slices.Equal(ended, []string{"session-1"}) })
	if answer := callAs(t, p, server, ana); answer.Outcome != outcomeOK || f.initializes.Load() != 2 {
		t.Errorf("the next call: %s", show(answer))
	}
}

// TestEndKeyEndsWhatTheKeySharesAndNothingElse: a client that ends its session leaves no session of a server behind until
// its idle time, which is far away here.
func TestEndKeyEndsWhatTheKeySharesAndNothingElse(t *testing.T) {
	one, other := statefulFake(t), statefulFake(t)
	servers := []*snapshotv1.Server{versioned(listen(t, one), mcp.Version20251125), versioned(listen(t, other), mcp.Version20251125)}
	p := newPool(t, Config{})
	for _, server := range servers {
		for _, key := range []string{"s/1", "s/2"} {
			call := callTo(t, server, mcp.Legacy, "1", "get", "{}")
			call.SessionKey = key
			do(t, p, call)
		}
	}
	p.EndKey("s/1")
	p.EndKey("s/nobody's")
	for _, f := range []*fake{one, other} {
		await(t, "the end of the session", func() bool { _, ended := f.seen(); return slices.Equal(ended, []string{"session-1"}) })
	}
	if n := p.sessions.len(); n != 2 {
		t.Errorf("%d sessions are left, want those of the other key", n)
	}
	call := callTo(t, servers[0], mcp.Legacy, "1", "get", "{}")
	call.SessionKey = "s/2"
	do(t, p, call)
	if n := one.initializes.Load(); n != 2 {
		t.Errorf("the session of the other key was ended too (%d handshakes)", n)
	}
}

func TestEndKeyLetsACallFinish(t *testing.T) {
	f := statefulFake(t)
	release := make(chan struct{})
	f.call = func(w http.ResponseWriter, _ *http.Request, id string) {
		<-release
		reply(w, ok(id))
	}
	p := newPool(t, Config{})
	call := callTo(t, versioned(listen(t, f), mcp.Version20251125), mcp.Legacy, "1", "get", "{}")
	call.SessionKey = "s/1"
	done := make(chan *Answer)
	go func() { answer, _ := p.Do(context.Background(), call, nil); done <- answer }()
	await(t, "the call", func() bool { return f.calls.Load() == 1 })
	p.EndKey("s/1")
	if _, ended := f.seen(); len(ended) != 0 {
		t.Error("a session was ended under its call")
	}
	close(release)
	if answer := <-done; answer.Outcome != outcomeOK {
		t.Errorf("the call: %s", show(answer))
	}
	await(t, "the end of the session", func() bool { _, ended := f.seen(); return len(ended) == 1 })
}

func TestRetainEndsWhatIsGoneAndKeepsWhatStays(t *testing.T) {
	stays, goes := statefulFake(t), statefulFake(t)
	stay, leave := versioned(listen(t, stays), mcp.Version20251125), versioned(listen(t, goes), mcp.Version20251125)
	p := newPool(t, Config{})
	callAs(t, p, stay, ana)
	callAs(t, p, leave, ana)
	again := versioned(stay, mcp.Version20251125) // the same content in the item of another snapshot
	p.Retain([]*snapshotv1.Server{again})
	await(t, "the end of the session", func() bool { _, ended := goes.seen(); return len(ended) == 1 })
	callAs(t, p, again, ana)
	callAs(t, p, stay, ana)
	if n := stays.initializes.Load(); n != 1 {
		t.Errorf("%d handshakes with the server that stayed", n)
	}
	if _, ended := stays.seen(); len(ended) != 0 {
		t.Errorf("its sessions were ended: %v", ended)
	}
	changed := versioned(stay, mcp.Version20251125)
	changed.Headers = []*snapshotv1.Header{{Name: "Authorization", Value: "new"}}
	callAs(t, p, changed, ana)
	if n := stays.initializes.Load(); n != 2 {
		t.Errorf("a server with new credentials shares the session of the old ones (%d handshakes)", n)
	}
}

func TestAFailedHandshakeIsTheFailureOfAllWhoWaitAndIsTriedAgain(t *testing.T) {
	good := statefulFake(t)
	var broken atomic.Bool
	broken.Store(true)
	var attempts atomic.Int64
	arrived := make(chan struct{})
	server := versioned(listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			attempts.Add(1)
			<-arrived
			w.WriteHeader(503)
			return
		}
		good.ServeHTTP(w, r)
	})), mcp.Version20251125)
	p := newPool(t, Config{})
	answers := make(chan *Answer, 10)
	for i := range 10 {
		go func() { answers <- callAs(t, p, server, key(i)) }()
	}
	await(t, "ten calls in flight", func() bool {
		e, err := p.endpoint(server)
		return err == nil && e.inFlight.Load() == 10 && attempts.Load() == 1
	})
	close(arrived)
	for range 10 {
		wantFailure(t, <-answers, mcp.CodeUnavailable, "HTTP 503")
	}
	broken.Store(false)
	if answer := callAs(t, p, server, ana); answer.Outcome != outcomeOK {
		t.Errorf("after it recovered: %s", answer.Error)
	}
}

func TestAHandshakeThatIsNotOneIsAFailure(t *testing.T) {
	initialize := func(result string, session string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			var request mcp.Request
			if err := mcp.ScanRequest(body, mcp.Limits{}, &request); err != nil || request.Method != mcp.MethodInitialize {
				w.WriteHeader(500)
				return
			}
			w.Header().Set(mcp.HeaderSession, session)
			reply(w, `{"jsonrpc":"2.0","id":`+string(request.ID.Of(body))+`,`+result+`}`)
		}
	}
	for name, test := range map[string]struct {
		handler http.Handler
		words   string
	}{
		"error":               {initialize(`"error":{"code":-1,"message":"`+canary+`"}`, ""), "refused to open a session (JSON-RPC error -1)"},
		"unknown version":     {initialize(`"result":{"protocolVersion":"1999-01-01"}`, ""), "no protocol version"},
		"modern version":      {initialize(`"result":{"protocolVersion":"2026-07-28"}`, ""), "no protocol version"},
		"no version":          {initialize(`"result":{}`, ""), "no protocol version"},
		"bad session id":      {initialize(`"result":{"protocolVersion":"2025-06-18"}`, "a b"), "session id that is not valid"},
		"initialized refused": {initialize(`"result":{"protocolVersion":"2025-06-18"}`, "s"), "HTTP status 500"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := callAs(t, newPool(t, Config{}), versioned(listen(t, test.handler), mcp.Version20251125), ana)
			response := scan(t, answer.Body)
			wantFailure(t, answer, response.ErrorCode, test.words)
		})
	}
}

func TestTheEraOfAServerIsDetectedOnce(t *testing.T) {
	tests := map[string]struct {
		discover func(w http.ResponseWriter, id string)
		legacy   bool
		fails    string
	}{
		"modern":           {func(w http.ResponseWriter, id string) { reply(w, discovered(id, `"2026-07-28"`)) }, false, ""},
		"modern and older": {func(w http.ResponseWriter, id string) { reply(w, discovered(id, `"2025-11-25","2026-07-28"`)) }, false, ""},
		"other versions":   {func(w http.ResponseWriter, id string) { reply(w, discovered(id, `"2025-11-25"`)) }, true, ""},
		"unknown method": {func(w http.ResponseWriter, id string) {
			reply(w, `{"jsonrpc":"2.0","id":`+id+`,"error":{"code":-32601,"message":"x"}}`)
		}, true, ""},
		"no session":          {func(w http.ResponseWriter, _ string) { http.Error(w, "no session", 400) }, true, ""},
		"404":                 {func(w http.ResponseWriter, _ string) { w.WriteHeader(404) }, true, ""},
		"401":                 {func(w http.ResponseWriter, _ string) { w.WriteHeader(401) }, false, "credentials"},
		"503":                 {func(w http.ResponseWriter, _ string) { w.WriteHeader(503) }, false, "HTTP 503"},
		"hangs up":            {func(w http.ResponseWriter, _ string) { cut(w) }, false, "closed the connection"},
		"garbage in a 200":    {func(w http.ResponseWriter, _ string) { reply(w, "?") }, false, "not a valid MCP message"},
		"redirects elsewhere": {func(w http.ResponseWriter, _ string) { w.WriteHeader(302) }, false, "HTTP 302"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var discovers atomic.Int64
			f := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, id string) { reply(w, ok(id)) }}
			server := versioned(listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get(mcp.HeaderMethod) != mcp.MethodDiscover {
					f.ServeHTTP(w, r)
					return
				}
				discovers.Add(1)
				body, _ := io.ReadAll(r.Body)
				var request mcp.Request
				if err := mcp.ScanRequest(body, mcp.Limits{}, &request); err != nil || !request.HasProtocolVersion || request.ClientCapabilities.Empty() {
					t.Errorf("discover %s: %v", body, err)
				}
				test.discover(w, string(request.ID.Of(body)))
			})), "")
			p := newPool(t, Config{})
			if test.fails != "" {
				answer := callAs(t, p, server, ana)
				wantFailure(t, answer, scan(t, answer.Body).ErrorCode, test.fails)
				return
			}
			for range 3 {
				if answer := callAs(t, p, server, ana); answer.Outcome != outcomeOK {
					t.Fatalf("%s", show(answer))
				}
			}
			if discovers.Load() != 1 || (f.initializes.Load() == 1) != test.legacy {
				t.Errorf("%d discovers, %d handshakes", discovers.Load(), f.initializes.Load())
			}
		})
	}
}

func discovered(id, versions string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"result":{"resultType":"complete","supportedVersions":[` + versions + `],"capabilities":{}}}`
}

func TestAServerThatRefusesTheModernVersionIsSpokenToAsLegacy(t *testing.T) {
	f := &fake{t: t}
	f.call = func(w http.ResponseWriter, r *http.Request, id string) {
		if r.Header.Get(mcp.HeaderVersion) == mcp.Version20260728 {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(400)
			io.WriteString(w, `{"jsonrpc":"2.0","id":`+id+`,"error":{"code":-32022,"message":"x","data":{"supported":["2025-11-25"],"requested":"2026-07-28"}}}`)
			return
		}
		reply(w, ok(id))
	}
	server := versioned(listen(t, f), mcp.Version20260728)
	p := newPool(t, Config{})
	for range 2 {
		if answer := callAs(t, p, server, ana); answer.Outcome != outcomeOK {
			t.Fatalf("%s", show(answer))
		}
	}
	if n := f.calls.Load(); n != 3 {
		t.Errorf("%d calls, want one refused and two executed", n)
	}
}

func TestCloseWaitsForTheEndOfSessions(t *testing.T) {
	f := statefulFake(t)
	server := versioned(listen(t, f), mcp.Version20251125)
	p := New(Config{})
	callAs(t, p, server, ana)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	p.Close(ctx)
	if _, ended := f.seen(); !slices.Equal(ended, []string{"session-1"}) {
		t.Errorf("ended sessions: %v", ended)
	}
}
