package listener

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// ofMarch changes a session to the one version that has batches.
func ofMarch(s *handle.Session) { s.Version = mcp.Version20250326 }

// batch returns messages sent as one, in a session of 2025-03-26.
func (d *door) batch(messages ...string) *message {
	return d.bare("[" + strings.Join(messages, ",") + "]").with(func(m *message) {
		m.header.Del("Mcp-Protocol-Version")
		m.set(session.HeaderSession, d.sealed("ana", "/mcp", ofMarch))
	})
}

// numbered returns a call of a tool of the old server.
func numbered(id int, tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"old__%s"}}`, id, tool)
}

// TestT36_EachMessageOfABatchIsDecidedByItself holds that nothing gets past a check
// because of the company that it comes in (mcp.md E6).
func TestT36_EachMessageOfABatchIsDecidedByItself(t *testing.T) {
	d := rich(t)
	got := d.send(d.batch(
		numbered(1, "get"),
		numbered(2, "delete"),
		`{"jsonrpc":"2.0","id":3,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`,
		`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"old__get"}}`,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","id":"forged","result":{}}`,
		`{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"old__get","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`,
		`{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"old__get"}}`,
		`{"jsonrpc":"2.0","id":6,"method":"server/discover"}`,
		`{"jsonrpc":"2.0","id":7,"method":"ping"}`,
		`7`,
	))
	if n := d.up.calls.Load(); got.status != http.StatusOK || n != 1 || got.header.Get(session.HeaderSession) != "" {
		t.Fatalf("HTTP %d, %d calls: %s", got.status, n, got.body)
	}
	for _, want := range []string{
		`{"jsonrpc":"2.0","id":1,"result":{"echo":null}}`, `"id":2,"error":{"code":1403`, `"id":3,"error":{"code":-32600`,
		`"id":4,"error":{`, `"id":6,"error":{"code":-32601`, `{"jsonrpc":"2.0","id":7,"result":{}}`,
	} {
		if !strings.Contains(got.body, want) {
			t.Errorf("no %s in %s", want, got.body)
		}
	}
	if strings.Contains(got.body, "forged") || strings.Contains(got.body, "-3202") {
		t.Errorf("got %s", got.body)
	}
	var kinds []string
	for _, e := range d.audit.taken() {
		kinds = append(kinds, strings.TrimPrefix(e.GetKind().String(), "EVENT_KIND_")+" "+e.GetRule())
	}
	if n := strings.Count(strings.Join(kinds, "\n"), "REFUSAL"); len(kinds) != 10 || !slices.Equal(kinds[:2], []string{"INTENT role:dev", "RESULT "}) || n != 8 {
		t.Errorf("%d events: %q; want an intent, its result, and eight refusals", len(kinds), kinds)
	}
}

func TestABatchEndsWithItsClient(t *testing.T) {
	d := rich(t, func(c *Config) { c.KeepAlive, c.Grace = 10*time.Millisecond, 10*time.Millisecond })
	begun := make(chan struct{}, 64)
	d.up.do = func(ctx context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		begun <- struct{}{}
		<-ctx.Done() // the client is gone, and its grace over
		return nil, context.Cause(ctx)
	}
	var messages []string
	for i := range 64 {
		messages = append(messages, numbered(i, "get"))
	}
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-begun; leave() }()
	if response, err := d.client.Do(d.request(ctx, d.batch(messages...))); err == nil {
		response.Body.Close() // the stream had begun
		<-ctx.Done()
	}
	d.await("the place of the request to be free", func() bool { return d.listener.Inflight() == 0 })
	if n := d.up.calls.Load(); n != 1 {
		t.Errorf("%d calls were made for a client that is gone", n)
	}
}

