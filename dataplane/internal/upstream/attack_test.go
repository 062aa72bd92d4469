package upstream

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
)

// TestT22_AServerThatBeginsToHaveSessionsGivesEachCallerItsOwn: while it had none, one
// handshake served everybody; one that gives a session must not.
func TestT22_AServerThatBeginsToHaveSessionsGivesEachCallerItsOwn(t *testing.T) {
	var stateful atomic.Bool
	var initializes atomic.Int64
	release := make(chan struct{})
	var mu sync.Mutex
	users := map[string]string{} // of sessions
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request mcp.Request
		if r.Method != http.MethodPost || mcp.ScanRequest(body, mcp.Limits{}, &request) != nil {
			return
		}
		id := string(request.ID.Of(body))
		session := r.Header.Get(mcp.HeaderSession)
		switch {
		case request.Method == mcp.MethodInitialize:
			if n := initializes.Add(1); stateful.Load() {
				w.Header().Set(mcp.HeaderSession, fmt.Sprint("session-", n))
				<-release
			}
			reply(w, `{"jsonrpc":"2.0","id":`+id+`,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"f","version":"1"}}}`)
		case request.Method != mcp.MethodToolsCall:
			w.WriteHeader(http.StatusAccepted)
		case stateful.Load() && session == "":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"jsonrpc":"2.0","error":{"code":-32000,"message":"no session"},"id":null}`)
		default:
			mu.Lock()
			defer mu.Unlock()
			user := string(request.Arguments.Of(body))
			if other := users[session]; session != "" && other != "" && other != user {
				t.Errorf("%s and %s are in one session", user, other)
			}
			users[session] = user
			reply(w, ok(id))
		}
	})
	server := versioned(listen(t, handler), mcp.Version20251125)
	p := newPool(t, Config{})
	call := func(user string) *Answer {
		c := callTo(t, server, mcp.Legacy, "1", "echo", `{"u":"`+user+`"}`)
		c.Principal, c.SessionKey = &principal.Principal{User: user, KeyID: user}, "s/"+user
		return do(t, p, c)
	}
	if a := call("first"); a.Outcome != outcomeOK {
		t.Fatal(show(a))
	}
	stateful.Store(true)
	call("first") // finds out that the handshake is of no use any more
	var wait sync.WaitGroup
	for _, user := range []string{"ana", "bob", "cid"} {
		wait.Go(func() {
			if a := call(user); a.Outcome != outcomeOK {
				t.Errorf("%s: %s", user, show(a))
			}
		})
	}
	await(t, "all three to wait for a handshake", func() bool {
		p.sessions.mu.Lock()
		defer p.sessions.mu.Unlock()
		users := int64(0)
		for h := range p.sessions.all {
			users += h.users.Load()
		}
		return users >= 3
	})
	close(release)
	wait.Wait()
}

// TestA404AboutTheRequestIsNoLostSession: the server has looked at the request, and may
// have run it.
func TestA404AboutTheRequestIsNoLostSession(t *testing.T) {
	for _, code := range []int{mcp.CodeMethodNotFound, mcp.CodeInvalidParams, mcp.CodeInternal, mcp.CodeResourceNotFound} {
		f := statefulFake(t)
		f.call = func(w http.ResponseWriter, _ *http.Request, id string) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":"gone"}}`, id, code)
		}
		answer := callAs(t, newPool(t, Config{}), versioned(listen(t, f), mcp.Version20251125), ana)
		if n := f.calls.Load(); n != 1 || answer.Outcome != outcomeProtocolError {
			t.Errorf("%d: sent %d times; %s", code, n, show(answer))
		}
	}
}

// TestAServerThatTakesNoCourtesiesKeepsNoneFromOthers: a flood of pings, of which no
// answer is ever taken, and a server beside it that waits for one refusal.
func TestAServerThatTakesNoCourtesiesKeepsNoneFromOthers(t *testing.T) {
	flood, server := newAsker(t, mcp.Version20251125)
	done := make(chan struct{})
	defer close(done)
	flood.told = func(body string) {
		if strings.Contains(body, `"id":"q`) {
			<-done
		}
	}
	flood.call = func(w http.ResponseWriter, r *http.Request, _ string) {
		send := stream(w)
		for n := range 2000 {
			send(fmt.Sprintf("data: {\"jsonrpc\":\"2.0\",\"id\":\"q%d\",\"method\":\"ping\"}\n\n", n))
		}
		hang(r)
	}
	p := newPool(t, Config{})
	go p.Do(t.Context(), askingCall(t, server, mcp.Legacy), &collector{})
	e, _ := p.endpoint(server)
	await(t, "its places to be taken", func() bool { return e.courtesies.Load() == maxCourtesies })

	_, other := newAsker(t, mcp.Version20251125, unknown)
	other.Name = "other"
	answer, err := p.Do(t.Context(), askingCall(t, other, mcp.Legacy), &collector{})
	if err != nil || answer.Outcome != outcomeOK || !strings.Contains(string(answer.Body), "-32601") {
		t.Errorf("%v, %s", err, show(answer))
	}
}

// TestOneCallerHasAShareOfTheParkedCalls holds that nobody can keep all others from
// being asked.
func TestOneCallerHasAShareOfTheParkedCalls(t *testing.T) {
	p := newPool(t, Config{Parked: 2 * parkedShare})
	for i := range 4 {
		_, server := newAsker(t, mcp.Version20251125, elicits) // takes any answer for that to its own question
		if answer := do(t, p, askingCall(t, server, mcp.Modern)); (answer.Outcome == outcomeInputRequired) != (i < 2) {
			t.Errorf("call %d: %s", i, show(answer))
		}
	}
	_, server := newAsker(t, mcp.Version20251125, elicits)
	call := askingCall(t, server, mcp.Modern)
	call.Principal = &principal.Principal{User: "bob", KeyID: "bobkey"}
	name, key := parkedIn(t, do(t, p, call))
	back := comeBack(t, server, name, `{"`+key+`":`+accepted+`}`)
	back.Principal = call.Principal
	if answer := do(t, p, back); answer.Outcome != outcomeOK {
		t.Errorf("%s", show(answer))
	}
	p.parked.mu.Lock()
	defer p.parked.mu.Unlock()
	if len(p.parked.byCaller) != 1 || p.parked.byCaller[callerOf(ana)] != 2 || p.parked.reserved != 0 {
		t.Errorf("places %v, %d reserved", p.parked.byCaller, p.parked.reserved)
	}
}

// TestNodesCountTheirRequestsFromNumbersOfTheirOwn: two nodes speak in one session, and
// an id must not be in flight twice.
func TestNodesCountTheirRequestsFromNumbersOfTheirOwn(t *testing.T) {
	a, b := newPool(t, Config{}), newPool(t, Config{})
	x, y := a.ids.Load(), b.ids.Load()
	if x == y || x >= 1<<53 || y >= 1<<53 {
		t.Errorf("%d and %d", x, y)
	}
}
