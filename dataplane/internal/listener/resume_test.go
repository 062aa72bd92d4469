package listener

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// cut makes the old server send two events and close its stream before the answer.
func (d *door) cut() {
	d.up.do = func(_ context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error) {
		at := upstream.Mark{EventID: "e1", Retry: 5 * time.Millisecond, Session: *call.Session}
		if err := sink.Prime(at); err != nil {
			return nil, err
		}
		at.EventID = "e2"
		if err := sink.Notification([]byte(`{"jsonrpc":"2.0","method":"notifications/message"}`), at); err != nil {
			return nil, err
		}
		return &upstream.Answer{Detached: true, At: at, Until: time.Now().Add(time.Minute)}, nil
	}
	d.up.resume = func(_ context.Context, resume *upstream.Resume, sink upstream.Sink) (*upstream.Answer, error) {
		if resume.EventID != "e2" && resume.EventID != "e3" || resume.Session.ID != "of-old" || string(resume.ClientID) != "1" || resume.Method != "tools/call" {
			d.t.Errorf("resume %+v", resume)
		}
		at := upstream.Mark{EventID: "e3", Session: resume.Session}
		if err := sink.Notification([]byte(`{"jsonrpc":"2.0","method":"notifications/message","params":{}}`), at); err != nil {
			return nil, err
		}
		at.EventID = "e4"
		return &upstream.Answer{
			Body: []byte(`{"jsonrpc":"2.0","id":1,"result":{"late":true}}`), At: at, Outcome: auditv1.Outcome_OUTCOME_OK,
		}, nil
	}
}

// again asks for what comes after an event.
func (d *door) again(token, after string) *message {
	return d.in(token, "").with(func(m *message) {
		m.method = http.MethodGet
		m.header.Del("Content-Type")
		m.set("Last-Event-ID", after)
	})
}

