package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// asker is a legacy server that asks the client in the middle of a call, waits for each answer, and then says what it got.
type asker struct {
	fake
	answers chan string
}

func newAsker(t testing.TB, version string, asks ...string) (*asker, *snapshotv1.Server) {
	a := &asker{answers: make(chan string, 16)}
	a.t, a.stateful = t, true
	a.told = func(body string) {
		if strings.Contains(body, `"id":"q`) {
			a.answers <- body
		}
	}
	a.call = func(w http.ResponseWriter, r *http.Request, id string) {
		send := stream(w)
		var got []string
		for _, ask := range asks {
			send(": a comment\n\ndata: " + ask + "\n\n")
			select {
			case answer := <-a.answers:
				got = append(got, answer)
			case <-r.Context().Done():
				return
			}
		}
		text := mcp.AppendString(nil, strings.Join(got, " "))
		send(`data: {"jsonrpc":"2.0","id":` + id + `,"result":{"content":[{"type":"text","text":` + string(text) + "}]}}\n\n")
	}
	return a, versioned(listen(t, a), version)
}

const (
	elicits = `{"jsonrpc":"2.0","id":"q1","method":"elicitation/create","params":{"message":"name?","n":1.10}}`
	samples = `{"jsonrpc":"2.0","id":"q2","method":"sampling/createMessage","params":{"maxTokens":5}}`
	rooted  = `{"jsonrpc":"2.0","id":"q3","method":"roots/list"}`
	pings   = `{"jsonrpc":"2.0","id":"q4","method":"ping"}`
	unknown = `{"jsonrpc":"2.0","id":"q5","method":"evil/do","params":{}}`
	urls    = `{"jsonrpc":"2.0","id":"q6","method":"elicitation/create","params":{"mode":"url","url":"https://a.example/","message":"go","elicitationId":"e"}}`
)

// parkedIn returns the name that plainSeal put into an answer, and the key under which the client answers.
func parkedIn(t testing.TB, answer *Answer) (name, key string) {
	t.Helper()
	response := scan(t, answer.Body)
	state, err := mcp.String(response.RequestState.Of(answer.Body))
	if err != nil || answer.Outcome != outcomeInputRequired {
		t.Fatalf("%v, %s", err, show(answer))
	}
	_, name, _ = strings.Cut(state, "parked=")
	mcp.EachInput(answer.Body, response.InputRequests, func(in mcp.Input) error { key = in.Key; return nil })
	if name == "" || key == "" {
		t.Fatalf("%s", answer.Body)
	}
	return name, key
}

// comeBack returns the call with which a client brings responses, a raw object.
func comeBack(t testing.TB, server *snapshotv1.Server, name, responses string) *Call {
	t.Helper()
	call := askingCall(t, server, mcp.Modern)
	body := strings.Replace(string(call.Body), `"arguments"`, `"inputResponses":`+responses+`,"requestState":"sealed","arguments"`, 1)
	body = strings.Replace(body, `"id":"mine"`, `"id":"second"`, 1)
	call = callWith(t, server, mcp.Modern, mcp.Version20260728, body, "echo")
	call.Capabilities, call.Permit, call.SealState = everything, permitAll, plainSeal
	call.HasState, call.Parked = true, name
	return call
}

func TestWhatALegacyServerAsksBecomesInputOfAModernClient(t *testing.T) {
	a, server := newAsker(t, mcp.Version20251125, elicits, pings, samples, rooted)
	p := newPool(t, Config{})
	call := askingCall(t, server, mcp.Modern)
	call.ServerInfo = []byte(`{"name":"warder"}`)
	answer := do(t, p, call)
	name, key := parkedIn(t, answer)
	if !strings.Contains(string(answer.Body), `"`+key+`":{"method":"elicitation/create","params":{"message":"name?","n":1.10}}`) ||
		!strings.Contains(string(answer.Body), `{"name":"warder"}`) {
		t.Errorf("answer %s", answer.Body)
	}
	e, _ := p.endpoint(server)
	if p.parked.len() != 1 || e.inFlight.Load() != 0 {
		t.Errorf("%d parked calls, %d in flight", p.parked.len(), e.inFlight.Load())
	}
	for _, want := range []string{`"method":"sampling/createMessage","params":{"maxTokens":5}`, `"method":"roots/list"`} {
		answer = do(t, p, comeBack(t, server, name, `{"`+key+`":`+accepted+`}`))
		before := key
		if name, key = parkedIn(t, answer); key == before || !strings.Contains(string(answer.Body), want) {
			t.Errorf("answer %s, want %s", answer.Body, want)
		}
	}
	answer = do(t, p, comeBack(t, server, name, `{"`+key+`":{"roots":[]}}`))
	if answer.Outcome != outcomeOK || a.calls.Load() != 1 || string(scan(t, answer.Body).ID.Of(answer.Body)) != `"second"` {
		t.Fatalf("%s after %d calls", show(answer), a.calls.Load())
	}
	for _, want := range []string{`{"jsonrpc":"2.0","id":"q1","result":` + accepted + `}`, `{"jsonrpc":"2.0","id":"q4","result":{}}`, `{"jsonrpc":"2.0","id":"q3","result":{"roots":[]}}`} {
		if text := string(mcp.AppendString(nil, want)); !strings.Contains(string(answer.Body), text[1:len(text)-1]) {
			t.Errorf("the server did not get %s; answer %s", want, answer.Body)
		}
	}
	if p.parked.len() != 0 {
		t.Error("the call is still parked")
	}
}

