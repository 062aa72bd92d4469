package dataplane

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/porttest"
	"github.com/warder-gateway/warder/internal/snapshot"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

func TestAProcessServesWhatTheControlPlaneSendsAndHandsItsAuditOver(t *testing.T) {
	ca := newAuthority(t)
	set, key := world(t)
	cp := startControlPlane(t, ca, identity.ServerName, set)
	p := startProcess(t, Config{
		DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: cp.address,
		Identity: ca.node("node-1"),
	})
	if reason := <-cp.acked; reason != "" {
		t.Fatalf("the snapshot was refused: %s", reason)
	}
	await(t, "ready", func() bool { status, _ := p.get("/readyz"); return status == http.StatusOK })
	if status, body := p.post(key, listMessage); status != http.StatusOK || !strings.Contains(body, "git__get") || strings.Contains(body, "delete") {
		t.Errorf("list: %d %s", status, body)
	}
	if status, body := p.post(key, denyMessage); status != http.StatusOK || !strings.Contains(body, "Denied by policy") {
		t.Errorf("call: %d %s", status, body)
	}
	var metrics string
	await(t, "an idle node in the metrics", func() bool { // the last request leaves after its answer has arrived
		_, metrics = p.get("/metrics")
		return strings.Contains(metrics, "warder_inflight_requests 0\n")
	})
	for _, want := range []string{
		"warder_config_revision 3\n", `warder_decisions_total{effect="deny",reason="default-deny",server="git"} 1`, "warder_build_info{",
		"warder_audit_queue_depth", "mcp_server_operation_duration_seconds_count",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if err := p.stop(); err != nil {
		t.Errorf("end: %v", err)
	}
	if events := cp.taken(); len(events) != 1 || events[0].GetRule() != "default-deny" || events[0].GetUser() != "ana" {
		t.Errorf("the control plane has %v; want the one denial", events)
	}
}

func TestP22_ARunningCallIsFinishedBeforeTheProcessEndsAndIsRecorded(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	server := mcpServer(t, func() { close(started); <-release })
	ca := newAuthority(t)
	set, key := worldWith(t, server)
	cp := startControlPlane(t, ca, identity.ServerName, set)
	p := startProcess(t, Config{
		DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: cp.address,
		Identity: ca.node("node-1"),
	})
	if reason := <-cp.acked; reason != "" {
		t.Fatalf("the snapshot was refused: %s", reason)
	}
	answered := make(chan string)
	go func() {
		_, body := p.post(key, `{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"git__get","arguments":{}}}`)
		answered <- body
	}()
	<-started
	ended := make(chan error)
	go func() { ended <- p.stop() }()
	await(t, "no further connections", func() bool { status, _ := p.get("/livez"); return status == 0 })
	select {
	case err := <-ended:
		t.Fatalf("the process ended (%v) while a call was running", err)
	default:
	}
	close(release)
	if body := <-answered; !strings.Contains(body, `"x":1.10`) || !strings.Contains(body, `"id":"a"`) {
		t.Errorf("answer: %s", body)
	}
	if err := <-ended; err != nil {
		t.Errorf("end: %v", err)
	}
	events := cp.taken()
	if len(events) != 2 || events[1].GetOutcome() != auditv1.Outcome_OUTCOME_OK {
		t.Errorf("the control plane has %v; want intent and result", events)
	}
}

// TestP01_TheEndWaitsForAuditAsLongAsItIsTaken ends a process right after many calls, with a control plane that takes each
// batch in its own time: all of them take longer than it may be silent for.
func TestP01_TheEndWaitsForAuditAsLongAsItIsTaken(t *testing.T) {
	const calls, flushTime = 300, 400 * time.Millisecond
	ca := newAuthority(t)
	set, key := worldWith(t, mcpServer(t, func() {}))
	cp := startControlPlane(t, ca, identity.ServerName, set)
	ending := make(chan struct{})
	cp.slow = func() {
		<-ending // the backlog is that of all calls
		time.Sleep(flushTime / 4)
	}
	config := Config{
		DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: cp.address,
		Identity: ca.node("node-1"), FlushTime: flushTime,
	}
	p := startProcess(t, config)
	if reason := <-cp.acked; reason != "" {
		t.Fatalf("the snapshot was refused: %s", reason)
	}
	for range calls {
		status, body := p.post(key, `{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"git__get","arguments":{}}}`)
		if status != http.StatusOK || !strings.Contains(body, `"x":1.10`) {
			t.Fatalf("call: %d %s", status, body)
		}
	}
	close(ending)
	began := time.Now()
	if err := p.stop(); err != nil {
		t.Errorf("end: %v", err)
	}
	if took := time.Since(began); took <= flushTime {
		t.Errorf("the end took %v only: the control plane was not slow enough to show anything", took)
	}
	if got := len(cp.taken()); got != 2*calls {
		t.Errorf("the control plane has %d events of %d calls; want an intent and a result of each", got, calls)
	}
}

// TestTheEndDoesNotSitOutALongPause has a stream wait to be opened again when the process ends.
func TestTheEndDoesNotSitOutALongPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Plane{flushing: make(chan struct{})}
		waited := make(chan bool)
		began := time.Now()
		go func() { waited <- p.pause(t.Context(), time.Hour) }()
		time.Sleep(time.Second)
		close(p.flushing)
		if !<-waited || time.Since(began) > time.Second+firstPause {
			t.Errorf("the pause took %v; want %v more than the second before the end", time.Since(began), firstPause)
		}
	})
}

