package listener

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/httpserver"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

func TestAnswersStreamWhatTheServerSaysFirst(t *testing.T) {
	d := open(t)
	arrived := make(chan struct{})
	d.up.do = func(ctx context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error) {
		if err := sink.Notification([]byte("{\"jsonrpc\":\"2.0\",\n\"method\":\"notifications/progress\"}"), upstream.Mark{}); err != nil {
			t.Error(err)
		}
		select {
		case <-arrived: // the client has the first message before the second is made
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return echo(call), sink.Notification([]byte(`{"jsonrpc":"2.0","method":"notifications/message"}`), upstream.Mark{})
	}
	response, err := d.client.Do(d.request(t.Context(), d.legacy(call)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" || response.Header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("headers %v", response.Header)
	}
	events := bufio.NewReader(response.Body)
	want := "event: message\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"notifications/progress\"}\n\n"
	first := make([]byte, len(want))
	if _, err := io.ReadFull(events, first); err != nil {
		t.Fatal(err)
	}
	close(arrived)
	rest, err := io.ReadAll(events)
	if err != nil {
		t.Fatal(err)
	}
	want += "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n" +
		"event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"echo\":{\"a\":1}}}\n\n"
	if diff := cmp.Diff(want, string(first)+string(rest)); diff != "" {
		t.Error(diff)
	}
}

func TestAClientThatTakesJSONOnlyGetsTheAnswerOnly(t *testing.T) {
	d := open(t)
	d.up.do = func(_ context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error) {
		return echo(call), sink.Notification([]byte(`{"jsonrpc":"2.0","method":"notifications/message"}`), upstream.Mark{})
	}
	for _, accept := range [][]string{{"application/json"}, {"*/*"}, nil} {
		m := d.legacy(call)
		m.header["Accept"] = accept
		got := d.send(m)
		if diff := cmp.Diff(`{"jsonrpc":"2.0","id":1,"result":{"echo":{"a":1}}}`, got.body); diff != "" {
			t.Errorf("%v: %s", accept, diff)
		}
	}
	for _, accept := range []string{"text/event-stream", "text/event-stream, application/json"} {
		m := d.legacy(`{"jsonrpc":"2.0","id":7,"method":"ping"}`)
		m.set("Accept", accept)
		if got := d.send(m); got.body != "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\n" {
			t.Errorf("a client that says Accept: %s got %q", accept, got.body)
		}
	}
}

// TestASessionIsServedUnderEachLegacyVersion: clients exist that always name the
// same one, whatever was agreed on.
func TestASessionIsServedUnderEachLegacyVersion(t *testing.T) {
	d := open(t)
	for version, want := range map[string]int{"": 200, "2025-03-26": 200, "2025-06-18": 200, "2025-11-25": 200, "2024-11-05": 400, "1999-01-01": 400} {
		m := d.legacy(`{"jsonrpc":"2.0","id":7,"method":"tools/list"}`)
		m.set("Mcp-Protocol-Version", version)
		if version == "" {
			m.header.Del("Mcp-Protocol-Version")
		}
		if got := d.send(m); got.status != want {
			t.Errorf("MCP-Protocol-Version %q: %d %s; want %d", version, got.status, got.body, want)
		}
	}
}

func TestAWaitingClientHearsKeepAlives(t *testing.T) {
	d := open(t, func(c *Config) { c.KeepAlive = time.Millisecond })
	heard := make(chan struct{})
	d.up.do = func(ctx context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		select {
		case <-heard:
			return echo(call), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	response, err := d.client.Do(d.request(t.Context(), d.legacy(call)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	comments, data := 0, ""
	for lines.Scan() {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, ":"):
			if comments++; comments == 3 {
				close(heard)
			}
		case strings.HasPrefix(line, "data: "):
			data += line
		}
	}
	if want := `data: {"jsonrpc":"2.0","id":1,"result":{"echo":{"a":1}}}`; data != want || comments < 3 {
		t.Errorf("%d comments, then %q; want %q", comments, data, want)
	}
}

func TestAModernClientThatGoesAwayHasCancelledItsCall(t *testing.T) {
	d := open(t)
	d.leave(d.modern("tools/call", "git__get", `"name":"git__get"`))
	events := d.audit.taken()
	if len(events) != 2 || events[1].GetOutcome() != auditv1.Outcome_OUTCOME_CANCELLED {
		t.Errorf("events: %v; want an intent and a cancelled result", events)
	}
}

// TestALegacyClientThatGoesAwayHasCancelledNothing: its call goes on for a while
// (mcp.md 2.6), and what the server says meanwhile is no reason to end it.
func TestALegacyClientThatGoesAwayHasCancelledNothing(t *testing.T) {
	for name, grace := range map[string]time.Duration{"within its time": time.Hour, "beyond it": time.Millisecond} {
		for _, accept := range []string{"application/json, text/event-stream", "application/json"} {
			d := open(t, func(c *Config) { c.KeepAlive, c.Grace = time.Millisecond, grace })
			want := auditv1.Outcome_OUTCOME_CANCELLED
			if grace == time.Hour {
				want = auditv1.Outcome_OUTCOME_OK
				d.up.do = func(ctx context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error) {
					<-d.up.gone
					for range 100 {
						if err := sink.Notification([]byte(`{"jsonrpc":"2.0","method":"notifications/message"}`), upstream.Mark{}); err != nil {
							t.Error(err)
						}
					}
					return echo(call), ctx.Err()
				}
			}
			d.leave(d.legacy(call).with(func(m *message) { m.set("Accept", accept) }))
			events := d.audit.taken()
			if len(events) != 2 || events[1].GetOutcome() != want {
				t.Errorf("%s, %s: events: %v; want an intent and %s", name, accept, events, want)
			}
		}
	}
}

// leave sends a call and goes away as soon as it runs. It returns when nothing runs
// any more.
func (d *door) leave(m *message) {
	d.t.Helper()
	started := make(chan struct{})
	d.up.gone = make(chan struct{})
	do := d.up.do
	d.up.do = func(ctx context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error) {
		close(started)
		if do != nil {
			return do(ctx, call, sink)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ctx, leave := context.WithCancel(d.t.Context())
	request := d.request(ctx, m)
	go func() {
		<-started
		leave()
	}()
	if response, err := d.client.Do(request); err == nil {
		response.Body.Close() // the headers of a stream may have come
	}
	close(d.up.gone)
	d.Server.Close() // waits for the handler
}

func TestACallThatPanicsHasAResult(t *testing.T) {
	d := open(t)
	var log bytes.Buffer // written before the connection is closed
	d.Config.ErrorLog = httpserver.New(nil, slog.New(slog.NewTextHandler(&log, nil))).ErrorLog
	d.up.do = func(context.Context, *upstream.Call, upstream.Sink) (*upstream.Answer, error) {
		panic("bug of the test")
	}
	if response, err := d.client.Do(d.request(t.Context(), d.legacy(call))); err == nil {
		t.Errorf("status %d; want the connection cut", response.StatusCode)
	}
	d.Server.Close()
	events := d.audit.taken()
	if len(events) != 2 || events[1].GetOutcome() != auditv1.Outcome_OUTCOME_SERVER_FAILED {
		t.Errorf("events: %v; want an intent and a failed result", events)
	}
	if n := d.listener.Inflight(); n != 0 {
		t.Errorf("%d requests are still counted", n)
	}
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "bug of the test") {
		t.Errorf("the log says of the panic: %q; want an error", log.String())
	}
}