func TestTheAnswersOfABatchAreBounded(t *testing.T) {
	d := rich(t)
	large := `"` + strings.Repeat("x", 4<<20) + `"`
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		body := mcp.WriteResult(nil, call.Request.ID.Of(call.Body), []byte(`{"x":`+large+`}`))
		return &upstream.Answer{Body: body, Outcome: auditv1.Outcome_OUTCOME_OK}, nil
	}
	var messages []string
	for i := range 64 {
		messages = append(messages, numbered(i, "get"))
	}
	got := d.send(d.batch(messages...))
	if len(got.body) > 32<<20 || d.up.calls.Load() > 8 || strings.Count(got.body, `"error"`) < 50 {
		t.Errorf("%d bytes after %d calls", len(got.body), d.up.calls.Load())
	}
}

func (d *door) await(what string, ready func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("ten seconds passed without %s", what)
		}
	}
}

// TestAServerThatAsksWithoutEndDoesNotFillTheAudit: what it asks is recorded, and who
// fills the queue stops everybody's calls.
func TestAServerThatAsksWithoutEndDoesNotFillTheAudit(t *testing.T) {
	d := rich(t)
	token := d.enter("/mcp")
	const asks = 5000
	refused := 0
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		for range asks {
			if err := call.Permit(mcp.MethodCreateMessage, nil); err != nil {
				refused++
				if err.Code != mcp.CodeRateLimited {
					t.Errorf("refused with %d", err.Code)
				}
			}
		}
		return echo(call), nil
	}
	d.send(d.in(token, getOld))
	if n := len(d.audit.taken()); n > 1000 || refused < asks/2 {
		t.Errorf("%d events, %d of %d refused", n, refused, asks)
	}
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		if err := call.Permit(mcp.MethodCreateMessage, nil); err != nil {
			t.Errorf("another server pays for it: %v", err)
		}
		return echo(call), nil
	}
	d.send(d.in(token, getNew))
}

func TestAnAnswerThatIsNoneDoesNotEndTheQuestion(t *testing.T) {
	d := rich(t)
	token := d.enter("/mcp")
	d.up.do = func(ctx context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error) {
		result, _, err := sink.Ask(ctx, mcp.MethodCreateMessage, []byte(`{"messages":[]}`))
		if err != nil {
			return nil, err
		}
		return &upstream.Answer{
			Body: mcp.WriteResult(nil, call.Request.ID.Of(call.Body), result), Outcome: auditv1.Outcome_OUTCOME_OK,
		}, nil
	}
	s := d.stream(d.in(token, getNew))
	id := idOf(t, s.must().data)
	if got := d.send(d.in(token, `{"jsonrpc":"2.0","id":`+id+`,"error":{"message":""}}`)); got.status != http.StatusBadRequest {
		t.Errorf("an error without a code: %d %s", got.status, got.body)
	}
	if got := d.send(d.in(token, `{"jsonrpc":"2.0","id":`+id+`,"result":{"mine":1}}`)); got.status != http.StatusAccepted {
		t.Fatalf("the answer: %d %s", got.status, got.body)
	}
	if got := d.send(d.in(token, `{"jsonrpc":"2.0","id":`+id+`,"result":{"again":1}}`)); got.status != http.StatusBadRequest {
		t.Errorf("the answer once more: %d %s", got.status, got.body)
	}
	if last := s.must().data; !strings.Contains(last, `"mine":1`) {
		t.Errorf("then %s", last)
	}
}

