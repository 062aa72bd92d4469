package directory

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// connect has a node say that it has agents, all of them.
func connect(t *testing.T, d *Directory, node string, agents ...string) {
	t.Helper()
	err := d.ConnectNode(t.Context(), db.ConnectNodeParams{Name: node, ConnectedTo: node + "/1", TunnelAddress: "10.0.0.1:7443"})
	if err != nil {
		t.Fatal(err)
	}
	attached := new(syncv1.Attached)
	for _, agent := range agents {
		attached.Agents = append(attached.Agents, &syncv1.AttachedAgent{Name: agent})
	}
	if err := d.AttachAgents(t.Context(), node, node+"/1", attached); err != nil {
		t.Fatal(err)
	}
}

// say has an agent report tunnels to nodes.
func say(t *testing.T, stream grpc.BidiStreamingClient[enrollv1.FollowRequest, enrollv1.FollowResponse], nodes ...string) {
	t.Helper()
	r := new(enrollv1.AgentReport)
	for _, node := range nodes {
		r.Tunnels = append(r.Tunnels, &enrollv1.TunnelReport{Node: node})
	}
	if err := stream.Send(&enrollv1.FollowRequest{Report: r}); err != nil {
		t.Fatal(err)
	}
}

// at is what nodes edge and taken are told when the laptop is at some of them.
func at(nodes ...string) *syncv1.Locations {
	l := &syncv1.Locations{Nodes: []*syncv1.NodeLocation{{Name: "edge", TunnelAddress: "10.0.0.1:7443"}, {Name: "taken", TunnelAddress: "10.0.0.1:7443"}}}
	if len(nodes) > 0 {
		l.Agents = []*syncv1.AgentLocation{{Name: "laptop", Nodes: nodes}}
	}
	return l
}

// TestANodeThatClaimsAnAgentGetsNoCallsOfOthers: one that was taken over may say anything;
// what counts is said by the agent, too, however often the node says it.
func TestANodeThatClaimsAnAgentGetsNoCallsOfOthers(t *testing.T) {
	s := storetest.New(t)
	letIn(t, s, "laptop")
	d := replica(t, s, nil)
	stream, err := enrollv1.NewAgentServiceClient(dial(t, d, "laptop")).Follow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	connect(t, d, "taken", "laptop")
	connect(t, d, "edge", "laptop")
	await(t, d, at()) // It has said nothing yet.
	say(t, stream, "edge")
	await(t, d, at("edge"))
	for range 2 {
		connect(t, d, "taken")
		connect(t, d, "taken", "laptop")
		if err := d.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, places, _, _ := d.world.now()
		if nodes := places.GetAgents()[0].GetNodes(); len(nodes) != 1 {
			t.Fatalf("the laptop is said to be at %v", nodes)
		}
	}
	// What the agent says is heard at once, right after another report, too, both ways.
	began := time.Now()
	say(t, stream, "taken", "edge", "elsewhere")
	await(t, d, at("edge", "taken"))
	say(t, stream, "edge")
	await(t, d, at("edge"))
	if took := time.Since(began); took > reportEvery {
		t.Errorf("that took %v", took)
	}
}

// TestAReportThatCannotBeWrittenIsTriedAgain: nobody knows where the agent is until then, and
// it has no reason to say more.
func TestAReportThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	s := storetest.New(t)
	s.Close()
	failed := make(chan struct{})
	d := New(Config{Store: s})
	ctx, cancel := context.WithCancel(t.Context())
	f := &follower{
		name: "laptop", log: slog.New(refusals{slog.DiscardHandler, failed, ctx.Done()}), report: new(enrollv1.AgentReport),
		news: make(chan struct{}, 1), moves: make(chan struct{}, 1),
	}
	var keeping sync.WaitGroup
	keeping.Go(func() { d.keep(ctx, f) })
	signal(f.news)
	began := time.Now()
	<-failed
	<-failed
	if took := time.Since(began); took > heartbeat/2 {
		t.Errorf("that took %v", took)
	}
	cancel()
	keeping.Wait()
}

// refusals tells of reports that were not written.
type refusals struct {
	slog.Handler
	told chan struct{}
	over <-chan struct{} // nobody waits any more
}

