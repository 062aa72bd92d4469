package session_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
	"github.com/warder-gateway/warder/dataplane/internal/limit"
	"github.com/warder-gateway/warder/dataplane/internal/notice"
	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/dataplane/internal/spool"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// stub is a server that always says the same.
type stub struct {
	session.Upstream
	answer upstream.Answer
	ended  []string // keys
	calls  int
	asks   bool // something of the client, in the middle of a call
}

func (s *stub) EndKey(key string) { s.ended = append(s.ended, key) }

func (*stub) Listen(ctx context.Context, _ *upstream.Listen, _ upstream.Sink) error {
	<-ctx.Done()
	return ctx.Err()
}

// client takes what comes and says nothing.
type client struct{}

func (client) Streams() bool                            { return true }
func (client) Send([]byte, string, time.Duration) error { return nil }
func (client) Stay() error                              { return nil }
func (client) Begin() error                             { return nil }
func (client) Attend() *lifetime.Lifetime               { return new(lifetime.Lifetime) }
func (client) Outlive() *lifetime.Lifetime              { return new(lifetime.Lifetime) }

func (s *stub) Do(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
	s.calls++
	if s.asks {
		call.Permit(mcp.MethodElicit, nil)
	}
	return &s.answer, nil
}

// nowhere is an audit queue without a queue, so that only the session's own
// work is counted.
type nowhere struct{ events int }

func (n *nowhere) Intent(*auditv1.Event) (session.Ticket, error) { n.events++; return n, nil }
func (n *nowhere) Refusal(*auditv1.Event) error                  { n.events++; return nil }
func (*nowhere) Sync(context.Context, snapshotv1.Risk) error     { return nil }
func (n *nowhere) Result(*auditv1.Event)                         { n.events++ }

// queue is a real one.
type queue struct{ *spool.Queue }

func (q queue) Intent(event *auditv1.Event) (session.Ticket, error) {
	ticket, err := q.Queue.Intent(event)
	return ticket, err
}

func (queue) Sync(context.Context, snapshotv1.Risk) error { return nil }

// request is a call of git__get, about which there are these limits.
func request(t testing.TB, limits ...*snapshotv1.Limit) *session.Request {
	w := gatetest.New(t)
	for _, l := range limits {
		w.Limit(l)
	}
	w.Server("git", "get")
	w.Role("dev")
	w.User("ana", "dev")
	key := w.Key("ana", "ide", time.Time{})
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	r.Header.Set("Authorization", "Bearer "+key.String())
	r.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	r.Header.Set("User-Agent", "bench/1.0")
	index := w.Index(1)
	holder, refusal := index.Credentials().Authenticate(r, nil, time.Now())
	if refusal != nil {
		t.Fatal(refusal.Reason)
	}
	now := time.Now()
	token, _, err := index.Sealer().SealSession(&handle.Session{
		Version: mcp.Version20251125, Issued: now, Expires: now.Add(time.Hour), Capabilities: mcp.CapElicitForm,
		Servers: []handle.ServerSession{{Server: "git", ID: "a-session-of-git", Version: mcp.Version20251125}},
	},
		handle.OwnerOf(&principal.Principal{User: "ana", Application: "ide"}), now)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(session.HeaderSession, token)
	return &session.Request{
		Index: index, Caller: holder, Header: r.Header, Remote: "127.0.0.1:1", Received: time.Now(),
		Body: []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"git__get","arguments":{"text":"` +
			strings.Repeat("x", 200) + `"}}}`),
	}
}

func newSession(audit session.Recorder, registry *prometheus.Registry) *session.Session {
	return over(&stub{answer: upstream.Answer{Body: []byte(`{"jsonrpc":"2.0","id":1,"result":{}}`), Outcome: auditv1.Outcome_OUTCOME_OK}}, audit, registry)
}

func over(up *stub, audit session.Recorder, registry *prometheus.Registry) *session.Session {
	return session.New(session.Config{
		Upstream:   up,
		Board:      notice.New(notice.Config{Upstream: up, Registerer: registry}),
		Audit:      audit,
		Current:    func() *gate.Index { return nil },
		Version:    "test",
		Log:        slog.New(slog.DiscardHandler),
		Registerer: registry,
		Limits:     limit.New(),
	})
}

