package dataplane

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// Push takes records as a control plane does, and notes which node sent them.
func (d *directory) Push(stream grpc.BidiStreamingServer[auditv1.PushRequest, auditv1.PushResponse]) error {
	who, err := peerOf(stream.Context())
	if err != nil {
		return err
	}
	return d.controlPlane.Push(&pushing{stream, func(r *auditv1.PushRequest) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.pushed[who.Name] = append(d.pushed[who.Name], r.GetRecords()...)
	}})
}

// pushing is a stream of records that somebody reads along.
type pushing struct {
	grpc.BidiStreamingServer[auditv1.PushRequest, auditv1.PushResponse]
	note func(*auditv1.PushRequest)
}

func (p *pushing) Recv() (*auditv1.PushRequest, error) {
	r, err := p.BidiStreamingServer.Recv()
	if err == nil {
		p.note(r)
	}
	return r, err
}

// recorded returns what a node has recorded, and handed over.
func (d *directory) recorded(t *testing.T, node string) (events []*auditv1.Event) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, record := range d.pushed[node] {
		event := new(auditv1.Event)
		if err := proto.Unmarshal(record.GetEvent(), event); err != nil {
			t.Fatal(err)
		}
		events = append(events, event)
	}
	return events
}

// calls returns how the tool calls ended that a node has recorded. Each has to have an intent and a result.
func (d *directory) calls(t *testing.T, node string) (ended []auditv1.Outcome) {
	t.Helper()
	results := make(map[string][]auditv1.Outcome)
	for _, event := range d.recorded(t, node) {
		id := string(event.GetCallId())
		if _, begun := results[id]; begun {
			results[id] = append(results[id], event.GetOutcome())
		} else if event.GetMethod() == mcp.MethodToolsCall {
			results[id] = nil
		}
	}
	for id, of := range results {
		if len(of) != 1 {
			t.Errorf("%s recorded the results %v of call %x, want one", node, of, id)
		}
		ended = append(ended, of...)
	}
	slices.Sort(ended)
	return ended
}

// A call in flight fails at once when the agent's tunnel is lost, wherever its client came; it is recorded there alone, and
// nobody sends it again.
func TestACallInFlightOnALostTunnelFailsAtOnceAndIsRecordedOnceWhereItsClientCame(t *testing.T) {
	d, ca, nodes, key := twoNodes(t)
	closed := make(chan struct{})
	close(closed)
	server := elicitor{t: t, began: make(chan struct{}), let: make(chan struct{})}
	_, kill := d.attachWith(t, ca.agent("laptop"), "node-1", server)
	var running []<-chan string
	for _, p := range nodes { // One that comes here, and one that the other node relays.
		await(t, "tools are listed", func() bool { _, body := p.post(key, listMessage); return strings.Contains(body, "files__get") })
		running = append(running, p.begin(key))
		<-server.began
	}
	lost := time.Now()
	kill()
	for i, answer := range running {
		if body := <-answer; !strings.Contains(body, `"error"`) || !strings.Contains(body, `agent \"laptop\"`) || strings.Contains(body, "not connected") {
			t.Errorf("the call that came to node %d: %s", i+1, body)
		}
	}
	if took := time.Since(lost); took > time.Second {
		t.Errorf("the calls failed %v after their tunnel was lost", took)
	}
	again := elicitor{t: t, began: make(chan struct{}, 2), let: closed}
	d.attachWith(t, ca.agent("laptop"), "node-2", again)
	made := []int{1, 1}
	for i, p := range nodes {
		await(t, "the next call takes the other tunnel", func() bool {
			made[i]++
			_, body := p.post(key, getMessage)
			return strings.Contains(body, "got it")
		})
	}
	if n := len(again.began); n != 0 {
		t.Errorf("%d calls that were lost were made again", n)
	}
	for i, p := range nodes {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
		name := []string{"node-1", "node-2"}[i]
		want := slices.Repeat([]auditv1.Outcome{auditv1.Outcome_OUTCOME_SERVER_FAILED}, made[i]-1)
		want = append(want, auditv1.Outcome_OUTCOME_OK)
		slices.Sort(want)
		if ended := d.calls(t, name); !slices.Equal(ended, want) {
			t.Errorf("%s recorded %v; want those that came there, %v", name, ended, want)
		}
	}
}