// TestACallInASessionOfTheNodesOwnCanBeResumed: its request has the id that every node
// derives, also where the client carries no session with the server.
func TestACallInASessionOfTheNodesOwnCanBeResumed(t *testing.T) {
	d := rich(t)
	d.up.open = nil
	token := d.enter("/mcp")
	var asked, resumed string
	d.up.do = func(_ context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error) {
		asked = string(call.ID)
		at := upstream.Mark{EventID: "e1", Session: upstream.SessionRef{ID: "nodes-own", Version: mcp.Version20251125}}
		if err := sink.Prime(at); err != nil {
			return nil, err
		}
		return &upstream.Answer{Detached: true, At: at}, nil
	}
	d.up.resume = func(_ context.Context, resume *upstream.Resume, _ upstream.Sink) (*upstream.Answer, error) {
		resumed = string(resume.ID)
		return &upstream.Answer{Body: []byte(`{"jsonrpc":"2.0","id":1,"result":{}}`), Outcome: auditv1.Outcome_OUTCOME_OK}, nil
	}
	s := d.stream(d.in(token, getOld))
	last := s.must().id
	s.next()
	s = d.stream(d.again(token, last))
	s.must()
	if asked == "" || asked != resumed {
		t.Errorf("asked with id %q, resumed for %q", asked, resumed)
	}
}

// TestInitializingWithoutEndDoesNotReachTheServersEachTime: one small request of a
// client is several at each server. Sessions that are opened too fast are good; the
// servers take part in them when they are first called.
func TestInitializingWithoutEndDoesNotReachTheServersEachTime(t *testing.T) {
	d := rich(t)
	var opened atomic.Int64
	d.up.open = func(_ context.Context, server string) (upstream.SessionRef, error) {
		opened.Add(1)
		return upstream.SessionRef{ID: "of-" + server, Version: mcp.Version20251125}, nil
	}
	const times = 600
	token := ""
	for range times {
		token = d.enter("/mcp")
	}
	if n := opened.Load(); n == 0 || n > times/2 {
		t.Errorf("%d sessions were opened at the server", n)
	}
	if got := d.send(d.in(token, getOld)); got.Error.Code != 0 || got.status != http.StatusOK {
		t.Errorf("a call in the last session: %d %s", got.status, got.body)
	}
	before := opened.Load()
	if got := d.send(d.bare(initialize).with(d.by(d.bob))); got.status != http.StatusOK || opened.Load() != before+1 {
		t.Errorf("another caller pays for it: %d, %d opened", got.status, opened.Load()-before)
	}
}

// TestACallThatOutlastsTheNodeHasAResult: nobody waits for it any longer, and its
// intent must not stay without a result.
func TestACallThatOutlastsTheNodeHasAResult(t *testing.T) {
	d := rich(t)
	begun := make(chan struct{})
	d.up.do = func(ctx context.Context, _ *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		close(begun)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	s := d.enter("/mcp")
	done := make(chan answer)
	go func() { done <- d.send(d.in(s, getOld)) }()
	<-begun
	d.session.Abandon()
	got := <-done
	if !strings.Contains(got.body, "going down") {
		t.Errorf("answer %s", got.body)
	}
	if events := d.audit.taken(); len(events) != 2 || events[1].GetOutcome() != auditv1.Outcome_OUTCOME_CANCELLED {
		t.Errorf("events %v", events)
	}
	if got := d.send(d.in(s, getOld)); !strings.Contains(got.body, "going down") || d.up.calls.Load() != 1 {
		t.Errorf("a later call: %s after %d calls", got.body, d.up.calls.Load())
	}
}

// TestNotificationsWithoutEndDoNotReachTheServersEachTime: each is a request to each
// server of the session.
func TestNotificationsWithoutEndDoNotReachTheServersEachTime(t *testing.T) {
	for _, notification := range []string{
		`{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`,
		rpc("logging/setLevel", `"level":"debug"`),
	} {
		d := rich(t)
		token := d.enter("/mcp")
		const times = 1000
		refused := 0
		for range times {
			switch got := d.send(d.in(token, notification)); {
			case got.Error.Code == mcp.CodeRateLimited:
				refused++
			case got.status != http.StatusAccepted && got.status != http.StatusOK:
				t.Fatalf("%d %s", got.status, got.body)
			}
		}
		n := len(d.up.heard()) + int(d.up.calls.Load())
		if n == 0 || n > times/2 {
			t.Errorf("%s: a server was told %d times, %d were refused", notification, n, refused)
		}
	}
}