func TestAWrongKeyIsAskedAgain(t *testing.T) {
	_, server := newAsker(t, mcp.Version20251125, elicits)
	p := newPool(t, Config{})
	name, key := parkedIn(t, do(t, p, askingCall(t, server, mcp.Modern)))
	for _, responses := range []string{`{"other":` + accepted + `}`, `{}`, `{"` + key + `":null}`} {
		again, same := parkedIn(t, do(t, p, comeBack(t, server, name, responses)))
		if same != key {
			t.Errorf("the key changed from %s to %s", key, same)
		}
		name = again
	}
	if answer := do(t, p, comeBack(t, server, name, `{"x":1,"`+key+`":`+accepted+`}`)); answer.Outcome != outcomeOK {
		t.Errorf("%s", show(answer))
	}
}

func TestAParkedCallIsTakenOnceAndEndsInTime(t *testing.T) {
	a, server := newAsker(t, mcp.Version20251125, elicits)
	p := newPool(t, Config{ParkTime: 150 * time.Millisecond})
	name, key := parkedIn(t, do(t, p, askingCall(t, server, mcp.Modern)))
	other := versioned(server, mcp.Version20251125)
	other.Name = "other"
	stranger := comeBack(t, other, name, `{}`)
	if answer := do(t, p, stranger); answer.Outcome != outcomeServerFailed || p.parked.len() != 1 {
		t.Errorf("another server's call took it: %s", show(answer))
	}
	await(t, "the end of the parked call", func() bool {
		bodies, _ := a.seen()
		return p.parked.len() == 0 && slices.ContainsFunc(bodies, func(b string) bool { return strings.Contains(b, mcp.MethodCancelled) })
	})
	answer := do(t, p, comeBack(t, server, name, `{"`+key+`":`+accepted+`}`))
	wantFailure(t, answer, mcp.CodeUnavailable, "call again")
}

func TestParkedCallsAreBounded(t *testing.T) {
	_, server := newAsker(t, mcp.Version20251125, elicits)
	p := newPool(t, Config{Parked: 2 * parkedShare})
	for range 2 {
		parkedIn(t, do(t, p, askingCall(t, server, mcp.Modern)))
	}
	_, another := newAsker(t, mcp.Version20251125, elicits)
	answer := do(t, p, askingCall(t, another, mcp.Modern))
	if answer.Outcome != outcomeOK || !strings.Contains(string(answer.Body), "cannot be asked at the moment") {
		t.Errorf("%s", show(answer))
	}
	p.Close(t.Context())
	if p.parked.len() != 0 {
		t.Error("Close left parked calls")
	}
}

func TestWhatMayNotBeAskedIsAnsweredHere(t *testing.T) {
	deny := func(string, []byte) *mcp.Error { return &mcp.Error{Code: mcp.CodeDenied, Text: canary, Offset: -1} }
	tests := []struct {
		name, ask string
		declared  mcp.Capabilities
		permit    Permit
		want      string
	}{
		{"denied", samples, everything, deny, `"error":{"code":1403,`},
		{"no policy", samples, everything, nil, `"error":{"code":1403,`},
		{"not declared", samples, mcp.CapRoots, permitAll, `"error":{"code":-32601,`},
		{"no URLs", urls, mcp.CapElicitForm, permitAll, `"error":{"code":-32602,`},
		{"unknown", unknown, everything, permitAll, `"error":{"code":-32601,`},
	}
	for _, test := range tests {
		for _, era := range []mcp.Era{mcp.Legacy, mcp.Modern} {
			t.Run(fmt.Sprint(test.name, "/", era), func(t *testing.T) {
				_, server := newAsker(t, mcp.Version20251125, test.ask)
				call := askingCall(t, server, era)
				call.Capabilities, call.Permit = test.declared, test.permit
				var sink collector
				answer, err := newPool(t, Config{}).Do(t.Context(), call, &sink)
				text := string(mcp.AppendString(nil, test.want))
				if err != nil || answer.Outcome != outcomeOK || !strings.Contains(string(answer.Body), text[1:len(text)-1]) || len(sink.relayed) > 0 {
					t.Errorf("%v, %s, relayed %q", err, show(answer), sink.relayed)
				}
				if strings.Contains(string(answer.Body), canary) {
					t.Error("the server learns why")
				}
			})
		}
	}
}