func TestP05_AProcessStartsFromItsDiskWithoutAControlPlane(t *testing.T) {
	ca := newAuthority(t)
	set, key := world(t)
	cp := startControlPlane(t, ca, identity.ServerName, set)
	config := Config{
		DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: cp.address,
		Identity: ca.node("node-1"), FlushTime: 50 * time.Millisecond,
	}
	first := startProcess(t, config)
	if reason := <-cp.acked; reason != "" {
		t.Fatalf("the snapshot was refused: %s", reason)
	}
	if err := first.stop(); err != nil {
		t.Fatalf("end: %v", err)
	}
	cp.server.Stop()

	second := startProcess(t, config)
	await(t, "ready", func() bool { status, _ := second.get("/readyz"); return status == http.StatusOK })
	if status, body := second.post(key, denyMessage); status != http.StatusOK || !strings.Contains(body, "Denied by policy") {
		t.Errorf("call: %d %s", status, body)
	}
	if err := second.stop(); err != nil {
		t.Errorf("end with events that nobody took: %v; they are on the disk", err)
	}

	// What nobody took, the next start of the node hands over.
	back := startControlPlane(t, ca, identity.ServerName, set)
	config.ControlPlane = back.address
	third := startProcess(t, config)
	await(t, "the denied call is handed over", func() bool {
		events := back.taken()
		return len(events) == 1 && events[0].GetKind() == auditv1.EventKind_EVENT_KIND_REFUSAL
	})
	if err := third.stop(); err != nil {
		t.Errorf("end: %v", err)
	}
}

func TestBeforeTheFirstSnapshotAProcessLivesAndIsNotReady(t *testing.T) {
	ca := newAuthority(t)
	_, key := world(t)
	p := startProcess(t, Config{
		DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: porttest.Free(t),
		Identity: ca.node("node-1"), FlushTime: time.Millisecond,
	})
	await(t, "alive", func() bool { status, _ := p.get("/livez"); return status == http.StatusOK })
	if status, body := p.get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "no snapshot") {
		t.Errorf("ready: %d %s", status, body)
	}
	if status, body := p.post(key, listMessage); status != http.StatusServiceUnavailable || !strings.Contains(body, "no snapshot") {
		t.Errorf("list: %d %s", status, body)
	}
}

func TestP10_AControlPlaneOfAnotherAuthorityOrNameIsNotFollowed(t *testing.T) {
	ca := newAuthority(t)
	set, _ := world(t)
	for name, cp := range map[string]*controlPlane{
		"another authority": startControlPlane(t, newAuthority(t), identity.ServerName, set),
		"another name":      startControlPlane(t, ca, "node-2", set),
	} {
		t.Run(name, func(t *testing.T) {
			plane, err := Open(t.Context(), Config{DataDir: t.TempDir(), ControlPlane: cp.address, Identity: ca.node("node-1")})
			if err != nil {
				t.Fatal(err)
			}
			defer plane.link.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err = plane.replica.Follow(ctx, syncv1.NewSyncServiceClient(plane.link))
			if err == nil || !strings.Contains(err.Error(), "certificate") || plane.Ready() == nil {
				t.Errorf("got %v, ready %v; want a certificate error", err, plane.Ready())
			}
		})
	}
}

func TestOpenReadsTheIdentityFromItsDirectory(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	config := Config{DataDir: t.TempDir(), ControlPlane: "127.0.0.1:1", IdentityDir: dir}
	if _, err := Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("without files: %v; want an error that names %s", err, dir)
	}
	ca.nodeIn("node-1", dir, time.Now())
	plane, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	plane.link.Close()
}

// A control plane may be away for longer than a certificate is good for: a node that
// restarts meanwhile serves by its last snapshot, and comes back when that does.
func TestANodeWhoseIdentityHasExpiredServesByItsLastSnapshotAlone(t *testing.T) {
	ca := newAuthority(t)
	set, _ := world(t)
	cp := startControlPlane(t, ca, identity.ServerName, set)
	config := Config{DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: cp.address, Identity: ca.node("node-1")}
	p := startProcess(t, config)
	await(t, "ready", func() bool { status, _ := p.get("/readyz"); return status == http.StatusOK })
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	cp.server.Stop()
	dir := t.TempDir()
	ca.nodeIn("node-1", dir, time.Now().Add(-2*identity.Life))
	config.Identity, config.IdentityDir = nil, dir
	var log bytes.Buffer
	config.Log = slog.New(slog.NewTextHandler(&log, nil))
	plane, err := Open(t.Context(), config)
	if err != nil || plane.Ready() != nil || !strings.Contains(log.String(), "the certificate of node node-1 expired at") {
		t.Fatalf("error %v, log %s", err, log.String())
	}
	plane.link.Close()
	config.DataDir = t.TempDir()
	if _, err := Open(t.Context(), config); !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "join-token") {
		t.Errorf("without a snapshot: %v", err)
	}
}