// wide are limits that let everything pass, with buckets that all calls share and of
// their own.
func wide() (limits []*snapshotv1.Limit) {
	for _, per := range []snapshotv1.LimitPer{
		snapshotv1.LimitPer_LIMIT_PER_ALL, snapshotv1.LimitPer_LIMIT_PER_USER, snapshotv1.LimitPer_LIMIT_PER_TOOL,
	} {
		limits = append(limits, &snapshotv1.Limit{Name: per.String(), Per: per, Calls: 1e9, Burst: 1e9, Window: durationpb.New(time.Second)})
	}
	return limits
}

// TestLimitsCostACallNoAllocation holds that a call about which there are limits allocates
// no more than another.
func TestLimitsCostACallNoAllocation(t *testing.T) {
	var allocs [2]float64
	for i, in := range []*session.Request{request(t), request(t, wide()...)} {
		s := newSession(&nowhere{}, prometheus.NewRegistry())
		allocs[i] = testing.AllocsPerRun(200, func() { s.Serve(t.Context(), in, client{}) })
	}
	if allocs[1] > allocs[0]+slack {
		t.Errorf("%v allocations with limits, %v without", allocs[1], allocs[0])
	}
}

// TestACallCostsFewAllocations holds the session to its share of the budget in
// performance.md: scan, decision, both events, metrics.
func TestACallCostsFewAllocations(t *testing.T) {
	audit := &nowhere{}
	s, in := newSession(audit, prometheus.NewRegistry()), request(t)
	const runs = 200
	allocs := testing.AllocsPerRun(runs, func() {
		if answer := s.Serve(t.Context(), in, client{}); answer.Status != http.StatusOK {
			t.Fatalf("%d %s", answer.Status, answer.Parts[0])
		}
	})
	if audit.events != 2*(runs+1) {
		t.Errorf("%d events for %d calls", audit.events, runs+1)
	}
	if allocs > 3+slack { // the client's lifetime, the name of the tool, and the traceparent
		t.Errorf("%v allocations; want at most 3", allocs)
	}
}

// late is an audit queue on whose disk a call's record is just as the call ends.
type late struct {
	nowhere
	end func()
	was []*auditv1.Event
}

func (l *late) Intent(*auditv1.Event) (session.Ticket, error) { return l, nil }
func (l *late) Sync(context.Context, snapshotv1.Risk) error   { l.end(); return nil }
func (l *late) Result(event *auditv1.Event)                   { l.was = append(l.was, event) }

// TestACallThatEndsAsItsRecordIsSafeIsNotMade: what waits for the disk may be revoked meanwhile.
func TestACallThatEndsAsItsRecordIsSafeIsNotMade(t *testing.T) {
	audit := &late{}
	up := &stub{answer: upstream.Answer{Body: []byte(`{"jsonrpc":"2.0","id":1,"result":{}}`), Outcome: auditv1.Outcome_OUTCOME_OK}}
	s := over(up, audit, prometheus.NewRegistry())
	audit.end = s.Abandon
	s.Serve(t.Context(), request(t), client{})
	if up.calls != 0 {
		t.Error("it was made")
	}
	if len(audit.was) != 1 || audit.was[0].GetOutcome() != auditv1.Outcome_OUTCOME_CANCELLED || !strings.HasPrefix(audit.was[0].GetError(), "the call was not made: ") {
		t.Errorf("its results are %v", audit.was)
	}
}

func BenchmarkCall(b *testing.B) {
	in := request(b)
	b.Run("session", func(b *testing.B) {
		s := newSession(&nowhere{}, prometheus.NewRegistry())
		b.ReportAllocs()
		for b.Loop() {
			s.Serve(b.Context(), in, client{})
		}
	})
	for n := 1; n <= 3; n++ {
		limited := request(b, wide()[:n]...)
		b.Run(fmt.Sprintf("session-%d-limits", n), func(b *testing.B) {
			s := newSession(&nowhere{}, prometheus.NewRegistry())
			b.ReportAllocs()
			for b.Loop() {
				s.Serve(b.Context(), limited, client{})
			}
		})
	}
	b.Run("session-and-spool", func(b *testing.B) {
		q, err := spool.Open(spool.Config{Bytes: 1 << 30})
		if err != nil {
			b.Fatal(err)
		}
		s := newSession(queue{q}, prometheus.NewRegistry())
		b.ReportAllocs()
		for b.Loop() {
			s.Serve(b.Context(), in, client{})
		}
	})
}

func TestP24_MetricsHaveBoundedLabels(t *testing.T) {
	registry := prometheus.NewRegistry()
	s, in := newSession(&nowhere{}, registry), request(t)
	s.Serve(t.Context(), in, client{})
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"made-up"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"made/up"}`,
	} {
		in.Body, in.Server = []byte(body), ""
		s.Serve(t.Context(), in, client{})
	}
	in.Server = "made-up"
	s.Serve(t.Context(), in, client{})
	want := `
