package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// everything is what a client can declare.
const everything = mcp.CapRoots | mcp.CapSampling | mcp.CapElicitForm | mcp.CapElicitURL

// permitAll is a policy that allows all that servers ask.
func permitAll(string, []byte) *mcp.Error { return nil }

// plainSeal seals nothing, so that a test can see what would have been sealed.
func plainSeal(inner []byte, parked string) (string, error) {
	return fmt.Sprintf("inner=%s parked=%s", inner, parked), nil
}

// askingCall is callTo for a client that can be asked for everything.
func askingCall(t testing.TB, server *snapshotv1.Server, era mcp.Era) *Call {
	t.Helper()
	call := callTo(t, server, era, `"mine"`, "echo", `{"a":1}`)
	call.Capabilities, call.Permit = everything, permitAll
	if era == mcp.Modern {
		call.SealState = plainSeal
	}
	return call
}

// inputs is a modern server that asks before it answers: rounds holds what it asks, one result after the other.
func inputs(t testing.TB, rounds ...string) (*fake, *snapshotv1.Server) {
	f := &fake{t: t}
	f.call = func(w http.ResponseWriter, _ *http.Request, id string) {
		if n := int(f.calls.Load()); n <= len(rounds) {
			reply(w, `{"jsonrpc":"2.0","id":`+id+`,"result":{"resultType":"input_required",`+rounds[n-1]+`}}`)
			return
		}
		reply(w, `{"jsonrpc":"2.0","id":`+id+`,"result":{"resultType":"complete","content":[]}}`)
	}
	return f, versioned(listen(t, f), mcp.Version20260728)
}

const (
	askForm     = `"inputRequests":{"k 1":{"method":"elicitation/create","params":{"message":"name?","n":1.10}}}`
	askAll      = `"inputRequests":{"a":{"method":"elicitation/create","params":{"message":"x"}},"b":{"method":"sampling/createMessage","params":{"maxTokens":5}},"c":{"method":"roots/list"}}`
	askURL      = `"inputRequests":{"u":{"method":"elicitation/create","params":{"mode":"url","url":"https://a.example/","message":"sign in"}}}`
	stateOne    = `,"requestState":"one\u002f"`
	accepted    = `{"action":"accept","content":{"big":12345678901234567890}}`
	onlyTheWait = `"requestState":"later"`
)

func TestAModernClientGetsTheInputThatAModernServerAsksFor(t *testing.T) {
	f, server := inputs(t, askForm+stateOne, askForm)
	p := newPool(t, Config{})
	answer := do(t, p, askingCall(t, server, mcp.Modern))
	want := `{"jsonrpc":"2.0","id":"mine","result":{"resultType":"input_required",` + askForm + `,"requestState":"inner=\"one\\u002f\" parked="}}`
	wantAnswer(t, answer, want)
	if answer.Outcome != outcomeInputRequired || answer.Error != "" {
		t.Errorf("%s", show(answer))
	}

	// The client comes back, with the state as the session opened it.
	call := askingCall(t, server, mcp.Modern)
	body := strings.Replace(string(call.Body), `"arguments"`, `"inputResponses":{"k 1":`+accepted+`},"requestState":"sealed","arguments"`, 1)
	call = callWith(t, server, mcp.Modern, mcp.Version20260728, body, "echo")
	call.Capabilities, call.Permit, call.SealState = everything, permitAll, plainSeal
	call.HasState, call.State = true, []byte(`"one\u002f"`)
	answer = do(t, p, call)
	if !strings.Contains(f.requests[1], `"requestState":"one\u002f"`) || !strings.Contains(f.requests[1], `"inputResponses":{"k 1":`+accepted+`}`) {
		t.Errorf("the server got %s", f.requests[1])
	}
	if !strings.Contains(string(answer.Body), `"requestState":"inner= parked="`) {
		t.Errorf("a state that is absent is wrapped too; got %s", answer.Body)
	}

	call.State = nil
	if answer = do(t, p, call); answer.Outcome != outcomeOK || strings.Contains(f.requests[2], "requestState") {
		t.Errorf("%s; the server got %s", show(answer), f.requests[2])
	}
}