func TestWhatALegacyServerAsksReachesALegacyClientAndItsAnswerTheServer(t *testing.T) {
	for _, own := range []bool{false, true} {
		a, server := newAsker(t, mcp.Version20251125, elicits, samples, rooted)
		p, other := newPool(t, Config{}), newPool(t, Config{})
		call := askingCall(t, server, mcp.Legacy)
		if own {
			ref, err := p.Open(t.Context(), server, nil, everything, mcp.Version20250618)
			if err != nil || ref != (SessionRef{ID: "session-1", Version: "2025-06-18"}) {
				t.Fatalf("Open: %v, %v", ref, err)
			}
			call.Session, call.SessionKey, call.ID = &ref, "s/1", []byte(`"derived"`)
		}
		sink := &collector{relay: func(session SessionRef, id, method string) {
			// The answer may come to any node.
			if err := other.Respond(t.Context(), server, session, []byte(`{"jsonrpc":"2.0","id":`+id+`,"result":{"to":"`+method+`"}}`)); err != nil {
				t.Errorf("Respond: %v", err)
			}
		}}
		answer, err := p.Do(t.Context(), call, sink)
		sink.relaying.Wait() // the server may be quicker than its answer to an answer
		if err != nil || answer.Outcome != outcomeOK || strings.Join(sink.relayed, "\n") != strings.Join([]string{elicits, samples, rooted}, "\n") {
			t.Fatalf("%v, %s, relayed %q", err, show(answer), sink.relayed)
		}
		for _, method := range []string{mcp.MethodElicit, mcp.MethodCreateMessage, mcp.MethodRootsList} {
			if !strings.Contains(string(answer.Body), `{\"to\":\"`+method+`\"}`) {
				t.Errorf("the server did not get the answer to %s: %s", method, answer.Body)
			}
		}
		if a.initializes.Load() != 1 {
			t.Errorf("%d handshakes", a.initializes.Load())
		}
		if own && !strings.Contains(a.hellos[0], `"capabilities":{"roots":{},"sampling":{},"elicitation":{}}`) {
			t.Errorf("initialize with %s", a.hellos[0])
		}
	}
}

func TestAClientThatGoesWhileItIsAskedEndsTheCall(t *testing.T) {
	a, server := newAsker(t, mcp.Version20251125, elicits)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	sink := &collector{relay: func(SessionRef, string, string) { cancel(gone) }}
	answer, err := newPool(t, Config{}).Do(ctx, askingCall(t, server, mcp.Legacy), sink)
	if !errors.Is(err, gone) || answer.Outcome != outcomeCancelled {
		t.Fatalf("%v, %s", err, show(answer))
	}
	await(t, "the cancellation", func() bool {
		bodies, _ := a.seen()
		return slices.ContainsFunc(bodies, func(b string) bool { return strings.Contains(b, mcp.MethodCancelled) })
	})
}

// TestManyParkedCallsAreResumedEachByItsOwn holds parking to T-22: no answer of a client reaches another's call.
func TestT22_ManyParkedCallsAreResumedEachByItsOwn(t *testing.T) {
	var mu sync.Mutex
	waiting := map[string]chan string{}
	a := &fake{t: t, stateful: true}
	a.told = func(body string) {
		mu.Lock()
		defer mu.Unlock()
		for id, answers := range waiting {
			if strings.Contains(body, `"id":"`+id+`"`) {
				answers <- body
			}
		}
	}
	a.call = func(w http.ResponseWriter, r *http.Request, id string) {
		name := r.Context().Value(bodyKey{}).(*mcp.Request).Name
		answers := make(chan string, 1)
		mu.Lock()
		waiting["ask-"+name+"."] = answers
		mu.Unlock()
		send := stream(w)
		send(`data: {"jsonrpc":"2.0","id":"ask-` + name + `.","method":"roots/list"}` + "\n\n")
		got := <-answers
		send(`data: {"jsonrpc":"2.0","id":` + id + `,"result":{"for":"` + name + `","got":` + string(mcp.AppendString(nil, got)) + "}}\n\n")
	}
	server := versioned(listen(t, a), mcp.Version20251125)
	p := newPool(t, Config{})
	var wait sync.WaitGroup
	for i := range 100 {
		wait.Go(func() {
			tool := fmt.Sprint("t", i)
			call := callTo(t, server, mcp.Modern, "1", tool, `{}`)
			call.Capabilities, call.Permit, call.SealState = everything, permitAll, plainSeal
			answer, err := p.Do(t.Context(), call, nil)
			if err != nil || answer.Outcome != outcomeInputRequired {
				t.Errorf("%v, %s", err, show(answer))
				return
			}
			name, key := parkedIn(t, answer)
			answer, err = p.Do(t.Context(), comeBack(t, server, name, `{"`+key+`":{"of":"`+tool+`."}}`), nil)
			if err != nil || !strings.Contains(string(answer.Body), `"for":"`+tool+`"`) || !strings.Contains(string(answer.Body), `{\"of\":\"`+tool+`.\"}`) {
				t.Errorf("%v, %s: %s", err, tool, show(answer))
			}
		})
	}
	wait.Wait()
}