func (r refusals) Enabled(context.Context, slog.Level) bool { return true }

func (r refusals) WithAttrs([]slog.Attr) slog.Handler { return r }

func (r refusals) Handle(_ context.Context, record slog.Record) error {
	if strings.Contains(record.Message, "cannot write the state of an agent") {
		select {
		case r.told <- struct{}{}:
		case <-r.over:
		}
	}
	return nil
}

// TestAnAttachmentCountsThatBothSidesSay, the agent not long ago, or as lately as it could.
func TestAnAttachmentCountsThatBothSidesSay(t *testing.T) {
	const long = 24 * time.Hour
	for name, c := range map[string]struct {
		named             bool
		silent, listening time.Duration
		counts            bool
	}{
		"both":           {true, 0, long, true},
		"the node alone": {false, 0, long, false},
		"the node alone, and nobody was heard yet": {false, long, 0, false},
		"an agent that has just lost its stream":   {true, grace - 1, long, true},
		"an agent that is gone":                    {true, grace, long, false},
		"after a start, an agent that was there":   {true, long, grace - 1, true},
		"after a start, one that does not come":    {true, long, grace, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := New(Config{})
				time.Sleep(c.listening)
				row := db.ListAttachmentsRow{Node: "edge", Agent: "laptop", Named: c.named, Silent: c.silent.Seconds()}
				if got := d.counted([]db.ListAttachmentsRow{row}); (len(got) == 1) != c.counts {
					t.Errorf("counted %v", got)
				}
			})
		})
	}
}

// TestNoAgentCountsAsSilentForTheTimeOfAnOutage of the database: nothing of it could be kept.
func TestNoAgentCountsAsSilentForTheTimeOfAnOutage(t *testing.T) {
	s := storetest.New(t)
	letIn(t, s, "laptop")
	d := New(Config{Store: s})
	d.deaf = d.deaf.Add(-time.Hour)
	rows := []db.ListAttachmentsRow{{Node: "edge", Agent: "laptop", Named: true, Silent: 3600}}
	if got := d.counted(rows); len(got) > 0 {
		t.Errorf("before, counted %v", got)
	}
	away, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.position(away); err == nil {
		t.Fatal("the database is there")
	}
	if got := d.counted(rows); len(got) != 1 {
		t.Errorf("after, counted %v", got)
	}
}

// TestAClaimThatLastsIsLoggedOnce: it is of a node that was taken over, or of an agent that is cut off.
func TestAClaimThatLastsIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		d := New(Config{Log: slog.New(slog.NewTextHandler(&text, nil))})
		honest := db.ListAttachmentsRow{Node: "edge", Agent: "laptop", Named: true}
		rows := []db.ListAttachmentsRow{honest, {Node: "taken", Agent: "laptop", Silent: 90}}
		look := func() { d.logClaims(rows, rows[:1]) }
		look()
		time.Sleep(grace - 1)
		look()
		if text.Len() > 0 {
			t.Errorf("too early: %s", &text)
		}
		time.Sleep(time.Nanosecond)
		look()
		look()
		if logged := text.String(); strings.Count(logged, "\n") != 1 || !strings.Contains(logged, "node=taken agent=laptop last_heard=1m30s") {
			t.Errorf("logged: %s", logged)
		}
		d.logClaims(rows[:1], rows[:1])
		look() // Anew.
		time.Sleep(grace)
		if look(); strings.Count(text.String(), "\n") != 2 {
			t.Errorf("logged: %s", &text)
		}
	})
}

// TestAnAgentWhoseTunnelsComeAndGoIsWrittenLittleMoreOftenThanOthers: each time wakes all replicas.
func TestAnAgentWhoseTunnelsComeAndGoIsWrittenLittleMoreOftenThanOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &follower{moves: make(chan struct{}, 1)}
		began, writes := time.Now(), 0
		for least := movesEvery; time.Since(began) < time.Minute; writes++ {
			signal(f.moves)
			least = f.rest(t.Context(), least)
		}
		if writes > 4*60 {
			t.Errorf("written %d times in a minute", writes)
		}
	})
}
