package listener

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

const (
	sampling = `{"jsonrpc":"2.0","id":"srv-7","method":"sampling/createMessage","params":{"messages":[]}}`
	getOld   = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"old__get"}}`
	getNew   = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"new__get"}}`
)

// relayed makes the old server ask for something during a call, as the pool does,
// and wait for its answer.
func (d *door) relayed(message string, answered <-chan struct{}) {
	d.up.do = func(ctx context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error) {
		var scan mcp.Response
		if err := mcp.ScanResponse([]byte(message), mcp.Limits{}, &scan); err != nil {
			d.t.Error(err)
		}
		if refused := call.Permit(scan.Method, scan.Params.Of([]byte(message))); refused != nil {
			return &upstream.Answer{
				Body: refused.Append(nil, call.Request.ID.Of(call.Body)), Outcome: auditv1.Outcome_OUTCOME_PROTOCOL_ERROR,
			}, nil
		}
		if err := sink.Relay(asServer(d.t, message, *call.Session), upstream.Mark{}); err != nil {
			return nil, err
		}
		select {
		case <-answered:
			return echo(call), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func TestAServersRequestReachesTheClientAndTheAnswerTheServerFromAnyNode(t *testing.T) {
	d := rich(t)
	other := d.beside()
	token := d.enter("/mcp")
	answered := make(chan struct{})
	d.relayed(sampling, answered)
	s := d.stream(d.in(token, getOld))
	asked := s.must().data
	id := idOf(t, asked)
	if want := strings.Replace(sampling, `"srv-7"`, id, 1); asked != want || id == `"srv-7"` {
		t.Fatalf("asked %s\nwant %s", asked, want)
	}
	answer := `{"jsonrpc":"2.0","id":` + id + `,"result":{"role":"assistant","x":1.10}}`
	for name, m := range map[string]*message{
		"another user's":        other.legacy(answer).with(other.by(d.bob)),
		"another session's":     other.legacy(answer),
		"with the server's id":  other.in(token, strings.Replace(answer, id, `"srv-7"`, 1)),
		"with a number":         other.in(token, strings.Replace(answer, id, `7`, 1)),
		"with the id of a call": other.in(token, strings.Replace(answer, id, `"w1.AAAA"`, 1)),
	} {
		if got := other.send(m); got.status != http.StatusBadRequest || got.Error.Code != mcp.CodeInvalidRequest {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if heard := other.up.heard(); len(heard) > 0 {
		t.Errorf("a server was told %v", heard)
	}
	if got := other.send(other.in(token, answer)); got.status != http.StatusAccepted || got.body != "" {
		t.Errorf("the answer: %d %s", got.status, got.body)
	}
	want := []told{{"respond", "old", "of-old", strings.Replace(answer, id, `"srv-7"`, 1)}}
	if diff := cmp.Diff(want, other.up.heard(), cmp.AllowUnexported(told{})); diff != "" {
		t.Error(diff)
	}
	close(answered)
	if last := s.must().data; !strings.Contains(last, `"echo"`) {
		t.Errorf("then %s", last)
	}
}

// TestAServerMayWithdrawWhatItAskedInACall: the client hears of it under the id that it knows. What it does not know cannot
// be withdrawn from it.
func TestAServerMayWithdrawWhatItAskedInACall(t *testing.T) {
	d := rich(t)
	token := d.enter("/mcp")
	const notice = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"srv-7","reason":"é"}}`
	d.up.do = func(_ context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error) {
		if err := sink.Relay(asServer(t, sampling, *call.Session), upstream.Mark{}); err != nil {
			return nil, err
		}
		for _, message := range []string{strings.Replace(notice, "srv-7", "srv-8", 1), notice, notice} {
			var scan mcp.Response
			if err := mcp.ScanResponse([]byte(message), mcp.Limits{}, &scan); err != nil {
				t.Error(err)
			}
			if err := sink.Withdraw(&upstream.Withdrawal{Message: []byte(message), Scan: &scan}, upstream.Mark{}); err != nil {
				return nil, err
			}
		}
		return echo(call), nil
	}
	s := d.stream(d.in(token, getOld))
	id := idOf(t, s.must().data)
	if got, want := s.must().data, strings.Replace(notice, `"srv-7"`, id, 1); got != want {
		t.Errorf("heard %s\nwant %s", got, want)
	}
	if last := s.must().data; !strings.Contains(last, `"echo"`) {
		t.Errorf("then %s", last)
	}
}

// TestASecondAnswerIsTheServersToJudge: no node knows what another one passed on, so it goes to the server again, and the
// client hears whether that took it.
func TestASecondAnswerIsTheServersToJudge(t *testing.T) {
	d := rich(t)
	token := d.enter("/mcp")
	answered := make(chan struct{})
	d.relayed(sampling, answered)
	s := d.stream(d.in(token, getOld))
	answer := `{"jsonrpc":"2.0","id":` + idOf(t, s.must().data) + `,"result":{"role":"assistant"}}`
	if got := d.send(d.in(token, answer)); got.status != http.StatusAccepted {
		t.Errorf("the first answer: %d %s", got.status, got.body)
	}
	close(answered)
	s.must()
	if got := d.send(d.in(token, answer)); got.status != http.StatusAccepted || len(d.up.heard()) != 2 {
		t.Errorf("the second answer, which the server took: %d %s", got.status, got.body)
	}
	d.up.respond = fault.New(fault.Unavailable, "no such request")
	if got := d.send(d.in(token, answer)); got.status != http.StatusBadGateway || got.Error.Code != mcp.CodeUnavailable {
		t.Errorf("one that the server did not take: %d %s", got.status, got.body)
	}
}

// TestTheAggregateSaysWhichServerAsksAPerson: in a call, in one that is resumed and
// outside of any; on a server's own route its words stay as they are.
func TestTheAggregateSaysWhichServerAsksAPerson(t *testing.T) {
	const elicit = `{ "params":{"message" : "\u0057ho?","n":1.10},"id":"srv-7","method":"elicitation\/create" ,"jsonrpc":"2.0"}`
	for path, want := range map[string]string{"/mcp": strings.Replace(elicit, `\u0057`, `old: \u0057`, 1), "/mcp/old": elicit} {
		d := rich(t)
		at := func(m *message) *message { return m.with(func(m *message) { m.path = path }) }
		check := func(where string, s *stream) {
			t.Helper()
			asked := s.must().data
			if want := strings.Replace(want, `"srv-7"`, idOf(t, asked), 1); asked != want {
				t.Errorf("%s, %s: asked %s\nwant %s", path, where, asked, want)
			}
		}
		tool := "get"
		if path == "/mcp" {
			tool = "old__get"
		}
		token := d.enter(path)
		request := rpc("tools/call", `"name":"`+tool+`"`)
		answered := make(chan struct{})
		close(answered)
		d.relayed(elicit, answered)
		check("in a call", d.stream(at(d.in(token, request))))

		d.cut()
		cut := d.stream(at(d.in(token, request)))
		cut.must()
		last := cut.must().id
		d.up.resume = func(_ context.Context, resume *upstream.Resume, sink upstream.Sink) (*upstream.Answer, error) {
			return &upstream.Answer{Body: []byte(`{"jsonrpc":"2.0","id":1,"result":{}}`), Outcome: auditv1.Outcome_OUTCOME_OK},
				sink.Relay(asServer(t, elicit, resume.Session), upstream.Mark{})
		}
		check("in a call that is resumed", d.stream(at(d.again(token, last))))

		d.up.listen = func(ctx context.Context, listen *upstream.Listen, sink upstream.Sink) error {
			if listen.Server.GetName() == "old" && listen.Session != nil {
				if err := sink.Relay(asServer(t, elicit, *listen.Session), upstream.Mark{}); err != nil {
					t.Error(err)
				}
			}
			<-ctx.Done()
			return ctx.Err()
		}
		check("outside of a call", d.stream(at(d.in(token, "")).with(func(m *message) { m.method = http.MethodGet; m.header.Del("Content-Type") })))
	}
}

// asServer returns a message as the pool relays it.
func asServer(t *testing.T, message string, session upstream.SessionRef) *upstream.ServerRequest {
	var scan mcp.Response
	if err := mcp.ScanResponse([]byte(message), mcp.Limits{}, &scan); err != nil {
		t.Error(err)
	}
	return &upstream.ServerRequest{
		Session: session, ID: scan.ID.Of([]byte(message)), Method: scan.Method, Message: []byte(message), Scan: &scan,
	}
}

func TestWhatAServerAsksIsDecidedAndRecorded(t *testing.T) {
	for _, denied := range []bool{false, true} {
		d := rich(t)
		if denied {
			d.index.Store(d.richWorld(2, func(w *gatetest.World) {
				w.Rule(&snapshotv1.Rule{
					Id: "2", Name: "no-sampling", Effect: snapshotv1.Effect_EFFECT_DENY, Tools: []string{"old/*"},
					Methods: []string{"sampling/createMessage"},
				})
			}))
		}
		token := d.enter("/mcp")
		answered := make(chan struct{})
		close(answered)
		d.relayed(sampling, answered)
		s := d.stream(d.in(token, getOld))
		for {
			if _, ok := s.next(); !ok {
				break
			}
		}
		var said []string
		for _, e := range d.audit.taken() {
			said = append(said, strings.TrimPrefix(e.GetKind().String(), "EVENT_KIND_")+" "+e.GetMethod()+" "+e.GetServer()+" "+e.GetTool()+" "+e.GetUser())
		}
		want := []string{
			"INTENT tools/call old get ana", "INTENT sampling/createMessage old get ana", "RESULT    ", "RESULT    ",
		}
		if denied {
			want = []string{"INTENT tools/call old get ana", "REFUSAL sampling/createMessage old get ana", "RESULT    "}
		}
		if diff := cmp.Diff(want, said); diff != "" {
			t.Errorf("denied %v: %s", denied, diff)
		}
	}
}

func TestAClientIsNotAskedForWhatItDoesNotOffer(t *testing.T) {
	d := rich(t)
	answered := make(chan struct{})
	close(answered)
	d.relayed(sampling, answered)
	do := d.up.do
	d.up.do = func(ctx context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error) {
		call.Permit = func(string, []byte) *mcp.Error { return nil }
		return do(ctx, call, sink)
	}
	token := d.sealed("ana", "/mcp", func(s *handle.Session) {
		s.Servers = []handle.ServerSession{{Server: "old", ID: "of-old", Version: mcp.Version20251125}}
		s.Capabilities = mcp.CapRoots
	})
	if got := d.send(d.in(token, getOld)); !strings.Contains(got.body, "echo") || strings.Contains(got.body, "sampling") {
		t.Errorf("got %s", got.body)
	}
	heard := d.up.heard()
	if len(heard) != 1 || heard[0].what != "respond" || !strings.Contains(heard[0].message, `"id":"srv-7","error":{"code":-32601`) {
		t.Errorf("the server was told %v", heard)
	}
}

// asking makes the new server ask for something during a call, in the way of a
// modern server, and pass on what it gets.
func (d *door) asking() {
	d.up.do = func(ctx context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error) {
		result, refused, err := sink.Ask(ctx, "roots/list", []byte(`{"a":1.10}`))
		if err != nil {
			return nil, err
		}
		if refused != nil {
			result = refused.Append(nil, []byte("0"))
		}
		return &upstream.Answer{
			Body: mcp.WriteResult(nil, call.Request.ID.Of(call.Body), result), Outcome: auditv1.Outcome_OUTCOME_OK,
		}, nil
	}
}

func TestTheNodeWaitsForAnAnswerThatAModernServerWants(t *testing.T) {
	d := rich(t)
	other := d.beside()
	token := d.enter("/mcp")
	d.asking()
	for _, answer := range []string{`"result":{"roots":[],"x":1.10}`, `"error":{"code":-1,"message":"no","data":{"y":1.10}}`, `"error":{"code":0,"message":"no"}`} {
		s := d.stream(d.in(token, getNew))
		asked := s.must().data
		id := idOf(t, asked)
		if !strings.Contains(asked, `"method":"roots/list"`) || !strings.Contains(asked, `{"a":1.10}`) {
			t.Errorf("asked %s", asked)
		}
		response := `{"jsonrpc":"2.0","id":` + id + `,` + answer + `}`
		if got := other.send(other.in(token, response)); got.status != http.StatusServiceUnavailable || got.Error.Code != mcp.CodeUnavailable {
			t.Errorf("at another node: %d %s", got.status, got.body)
		}
		if got := d.send(d.in(token, response)); got.status != http.StatusAccepted {
			t.Errorf("the answer: %d %s", got.status, got.body)
		}
		want := answer[strings.Index(answer, ":")+1:]
		if last := s.must().data; !strings.Contains(last, want) {
			t.Errorf("then %s; want %s", last, want)
		}
		if got := d.send(d.in(token, response)); got.status != http.StatusBadRequest {
			t.Errorf("the answer once more: %d %s", got.status, got.body)
		}
	}
}

func TestAClientWithoutStreamsIsNotAsked(t *testing.T) {
	d := rich(t)
	answered := make(chan struct{})
	close(answered)
	d.relayed(sampling, answered)
	d.send(d.in(d.enter("/mcp"), getOld).with(func(m *message) { m.set("Accept", "application/json") }))
	if heard := d.up.heard(); len(heard) != 1 || !strings.Contains(heard[0].message, "takes no event streams") {
		t.Errorf("the server was told %v", heard)
	}
	d.asking()
	got := d.send(d.in(d.enter("/mcp"), getNew).with(func(m *message) { m.set("Accept", "application/json") }))
	if !strings.Contains(got.body, "takes no event streams") {
		t.Errorf("got %s", got.body)
	}
}

func TestT21_AStateContinuesOneRequestOfOneOwner(t *testing.T) {
	d := rich(t)
	var seen []upstream.Call
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		seen = append(seen, *call)
		if call.HasState {
			return echo(call), nil
		}
		state, err := call.SealState([]byte(`"inner"`), "")
		if err != nil {
			t.Error(err)
		}
		return &upstream.Answer{
			Body:    mcp.WriteInputRequired(nil, call.Request.ID.Of(call.Body), nil, state, nil),
			Outcome: auditv1.Outcome_OUTCOME_INPUT_REQUIRED,
		}, nil
	}
	first := d.send(d.modern("tools/call", "new__get", `"name":"new__get","arguments":{"a":1.10,"b":"é"}`))
	state, _ := first.Result["requestState"].(string)
	if state == "" || strings.Contains(state, "inner") {
		t.Fatalf("got %s", first.body)
	}
	if events := d.audit.taken(); len(events) != 2 || events[1].GetOutcome() != auditv1.Outcome_OUTCOME_INPUT_REQUIRED {
		t.Errorf("events: %v", events)
	}
	retry := func(tool, arguments, state string) *message {
		return d.modern("tools/call", tool, `"name":"`+tool+`","arguments":`+arguments+`,"inputResponses":{},"requestState":"`+state+`"`)
	}
	tampered := []byte(state)
	tampered[len(tampered)/2] ^= 1
	for name, m := range map[string]*message{
		"another user":    retry("new__get", `{"a":1.10,"b":"é"}`, state).with(d.by(d.bob)),
		"other arguments": retry("new__get", `{"a":1.1,"b":"é"}`, state),
		"another server":  retry("old__get", `{"a":1.10,"b":"é"}`, state),
		"a changed bit":   retry("new__get", `{"a":1.10,"b":"é"}`, string(tampered)),
		"another method": d.modern("prompts/get", "new__greet",
			`"name":"new__greet","arguments":{"a":1.10,"b":"é"},"requestState":"`+state+`"`),
	} {
		got := d.send(m)
		if got.status != http.StatusBadRequest || got.Error.Code != mcp.CodeInvalidParams {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		if events := d.audit.taken(); len(events) != 1 || events[0].GetRule() != "bad-request-state" {
			t.Errorf("%s: %v", name, events)
		}
	}
	if len(seen) != 1 {
		t.Fatalf("%d calls", len(seen))
	}
	got := d.send(retry("new__get", `{ "b":"\u00e9", "a":1.10 }`, state)) // the same, spelled in another way
	if got.Error.Code != 0 || len(seen) != 2 || !seen[1].HasState || string(seen[1].State) != `"inner"` {
		t.Errorf("got %s, calls %d", got.body, len(seen))
	}
	if events := d.audit.taken(); len(events) != 2 {
		t.Errorf("a retry is a call of its own; events: %v", events)
	}
}

// TestNothingIsGivenToAServerThatItMayNotAskFor: a client that answers before it was asked, or more than it was asked, gets
// past no rule.
func TestNothingIsGivenToAServerThatItMayNotAskFor(t *testing.T) {
	d := &door{t: t, up: &server{}, audit: &queue{}}
	d.index.Store(d.richWorld(1, func(w *gatetest.World) {
		w.Rule(&snapshotv1.Rule{
			Id: "2", Name: "no-sampling", Effect: snapshotv1.Effect_EFFECT_DENY, Reason: "No models for servers",
			Methods: []string{mcp.MethodCreateMessage}, Tools: []string{"new/*"},
		})
	}))
	d.start()
	var calls int
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		calls++
		return echo(call), nil
	}
	give := func(responses string) *message {
		return d.modern("tools/call", "new__get", `"name":"new__get","inputResponses":`+responses)
	}
	const elicited, sampled = `"k":{"action":"accept","content":{}}`, `"m":{"role":"assistant","model":"m","content":{"type":"text","text":"x"}}`
	for responses, rule := range map[string]string{
		`{` + sampled + `}`:                                 "no-sampling",
		`{` + elicited + `,` + sampled + `}`:                "no-sampling",
		`{"k":{"action":"accept","role":"x","content":{}}}`: "no-sampling", // whichever the server takes it for
	} {
		got := d.send(give(responses))
		if got.status != http.StatusOK || got.Error.Code != mcp.CodeDenied || calls != 0 {
			t.Errorf("%s: %d %s after %d calls", responses, got.status, got.body, calls)
		}
		if events := d.audit.taken(); len(events) != 1 || events[0].GetRule() != rule || events[0].GetOutcome() != auditv1.Outcome_OUTCOME_REFUSED {
			t.Errorf("%s: %v", responses, events)
		}
	}
	if got := d.send(give(`{"k":7}`)); got.status != http.StatusBadRequest || got.Error.Code != mcp.CodeInvalidParams || !strings.Contains(got.Error.Message, "inputResponses.k") {
		t.Errorf("what is no answer: %d %s", got.status, got.body)
	}
	d.audit.taken()
	if got := d.send(give(`{` + elicited + `}`)); got.Error.Code != 0 || calls != 1 {
		t.Errorf("what the server may ask for: %s", got.body)
	}
}

// TestOnlyWhatCanBeContinuedTakesAState: a method that never asks for input has no state of ours, so what it brings is
// somebody else's, and reaches no server.
func TestOnlyWhatCanBeContinuedTakesAState(t *testing.T) {
	d := rich(t)
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		t.Errorf("the server got %s", call.Body)
		return echo(call), nil
	}
	for _, more := range []string{`"requestState":"x"`, `"inputResponses":{"k":{"action":"accept"}}`} {
		got := d.send(d.modern("completion/complete", "",
			`"ref":{"type":"ref/prompt","name":"new__greet"},"argument":{"name":"a","value":""},`+more))
		if got.status != http.StatusBadRequest || got.Error.Code != mcp.CodeInvalidParams || !strings.Contains(got.Error.Message, "requestState") {
			t.Errorf("%s: %d %s", more, got.status, got.body)
		}
		if events := d.audit.taken(); len(events) != 1 || events[0].GetRule() != "bad-request-state" {
			t.Errorf("%s: %v", more, events)
		}
	}
}

func TestAParkedCallIsOfOneNode(t *testing.T) {
	d := rich(t)
	other := d.beside()
	var parked string
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		if parked = call.Parked; parked != "" {
			return echo(call), nil
		}
		state, err := call.SealState(nil, "stream-1")
		if err != nil {
			t.Error(err)
		}
		return &upstream.Answer{Body: mcp.WriteInputRequired(nil, []byte("1"), nil, state, nil), Outcome: auditv1.Outcome_OUTCOME_INPUT_REQUIRED}, nil
	}
	first := d.send(d.modern("tools/call", "old__get", `"name":"old__get"`))
	state, _ := first.Result["requestState"].(string)
	retry := d.modern("tools/call", "old__get", `"name":"old__get","requestState":"`+state+`"`)
	if got := other.send(retry); got.Error.Code != mcp.CodeUnavailable || !strings.Contains(got.Error.Message, "again") {
		t.Errorf("at another node: %d %s", got.status, got.body)
	}
	if got := d.send(retry); got.Error.Code != 0 || parked != "stream-1" {
		t.Errorf("got %s; parked %q", got.body, parked)
	}
}