// refusing makes a server refuse what clients answer to its question q1, with HTTP 400.
func refusing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"id":"q1"`) {
			http.Error(w, "no such request", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// TestAQuestionThatWasWithdrawnMeanwhileDoesNotEndTheCall: nobody could tell the client, which answers; the server does not
// take it, and has gone on by itself.
func TestAQuestionThatWasWithdrawnMeanwhileDoesNotEndTheCall(t *testing.T) {
	const withdrawn = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q1"}}`
	for name, test := range map[string]struct {
		goesOn  string // after the question; ID is that of the call
		outcome auditv1.Outcome
		text    string
	}{
		"withdrawn and answered":  {withdrawn + "\n\ndata: " + ok("ID"), outcomeOK, ""},
		"answered all the same":   {ok("ID"), outcomeOK, ""},
		"withdrawn, another next": {withdrawn + "\n\ndata: " + samples, outcomeInputRequired, ""},
		"nothing more":            {"", outcomeServerFailed, "HTTP status 400"},
	} {
		t.Run(name, func(t *testing.T) {
			f := statefulFake(t)
			f.call = func(w http.ResponseWriter, _ *http.Request, id string) {
				send := stream(w)
				send("data: " + elicits + "\n\n")
				if test.goesOn != "" {
					send("data: " + strings.ReplaceAll(test.goesOn, "ID", id) + "\n\n")
				}
			}
			server := versioned(listen(t, refusing(f)), mcp.Version20251125)
			p := newPool(t, Config{})
			parked, key := parkedIn(t, do(t, p, askingCall(t, server, mcp.Modern)))
			answer := do(t, p, comeBack(t, server, parked, `{"`+key+`":`+accepted+`}`))
			if answer.Outcome != test.outcome || !strings.Contains(answer.Error, test.text) || f.calls.Load() != 1 {
				t.Errorf("%s after %d calls", show(answer), f.calls.Load())
			}
		})
	}
}

func TestALegacyClientHearsThatAQuestionWasWithdrawn(t *testing.T) {
	const withdrawn = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q1","reason":"enough"}}`
	f := statefulFake(t)
	f.call = func(w http.ResponseWriter, _ *http.Request, id string) {
		stream(w)("data: " + elicits + "\n\ndata: " + withdrawn + "\n\ndata: " + ok(id) + "\n\n")
	}
	sink := &collector{}
	answer, err := newPool(t, Config{}).Do(t.Context(), askingCall(t, versioned(listen(t, f), mcp.Version20251125), mcp.Legacy), sink)
	if err != nil || answer.Outcome != outcomeOK {
		t.Fatalf("%v %s", err, show(answer))
	}
	if !slices.Equal(sink.relayed, []string{elicits}) || !slices.Equal(sink.withdrawn, []string{withdrawn}) {
		t.Errorf("the client was asked %q and heard %q", sink.relayed, sink.withdrawn)
	}
}

func TestOnlyWhatTheClientHasIsWithdrawnAndOnce(t *testing.T) {
	var r Relayed
	withdraw := func(id string) string {
		notice := []byte(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"reason":"é","requestId":` + id + `,"x":1.0}}`)
		return string(r.Withdraw(&Withdrawal{Message: notice, Scan: scan(t, notice)}))
	}
	r.Add(&ServerRequest{ID: []byte("7")}, []byte(`"sealed"`))
	for _, other := range []string{`"7"`, "70", "null"} {
		if got := withdraw(other); got != "" {
			t.Errorf("the withdrawal of %s reached the client: %s", other, got)
		}
	}
	want := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"reason":"é","requestId":"sealed","x":1.0}}`
	if got := withdraw("7"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := withdraw("7"); got != "" {
		t.Errorf("it was withdrawn twice: %s", got)
	}
	for i := range 10 * maxRelayed {
		r.Add(&ServerRequest{ID: fmt.Append(nil, i)}, []byte("1"))
	}
	if len(r.ids) > maxRelayed {
		t.Errorf("%d requests are remembered", len(r.ids))
	}
}