func TestWhatAClientDidNotDeclareIsNeverAskedOfIt(t *testing.T) {
	tests := []struct {
		name, ask string
		declared  mcp.Capabilities
		data      string
	}{
		{"sampling", askAll, mcp.CapElicitForm, `{"requiredCapabilities":{"sampling":{}}}`},
		{"roots", askAll, mcp.CapElicitForm | mcp.CapSampling, `{"requiredCapabilities":{"roots":{}}}`},
		{"URL", askURL, mcp.CapElicitForm, `{"requiredCapabilities":{"elicitation":{"url":{}}}}`},
		{"form", askForm, mcp.CapElicitURL, `{"requiredCapabilities":{"elicitation":{"form":{}}}}`},
	}
	for _, test := range tests {
		for _, era := range []mcp.Era{mcp.Legacy, mcp.Modern} {
			t.Run(fmt.Sprint(test.name, "/", era), func(t *testing.T) {
				_, server := inputs(t, test.ask)
				call := askingCall(t, server, era)
				call.Capabilities = test.declared
				call.Permit = func(string, []byte) *mcp.Error {
					if era == mcp.Modern || test.ask != askURL { // of which a legacy client is told in other words
						t.Error("what cannot be asked was offered for decision")
					}
					return nil
				}
				var sink collector
				answer, err := newPool(t, Config{}).Do(t.Context(), call, &sink)
				if err != nil || answer.Outcome != outcomeProtocolError || len(sink.asked) > 0 {
					t.Fatalf("%v, %s, asked %q", err, show(answer), sink.asked)
				}
				response := scan(t, answer.Body)
				switch {
				case era == mcp.Modern && (response.ErrorCode != mcp.CodeMissingCapability || string(response.ErrorData.Of(answer.Body)) != test.data):
					t.Errorf("answer %s", answer.Body)
				case era == mcp.Legacy && test.ask != askURL && response.ErrorCode != mcp.CodeInternal:
					t.Errorf("answer %s", answer.Body)
				}
			})
		}
	}
}

func TestAnInputThatPolicyDeniesEndsTheCallAndNamesIt(t *testing.T) {
	for _, era := range []mcp.Era{mcp.Legacy, mcp.Modern} {
		_, server := inputs(t, askAll)
		call := askingCall(t, server, era)
		call.Permit = func(method string, params []byte) *mcp.Error {
			if method == mcp.MethodCreateMessage {
				return &mcp.Error{Code: mcp.CodeDenied, Text: "denied " + method, Offset: -1, Data: []byte(`{"rule":"r"}`)}
			}
			return nil
		}
		var sink collector
		answer, err := newPool(t, Config{}).Do(t.Context(), call, &sink)
		if err != nil || len(sink.asked) > 0 {
			t.Fatalf("%v, asked %q", err, sink.asked)
		}
		wantAnswer(t, answer, `{"jsonrpc":"2.0","id":"mine","error":{"code":1403,"message":"denied sampling/createMessage","data":{"rule":"r"}}}`)
	}
	_, server := inputs(t, askForm)
	call := askingCall(t, server, mcp.Modern)
	call.Permit = nil
	if answer := do(t, newPool(t, Config{}), call); scan(t, answer.Body).ErrorCode != mcp.CodeDenied {
		t.Errorf("without a policy: %s", show(answer))
	}
}

func TestALegacyClientIsAskedAndTheCallGoesOn(t *testing.T) {
	f, server := inputs(t, askAll+stateOne, askForm)
	sink := &collector{ask: func(method, _ string) (string, *mcp.Error) { return `{"from":"` + method + `"}`, nil }}
	answer, err := newPool(t, Config{}).Do(t.Context(), askingCall(t, server, mcp.Legacy), sink)
	if err != nil || answer.Outcome != outcomeOK {
		t.Fatalf("%v, %s", err, show(answer))
	}
	wantAnswer(t, answer, `{"jsonrpc":"2.0","id":"mine","result":{"content":[]}}`)
	want := []string{
		`elicitation/create {"message":"x"}`, `sampling/createMessage {"maxTokens":5}`, `roots/list `,
		`elicitation/create {"message":"name?","n":1.10}`,
	}
	if strings.Join(sink.asked, "\n") != strings.Join(want, "\n") {
		t.Errorf("the client was asked\n%s", strings.Join(sink.asked, "\n"))
	}
	const responses = `"inputResponses":{"a":{"from":"elicitation/create"},"b":{"from":"sampling/createMessage"},"c":{"from":"roots/list"}}`
	if !strings.Contains(f.requests[1], responses) || !strings.Contains(f.requests[1], `"requestState":"one\u002f"`) || !strings.Contains(f.requests[1], `"arguments":{"a":1}`) {
		t.Errorf("the second request is %s", f.requests[1])
	}
	if strings.Contains(f.requests[2], "requestState") || !strings.Contains(f.requests[2], `"inputResponses":{"k 1":{"from":"elicitation/create"}}`) {
		t.Errorf("the third request is %s", f.requests[2])
	}
	if id := idOf(t, f.requests[0]); id == idOf(t, f.requests[1]) {
		t.Errorf("the retry has the same id %s", id)
	}
}

// idOf returns the raw id of a request.
func idOf(t testing.TB, body string) string {
	t.Helper()
	var request mcp.Request
	if err := mcp.ScanRequest([]byte(body), mcp.Limits{}, &request); err != nil {
		t.Fatalf("request %s: %v", body, err)
	}
	return string(request.ID.Of([]byte(body)))
}