# HELP warder_decisions_total Calls by decision; reason is the sort of thing that decided, server is empty where it could not be resolved.
# TYPE warder_decisions_total counter
warder_decisions_total{effect="allow",reason="role",server="git"} 1
warder_decisions_total{effect="deny",reason="unknown-method",server=""} 1
warder_decisions_total{effect="deny",reason="unknown-server",server=""} 1
warder_decisions_total{effect="deny",reason="unknown-tool",server=""} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "warder_decisions_total"); err != nil {
		t.Error(err)
	}
}

// TestASessionThatEndedAtAnotherNodeLeavesNothingHere: whichever node its client told, this one lets go of what it opened
// for it, and of the session.
func TestASessionThatEndedAtAnotherNodeLeavesNothingHere(t *testing.T) {
	up := &stub{}
	board := notice.New(notice.Config{Upstream: up})
	s := session.New(session.Config{
		Upstream: up, Board: board, Audit: &nowhere{}, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	id := [16]byte{1, 2, 3}
	s.Ended(id, time.Now().Add(time.Hour))
	if !board.Ended(id) || len(up.ended) != 1 || up.ended[0] != notice.SessionKey(id) {
		t.Errorf("the session is known as ended: %v; keys whose sessions with servers were ended: %q", board.Ended(id), up.ended)
	}
}

// TestWhatAClientSaidAtAnotherNodeHoldsHere: but not what no client may say, or of a session that has ended.
func TestWhatAClientSaidAtAnotherNodeHoldsHere(t *testing.T) {
	up := &stub{}
	board := notice.New(notice.Config{Upstream: up})
	s := session.New(session.Config{
		Upstream: up, Board: board, Audit: &nowhere{}, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	id, ended := [16]byte{1}, [16]byte{2}
	s.Ended(ended, time.Now().Add(time.Hour))
	for _, wish := range []struct {
		session [16]byte
		wish    notice.Wish
		taken   bool
	}{
		{id, notice.Wish{Level: "error"}, true},
		{id, notice.Wish{Level: "all"}, false},
		{id, notice.Wish{Server: "git", URI: "file:///a"}, true},
		{id, notice.Wish{Server: "git", URI: "file:///a", Over: true}, true},
		{id, notice.Wish{Server: "git", URI: strings.Repeat("x", 1<<20)}, false},
		{ended, notice.Wish{Level: "error"}, false},
	} {
		if taken := s.Wished(wish.session, wish.wish); taken != wish.taken {
			t.Errorf("%.60v of session %d is taken: %v", wish.wish, wish.session[0], taken)
		}
	}
	if board.Level(id) != "error" || board.Level(ended) != "" {
		t.Errorf("levels %q and %q", board.Level(id), board.Level(ended))
	}
}

// shut is a board that opens no stream.
type shut struct {
	session.Board
	why error
}

func (s shut) Ended([16]byte) bool { return false }

func (s shut) Open(context.Context, *notice.Subscription, notice.Stream) error { return s.why }

// TestAStreamThatIsNotOpenedIsRefusedAsAnyRequestIs: what ended while the request was on its way has the code that it has for
// the next one.
func TestAStreamThatIsNotOpenedIsRefusedAsAnyRequestIs(t *testing.T) {
	for kind, want := range map[fault.Kind]struct {
		status int
		code   string
	}{
		fault.Unauthenticated: {http.StatusUnauthorized, `"code":1401`},
		fault.NotFound:        {http.StatusNotFound, `"code":-32600`},
		fault.Exhausted:       {http.StatusServiceUnavailable, `"code":1503`},
	} {
		s := session.New(session.Config{
			Upstream: &stub{}, Board: shut{why: fault.New(kind, "why")}, Audit: &nowhere{},
			Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		})
		in := request(t)
		in.Body = nil
		if got := s.Listen(t.Context(), in, client{}); got.Status != want.status || !strings.Contains(string(got.Message()), want.code) {
			t.Errorf("%v: %d %s; want %d and %s", kind, got.Status, got.Message(), want.status, want.code)
		}
	}
}

// TestASessionThatIsInUseIsHeldToItsTimeAndKeysAndEnd: what the node remembers of an id says nothing of those.
func TestASessionThatIsInUseIsHeldToItsTimeAndKeysAndEnd(t *testing.T) {
	s, in := newSession(&nowhere{}, prometheus.NewRegistry()), request(t)
	var opened handle.Session
	token := in.Header.Get(session.HeaderSession)
	if err := in.Index.Sealer().OpenSession(token, handle.OwnerOf(in.Caller.Principal), in.Received, &opened); err != nil {
		t.Fatal(err)
	}
	w := gatetest.New(t)
	w.Items[0].GetSettings().SealKeys[0].Key = []byte("a key that came by rotation.....")
	rotated := w.Index(2)
	steps := []struct {
		name string
		when func(*session.Request)
		want int
	}{
		{"its first use", func(*session.Request) {}, http.StatusOK},
		{"just before its end", func(r *session.Request) { r.Received = opened.Expires.Add(-time.Second) }, http.StatusOK},
		{"at its end", func(r *session.Request) { r.Received = opened.Expires }, http.StatusNotFound},
		{"without its key", func(r *session.Request) { r.Index = rotated }, http.StatusNotFound},
		{"with its key", func(*session.Request) {}, http.StatusOK},
		{"after its client ended it", func(*session.Request) { s.Ended(opened.ID, opened.Expires) }, http.StatusNotFound},
	}
	for _, step := range steps {
		one := *in
		step.when(&one)
		if answer := s.Serve(t.Context(), &one, client{}); answer.Status != step.want {
			t.Errorf("%s: %d %s; want %d", step.name, answer.Status, answer.Message(), step.want)
		}
	}
}

// TestARequestIsFreeOnlyIfNobodyKeepsIt: who asks a person in the middle of a call may come back to its request.
func TestARequestIsFreeOnlyIfNobodyKeepsIt(t *testing.T) {
	for _, asks := range []bool{false, true} {
		up := &stub{answer: upstream.Answer{Body: []byte(`{}`), Outcome: auditv1.Outcome_OUTCOME_OK}, asks: asks}
		s := session.New(session.Config{
			Current:  func() *gate.Index { return nil },
			Upstream: up, Board: notice.New(notice.Config{Upstream: up}), Audit: &nowhere{}, Log: slog.New(slog.DiscardHandler),
			Registerer: prometheus.NewRegistry(),
		})
		if answer := s.Serve(t.Context(), request(t), client{}); answer.Status != http.StatusOK || answer.Free == asks {
			t.Errorf("a call whose server asks (%v): %d, free: %v", asks, answer.Status, answer.Free)
		}
	}
}

// doubtful refuses what it is told to.
type doubtful struct {
	why     error
	checked int
}

func (d *doubtful) Check(context.Context, *gate.Entry) error { d.checked++; return d.why }

// TestT04_WhatMayHaveChangedReachesNoServer: a call whose tool is not sure to be as
// it was approved is denied by name, and recorded as a refusal.
func TestT04_WhatMayHaveChangedReachesNoServer(t *testing.T) {
	for _, why := range []error{nil, fault.New(fault.Precondition, "it is another"), fault.New(fault.Unavailable, "who knows")} {
		up := &stub{answer: upstream.Answer{Body: []byte(`{"jsonrpc":"2.0","id":1,"result":{}}`), Outcome: auditv1.Outcome_OUTCOME_OK}}
		drift, audit := &doubtful{why: why}, &nowhere{}
		s := session.New(session.Config{
			Current: func() *gate.Index { return nil }, Drift: drift,
			Upstream: up, Board: notice.New(notice.Config{Upstream: up}), Audit: audit, Log: slog.New(slog.DiscardHandler),
			Registerer: prometheus.NewRegistry(),
		})
		answer := s.Serve(t.Context(), request(t), client{})
		body := string(answer.Parts[0])
		if drift.checked != 1 || answer.Status != http.StatusOK {
			t.Fatalf("checked %d times, status %d", drift.checked, answer.Status)
		}
		want := `"result":{`
		switch {
		case fault.Is(why, fault.Unavailable): // It may be tried again: no rule is against it.
			want = `"code":1503,"message":"who knows"`
		case why != nil:
			want = `"code":1403`
		}
		if !strings.Contains(body, want) || why != nil && !strings.Contains(body, `"rule":"definition-changed","reason":"`+fault.Text(why)+`"`) {
			t.Errorf("%v: %s", why, body)
		}
		if want := map[bool]int{true: 1, false: 2}[why != nil]; audit.events != want { // A refusal, or an intent and its result.
			t.Errorf("%v: %d events", why, audit.events)
		}
	}
}