func TestP09_ASnapshotWithoutSettingsIsRefused(t *testing.T) {
	ca := newAuthority(t)
	set, err := snapshot.New("epoch", 1, []*snapshotv1.Item{{Kind: &snapshotv1.Item_User{User: &snapshotv1.User{Name: "ana"}}}})
	if err != nil {
		t.Fatal(err)
	}
	cp := startControlPlane(t, ca, identity.ServerName, set)
	p := startProcess(t, Config{
		DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: cp.address,
		Identity: ca.node("node-1"), FlushTime: time.Millisecond,
	})
	if reason := <-cp.acked; !strings.Contains(reason, "settings") {
		t.Errorf("answered %q; want a nack that says why", reason)
	}
	if status, _ := p.get("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("ready: %d", status)
	}
}

func TestAPortInUseIsSaidClearly(t *testing.T) {
	ca := newAuthority(t)
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	err = Run(t.Context(), Config{
		DataDir: t.TempDir(), Listen: socket.Addr().String(), ControlPlane: "127.0.0.1:1",
		Identity: ca.node("node-1"),
	})
	if err == nil || !strings.Contains(err.Error(), socket.Addr().String()) || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("got %v", err)
	}
}

func TestProfilesAreServedOnlyWhereAndWhenAskedFor(t *testing.T) {
	ca := newAuthority(t)
	set, _ := world(t)
	for _, asked := range []bool{false, true} {
		cp := startControlPlane(t, ca, identity.ServerName, set)
		config := Config{
			DataDir: t.TempDir(), Listen: porttest.Free(t), MetricsListen: porttest.Free(t), Pprof: asked,
			ControlPlane: cp.address, Identity: ca.node("node-1"),
		}
		clients := startProcess(t, config)
		metrics := &process{t: t, url: "http://" + config.MetricsListen}
		await(t, "ready", func() bool { status, _ := metrics.get("/readyz"); return status == http.StatusOK })
		want := http.StatusNotFound
		if asked {
			want = http.StatusOK
		}
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine", "/debug/pprof/trace?seconds=0.01"} {
			if status, body := metrics.get(path); status != want {
				t.Errorf("asked for: %t; %s: %d %.200s", asked, path, status, body)
			}
			if status, _ := clients.get(path); status != http.StatusNotFound {
				t.Errorf("%s for clients: %d", path, status)
			}
		}
	}
}

// A snapshot that is applied while calls run gives no key new places.
func TestPlacesOfAKeyStayTakenUnderTheNextSnapshot(t *testing.T) {
	ca := newAuthority(t)
	set, key := world(t)
	cp := startControlPlane(t, ca, identity.ServerName, set)
	config := Config{
		DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: cp.address,
		Identity: ca.node("node-1"), FlushTime: 50 * time.Millisecond,
	}
	first := startProcess(t, config)
	if reason := <-cp.acked; reason != "" {
		t.Fatalf("the snapshot was refused: %s", reason)
	}
	if err := first.stop(); err != nil {
		t.Fatalf("end: %v", err)
	}
	p, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer p.drain(time.Second)
	before := p.current().Credentials().Key(key.ID)
	next, err := p.build(set, func() {})
	if err != nil {
		t.Fatal(err)
	}
	after := next.Credentials().Key(key.ID)
	if before == after || !before.Enter(1) || after.Enter(1) {
		t.Error("under the next snapshot the key has new places")
	}
}

// P-13: what a large answer holds of its server's budget is free again when the client has taken it; nothing adds up.
func TestP13_AnAnswerThatWasWrittenHoldsNothing(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var message struct {
			ID jsontext.Value `json:"id"`
		}
		if err := json.UnmarshalRead(r.Body, &message); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","content":[],"pad":"%s"}}`, message.ID, strings.Repeat("x", 1<<20))
	}))
	defer server.Close()
	ca := newAuthority(t)
	w := gatetest.New(t)
	w.Server("git", "get")
	for _, item := range w.Items {
		if git := item.GetServer(); git != nil {
			git.Url, git.ProtocolVersion = server.URL, "2026-07-28"
		}
	}
	w.Role("dev", "git/get")
	w.User("ana", "dev")
	key := w.Key("ana", "ide", time.Time{})
	cp := startControlPlane(t, ca, identity.ServerName, w.Set(1))
	p := startProcess(t, Config{
		DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: cp.address,
		Identity: ca.node("node-1"),
	})
	if reason := <-cp.acked; reason != "" {
		t.Fatalf("the snapshot was refused: %s", reason)
	}
	const call = `{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"git__get","arguments":{}}}`
	if _, body := p.post(key, call); len(body) < 1<<20 {
		t.Fatalf("answer: %.200s", body)
	}
	await(t, "nothing held", func() bool {
		_, metrics := p.get("/metrics")
		return strings.Contains(metrics, `warder_upstream_answer_bytes{server="git"} 0`+"\n")
	})
}
