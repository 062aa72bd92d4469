package listener

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
)

func TestWithoutASnapshotNothingIsServed(t *testing.T) {
	d := open(t, func(c *Config) { c.Current = func() *gate.Index { return nil } })
	got := d.send(d.legacy(call))
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || !strings.Contains(got.Error.Message, "no snapshot") {
		t.Errorf("got %d %v %+v", got.status, got.header, got.Error)
	}
	if event := d.refusal(); event.GetRule() != "not-ready" {
		t.Errorf("event: %v", event)
	}
}

func TestP13_RequestsBeyondTheBoundAreTurnedAway(t *testing.T) {
	d := open(t, func(c *Config) { c.MaxRequests = 1 })
	started, release := make(chan struct{}), make(chan struct{})
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		close(started)
		<-release
		return echo(call), nil
	}
	first := make(chan answer)
	go func() { first <- d.send(d.legacy(call)) }()
	<-started
	got := d.send(d.legacy(call))
	close(release)
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("second request: %d", got.status)
	}
	if one := <-first; one.status != http.StatusOK {
		t.Errorf("first request: %d", one.status)
	}
	if n := testutil.ToFloat64(d.listener.turned); n != 1 {
		t.Errorf("counted %v", n)
	}
}

func TestP13_OneKeyDoesNotTakeAllPlaces(t *testing.T) {
	d := open(t, func(c *Config) { c.MaxPerKey = 2 })
	started, release := make(chan struct{}), make(chan struct{})
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		started <- struct{}{}
		<-release
		return echo(call), nil
	}
	answers := make(chan answer)
	for range 2 {
		go func() { answers <- d.send(d.legacy(call)) }()
		<-started
	}
	d.audit.taken()
	got := d.send(d.legacy(call))
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" || got.Error.Code != 1429 || !strings.Contains(got.body, `"retryAfterMs":1000`) {
		t.Errorf("a third request: %d %v %s", got.status, got.header, got.body)
	}
	if events := d.audit.taken(); len(events) != 1 || events[0].GetRule() != "key-busy" || events[0].GetUser() != "ana" {
		t.Errorf("events: %v", events)
	}
	if got := d.send(d.legacy(rpc("tools/list", "")).with(d.by(d.bob))); got.status != http.StatusOK {
		t.Errorf("another key: %d %s", got.status, got.body)
	}
	close(release)
	for range 2 {
		if one := <-answers; one.status != http.StatusOK {
			t.Errorf("a request within the bound: %d", one.status)
		}
	}
	if got := d.send(d.legacy(rpc("tools/list", ""))); got.status != http.StatusOK {
		t.Errorf("when the others are over: %d %s", got.status, got.body)
	}
}

func TestP13_ASlowBodyIsCutOff(t *testing.T) {
	d := open(t, func(c *Config) { c.BodyTime = 20 * time.Millisecond })
	status := d.raw("Content-Length: 100\r\n\r\n{")
	if status != http.StatusRequestTimeout {
		t.Errorf("status %d; want %d", status, http.StatusRequestTimeout)
	}
	if event := d.refusal(); event.GetRule() != "body-too-slow" || event.GetUser() != "ana" {
		t.Errorf("event: %v", event)
	}
}

func TestP13_ABodyOfUnknownLengthIsBoundedToo(t *testing.T) {
	d := open(t)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 65<<10, strings.Repeat(" ", 65<<10))
	if status := d.raw("Transfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\n\r\n"); status != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d; want %d", status, http.StatusRequestEntityTooLarge)
	}
	if event := d.refusal(); event.GetRule() != "body-too-large" {
		t.Errorf("event: %v", event)
	}
}

// raw sends ana's headers and then the rest as it stands, and returns the
// status of the answer.
func (d *door) raw(rest string) int {
	d.t.Helper()
	conn, err := net.Dial("tcp", d.Listener.Addr().String())
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close()
	head := "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer " + d.ana.String() + "\r\n"
	if _, err := io.WriteString(conn, head+rest); err != nil {
		d.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

func TestBodiesAreWipedAndLargeOnesNotKept(t *testing.T) {
	var b bodies
	one := b.get()
	if err := one.fill(strings.NewReader("secret"), 100); err != nil {
		t.Fatal(err)
	}
	alias := one.bytes
	b.put(one)
	if strings.Contains(string(alias), "secret") {
		t.Error("a used buffer still has its message")
	}
	large := &body{bytes: make([]byte, maxKept+1)}
	large.bytes[0] = 'x'
	b.put(large)
	if large.bytes[0] != 'x' || len(large.bytes) == 0 {
		t.Error("a large buffer was taken back")
	}
}

// TestAConnectionLivesOnAfterItsDeadlines: deadlines of one answer must not end
// the next, which another handler may give.
func TestDeadlinesOfOneAnswerDoNotOutliveIt(t *testing.T) {
	d := open(t, func(c *Config) { c.BodyTime, c.WriteTime = 30*time.Millisecond, 30*time.Millisecond })
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		<-time.After(60 * time.Millisecond) // longer than both
		return echo(call), nil
	}
	conn, err := net.Dial("tcp", d.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for range 3 {
		if err := d.request(t.Context(), d.legacy(call)).Write(conn); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), "echo") {
			t.Fatalf("%d %s %v", response.StatusCode, body, err)
		}
	}
}