func TestAStreamIsResumedAtAnyNodeAndItsResultBelongsToTheCall(t *testing.T) {
	d := rich(t)
	other := d.beside()
	token := d.enter("/mcp")
	d.cut()
	other.cut()
	run := func() (last string) {
		s := d.stream(d.in(token, getOld))
		prime, message := s.must(), s.must()
		if prime.data != "" || prime.id == "" || prime.retry != "5" || message.id == "" || message.id == prime.id {
			t.Errorf("events %+v, %+v", prime, message)
		}
		if e, ok := s.next(); ok {
			t.Errorf("then %+v; want the end of the stream", e)
		}
		return message.id
	}
	last := run()
	events := d.audit.taken()
	if len(events) != 1 {
		t.Fatalf("events: %v; want the intent alone", events)
	}
	for name, m := range map[string]*message{
		"another user":    d.again(token, last).with(d.by(d.bob)),
		"another session": d.again(d.enter("/mcp"), last),
		"made up":         d.again(token, "e2"),
	} {
		d.audit.taken()
		if got := d.send(m); got.status != http.StatusBadRequest && got.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	d.audit.taken()
	s := d.stream(d.again(token, last))
	e := s.must()
	if e.id == "" || !strings.Contains(e.data, "notifications/message") {
		t.Errorf("resumed: %+v", e)
	}
	if e := s.must(); e.id == "" || !strings.Contains(e.data, `"late":true`) {
		t.Errorf("resumed: %+v", e)
	}
	if e, ok := s.next(); ok {
		t.Errorf("after the answer: %+v", e)
	}
	results := d.audit.taken()
	s = d.stream(d.again(token, e.id)) // from an event of the resumed stream
	s.must()
	if e := s.must(); !strings.Contains(e.data, `"late":true`) {
		t.Errorf("resumed once more: %+v", e)
	}
	s.next()
	d.audit.taken()
	if len(results) != 1 || results[0].GetOutcome() != auditv1.Outcome_OUTCOME_OK || !bytes.Equal(results[0].GetCallId(), events[0].GetCallId()) {
		t.Errorf("results: %v", results)
	}

	last = run()
	s = other.stream(other.again(token, last))
	s.must()
	s.must()
	s.next()
	if events := other.audit.taken(); len(events) != 2 || events[0].GetMethod() != "tools/call" || events[0].GetServer() != "old" {
		t.Errorf("at another node: %v", events)
	}
	d.session.Close()
	if events := d.audit.taken(); len(events) != 2 || events[1].GetOutcome() != auditv1.Outcome_OUTCOME_CANCELLED {
		t.Errorf("the node that made the call: %v; want an intent and a result", events)
	}
}

func TestTheNodeResumesForAClientThatCannot(t *testing.T) {
	d := rich(t)
	d.cut()
	m := d.in(d.enter("/mcp"), getOld).with(func(m *message) { m.set("Accept", "application/json") })
	if got := d.send(m); got.body != `{"jsonrpc":"2.0","id":1,"result":{"late":true}}` {
		t.Errorf("got %s", got.body)
	}
	if events := d.audit.taken(); len(events) != 2 || events[1].GetOutcome() != auditv1.Outcome_OUTCOME_OK {
		t.Errorf("events: %v", events)
	}
}

// A server that closes its stream again and again has the time of one call, and not that time each time anew.
func TestACallThatIsReadOnForeverHasTheTimeOfOneCall(t *testing.T) {
	d := rich(t)
	until := time.Now().Add(200 * time.Millisecond)
	resumed := 0
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		return &upstream.Answer{Detached: true, At: upstream.Mark{EventID: "e0", Session: *call.Session}, Until: until}, nil
	}
	d.up.resume = func(_ context.Context, resume *upstream.Resume, _ upstream.Sink) (*upstream.Answer, error) {
		if !resume.Until.Equal(until) {
			t.Errorf("resumed until %v, want %v", resume.Until, until)
		}
		resumed++
		return &upstream.Answer{Detached: true, At: upstream.Mark{EventID: fmt.Sprint("e", resumed), Session: resume.Session}, Until: until}, nil
	}
	m := d.in(d.enter("/mcp"), getOld).with(func(m *message) { m.set("Accept", "application/json") })
	got := d.send(m)
	if !strings.Contains(got.body, `"code":1504`) || !strings.Contains(got.body, `server \"old\" did not finish the call`) {
		t.Errorf("got %s", got.body)
	}
	if resumed == 0 || time.Since(until) > 5*time.Second {
		t.Errorf("resumed %d times, %v beyond its time", resumed, time.Since(until))
	}
	if told := d.up.heard(); len(told) != 1 || told[0].what != "cancel" || told[0].server != "old" {
		t.Errorf("servers were told %v, want a cancellation", told)
	}
	if events := d.audit.taken(); len(events) != 2 || events[1].GetOutcome() != auditv1.Outcome_OUTCOME_SERVER_FAILED {
		t.Errorf("events: %v", events)
	}
}

// TestAResumedStreamBeginsAtOnce has a server that is asked for the rest and is silent: its client has a stream all the
// same, and when it leaves, the audit says so.
func TestAResumedStreamBeginsAtOnce(t *testing.T) {
	d := rich(t, func(c *Config) { c.KeepAlive = time.Hour })
	token := d.enter("/mcp")
	d.cut()
	s := d.stream(d.in(token, getOld))
	s.must()
	last := s.must().id
	s.next()
	asked, left := make(chan struct{}), make(chan struct{})
	d.up.resume = func(ctx context.Context, _ *upstream.Resume, _ upstream.Sink) (*upstream.Answer, error) {
		defer close(left)
		close(asked)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s = d.stream(d.again(token, last)) // returns when the headers are there
	select {
	case <-asked:
	case <-time.After(10 * time.Second):
		t.Error("the headers are there, but the server is not asked for the rest")
	}
	if s.status != http.StatusOK || s.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%d %v", s.status, s.header)
	}
	s.close()
	<-left
	d.await("the request to end", func() bool { return d.listener.Inflight() == 0 })
	d.session.Close()
	events := d.audit.taken()
	if len(events) != 2 || !strings.Contains(events[1].GetError(), "the client went away") {
		t.Errorf("events: %v; want an intent, and that the client went away", events)
	}
}