func TestTheRoundsOfACallAreBounded(t *testing.T) {
	rounds := make([]string, 20)
	for i := range rounds {
		rounds[i] = askForm
	}
	f, server := inputs(t, rounds...)
	sink := &collector{ask: func(string, string) (string, *mcp.Error) { return accepted, nil }}
	answer, err := newPool(t, Config{}).Do(t.Context(), askingCall(t, server, mcp.Legacy), sink)
	if err != nil {
		t.Fatal(err)
	}
	wantFailure(t, answer, mcp.CodeBadServerAnswer, "asked for input more than 10 times")
	if n := f.calls.Load(); n != maxRounds+1 {
		t.Errorf("%d requests", n)
	}
}

func TestAServerThatOnlyWantsToBeAskedAgainIsAskedAfterAPause(t *testing.T) {
	f, server := inputs(t, onlyTheWait, onlyTheWait)
	began := time.Now()
	answer := do(t, newPool(t, Config{}), askingCall(t, server, mcp.Legacy))
	if answer.Outcome != outcomeOK || time.Since(began) < 3*firstPause {
		t.Errorf("%s after %v", show(answer), time.Since(began))
	}
	if !strings.Contains(f.requests[1], `"requestState":"later"`) || strings.Contains(f.requests[1], "inputResponses") {
		t.Errorf("the second request is %s", f.requests[1])
	}
}

func TestALegacyClientThatRefusesEndsTheCall(t *testing.T) {
	f, server := inputs(t, askForm)
	answer, err := newPool(t, Config{}).Do(t.Context(), askingCall(t, server, mcp.Legacy), &collector{})
	if err != nil {
		t.Fatal(err)
	}
	if response := scan(t, answer.Body); response.ErrorCode != -1 || f.calls.Load() != 1 {
		t.Errorf("%s after %d requests", show(answer), f.calls.Load())
	}
	if answer, err := newPool(t, Config{}).Do(t.Context(), askingCall(t, server, mcp.Legacy), brokenSink{}); err != nil && answer.Outcome != outcomeCancelled {
		t.Errorf("a client that is gone: %v, %s", err, show(answer))
	}
}

func TestAClientThatCannotBeSentToAURLIsToldInItsOwnWay(t *testing.T) {
	for version, want := range map[string]func(*Answer, *mcp.Response) bool{
		mcp.Version20251125: func(a *Answer, r *mcp.Response) bool {
			data := string(r.ErrorData.Of(a.Body))
			return r.ErrorCode == mcp.CodeURLElicitationRequired && strings.Contains(data, `"mode":"url"`) &&
				strings.Contains(data, `"url":"https://a.example/","message":"sign in"`) && strings.Contains(data, `"elicitationId":"`)
		},
		mcp.Version20250618: func(a *Answer, r *mcp.Response) bool {
			return a.Outcome == outcomeToolError && r.IsError && strings.Contains(string(a.Body), "sign in") && strings.Contains(string(a.Body), "https://a.example/")
		},
	} {
		_, server := inputs(t, askURL)
		call := askingCall(t, server, mcp.Legacy)
		call.Capabilities, call.ClientVersion = mcp.CapElicitForm, version
		answer, err := newPool(t, Config{}).Do(t.Context(), call, &collector{})
		if err != nil || !want(answer, scan(t, answer.Body)) {
			t.Errorf("%s: %v, %s", version, err, show(answer))
		}
	}
	_, server := inputs(t, askURL)
	sink := &collector{ask: func(string, string) (string, *mcp.Error) { return `{"action":"accept"}`, nil }}
	if answer, err := newPool(t, Config{}).Do(t.Context(), askingCall(t, server, mcp.Legacy), sink); err != nil || answer.Outcome != outcomeOK {
		t.Errorf("a client that can: %v, %s", err, show(answer))
	}
}

func TestMalformedInputRequestsAreGarbage(t *testing.T) {
	for _, ask := range []string{
		`"inputRequests":{"a":5}`, `"inputRequests":{"a":{"params":{}}}`, `"inputRequests":{"a":{"method":"evil/do","params":{}}}`, `"x":1`,
	} {
		for _, era := range []mcp.Era{mcp.Legacy, mcp.Modern} {
			_, server := inputs(t, ask)
			answer, err := newPool(t, Config{}).Do(t.Context(), askingCall(t, server, era), &collector{})
			if err != nil {
				t.Fatal(err)
			}
			wantFailure(t, answer, mcp.CodeBadServerAnswer, "not a valid MCP message")
		}
	}
}

func TestAStateThatCannotBeSealedIsAFailureOfOurs(t *testing.T) {
	_, server := inputs(t, askForm)
	call := askingCall(t, server, mcp.Modern)
	call.SealState = func([]byte, string) (string, error) { return "", errors.New("no key") }
	if answer := do(t, newPool(t, Config{}), call); scan(t, answer.Body).ErrorCode != mcp.CodeInternal || strings.Contains(string(answer.Body), "no key") {
		t.Errorf("%s", show(answer))
	}
}
