package dataplane

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/spool"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/porttest"
	"github.com/warder-gateway/warder/internal/risk"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Categories whose calls wait for the disk, and those whose do not.
var (
	risky = []string{"destructive", "admin", "execute", "unclassified"}
	tame  = []string{"read", "write", "external"}
)

// audited is a node whose audit queue has a disk of the test, with a server that has a tool of each category, by its name.
type audited struct {
	*process
	cp    *controlPlane
	key   apikey.Key
	calls atomic.Int32 // that reached the server
}

func startAudited(t *testing.T, disk func(sync func() error) error) *audited {
	a := &audited{}
	server := mcpServer(t, func() { a.calls.Add(1) })
	w := gatetest.New(t)
	w.Server("git")
	w.Items[len(w.Items)-1].GetServer().Url = server.URL
	w.Items[len(w.Items)-1].GetServer().ProtocolVersion = mcp.Version20260728
	for _, name := range risk.Names() {
		category, err := risk.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		w.Tool("git", name, category)
	}
	w.Role("dev", "git/*")
	w.User("ana", "dev")
	a.key = w.Key("ana", "ide", time.Time{})
	ca := newAuthority(t)
	a.cp = startControlPlane(t, ca, identity.ServerName, w.Set(3))
	a.process = startProcess(t, Config{
		DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: a.cp.address, Identity: ca.node("node-1"), auditDisk: disk,
	})
	if reason := <-a.cp.acked; reason != "" {
		t.Fatalf("the snapshot was refused: %s", reason)
	}
	return a
}

// call calls a tool as a modern client does, whose calls end with their connections.
func (a *audited) call(ctx context.Context, tool string) (body string) {
	message := `{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"git__` + tool + `","arguments":{},"_meta":{` +
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/mcp", strings.NewReader(message))
	if err != nil {
		a.t.Error(err)
		return ""
	}
	request.Header = http.Header{
		"Authorization": {"Bearer " + a.key.String()}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
		"Mcp-Protocol-Version": {mcp.Version20260728}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"git__" + tool},
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		return err.Error()
	}
	return text.String()
}

// made reports whether an answer is that of the server.
func made(body string) bool { return strings.Contains(body, `"x":1.10`) }

// TestP01_ARiskyCallIsNotMadeIfItsRecordIsNotOnTheDisk has the first sync fail. What the disk then has nobody knows, so that from
// then on nothing is called at all.
func TestP01_ARiskyCallIsNotMadeIfItsRecordIsNotOnTheDisk(t *testing.T) {
	for _, tool := range risky {
		t.Run(tool, func(t *testing.T) {
			a := startAudited(t, func(func() error) error { return errors.New("input/output error") })
			for _, tool := range tame {
				if body := a.call(t.Context(), tool); !made(body) {
					t.Errorf("%s: %s", tool, body)
				}
			}
			for _, tool := range []string{tool, "read"} {
				if body := a.call(t.Context(), tool); !strings.Contains(body, "cannot be recorded") {
					t.Errorf("%s: %s", tool, body)
				}
			}
			if n := a.calls.Load(); n != 3 {
				t.Errorf("%d calls reached the server, want those of tame tools", n)
			}
			if status, text := a.get("/readyz"); status == http.StatusOK {
				t.Errorf("the node is ready: %s", text)
			}
			await(t, "intents and results of four calls", func() bool { return len(a.results()) == 4 })
			last := a.results()[3]
			if last.GetOutcome() != auditv1.Outcome_OUTCOME_REFUSED || !strings.HasPrefix(last.GetError(), "the call was not made: ") {
				t.Errorf("the result of the call is %v", last)
			}
		})
	}
}

// results returns those that the control plane has, each with its intent before it.
func (a *audited) results() (results []*auditv1.Event) {
	a.cp.mu.Lock()
	defer a.cp.mu.Unlock()
	begun := map[string]bool{}
	for _, event := range a.cp.events {
		switch id := string(event.GetCallId()); event.GetKind() {
		case auditv1.EventKind_EVENT_KIND_INTENT:
			begun[id] = true
		case auditv1.EventKind_EVENT_KIND_RESULT:
			if !begun[id] {
				a.t.Errorf("the result of call %x has no intent", id)
			}
			results = append(results, event)
		}
	}
	return results
}

// TestP01_OnlyRiskyCallsWaitForADiskThatHangs, and leave for the server once it has answered.
func TestP01_OnlyRiskyCallsWaitForADiskThatHangs(t *testing.T) {
	begun, goOn := make(chan struct{}, 10), make(chan struct{})
	a := startAudited(t, func(sync func() error) error { begun <- struct{}{}; <-goOn; return sync() })
	var waiting sync.WaitGroup
	for _, tool := range risky {
		waiting.Go(func() {
			if body := a.call(t.Context(), tool); !made(body) {
				t.Errorf("%s: %s", tool, body)
			}
		})
	}
	<-begun
	await(t, "four intents", func() bool { a.cp.mu.Lock(); defer a.cp.mu.Unlock(); return len(a.cp.events) == 4 })
	for _, tool := range tame {
		if body := a.call(t.Context(), tool); !made(body) {
			t.Errorf("%s: %s", tool, body)
		}
	}
	if n := a.calls.Load(); n != 3 {
		t.Errorf("%d calls reached the server, want those of tame tools", n)
	}
	close(goOn)
	waiting.Wait()
	if n := a.calls.Load(); n != 7 {
		t.Errorf("%d calls reached the server", n)
	}
	if _, text := a.get("/metrics"); !strings.Contains(text, "warder_audit_sync_wait_seconds_count 4\n") ||
		!strings.Contains(text, "warder_audit_syncs_total ") || strings.Contains(text, "warder_audit_syncs_total 0\n") {
		t.Error("the metrics do not tell of four calls that waited")
	}
}

// TestP01_ACallWhoseClientLeavesWhileItWaitsIsNotMade, and its record says so.
func TestP01_ACallWhoseClientLeavesWhileItWaitsIsNotMade(t *testing.T) {
	begun, goOn := make(chan struct{}, 10), make(chan struct{})
	a := startAudited(t, func(sync func() error) error { begun <- struct{}{}; <-goOn; return sync() })
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() { defer close(left); a.call(ctx, "destructive") }()
	<-begun
	leave()
	<-left
	await(t, "the result", func() bool { return len(a.results()) == 1 })
	result := a.results()[0]
	if result.GetOutcome() != auditv1.Outcome_OUTCOME_CANCELLED || !strings.HasPrefix(result.GetError(), "the call was not made: ") {
		t.Errorf("the result of the call is %v", result)
	}
	close(goOn)
	if body := a.call(t.Context(), "admin"); !made(body) || a.calls.Load() != 1 {
		t.Errorf("%d calls reached the server, want the one after it: %s", a.calls.Load(), body)
	}
}

// TestAuditSyncSaysWhichCallsWait, by a disk that is away.
func TestAuditSyncSaysWhichCallsWait(t *testing.T) {
	all := append(risk.Names(), "")
	for sync, want := range map[AuditSync][]string{
		SyncRisky: append([]string{""}, risky...), SyncAll: all, SyncNone: nil,
		"a value that is none": append([]string{""}, risky...),
	} {
		waits := map[string]bool{}
		for _, name := range want {
			waits[name] = true
		}
		for _, name := range all {
			category := snapshotv1.Risk(99) // which no build knows
			if name != "" {
				category, _ = risk.Parse(name)
			}
			away := errors.New("there is no disk")
			queue, err := spool.Open(spool.Config{Dir: t.TempDir(), Bytes: 1000, Disk: func(func() error) error { return away }})
			if err != nil {
				t.Fatal(err)
			}
			registry := prometheus.NewRegistry()
			err = newRecorder(queue, sync, registry).Sync(t.Context(), category)
			if errors.Is(err, away) != waits[name] {
				t.Errorf("%s: a call of %q: %v", sync, name, err)
			}
			if waited(t, registry) != waits[name] {
				t.Errorf("%s: a call of %q: its wait is not in the metrics, or one that was not", sync, name)
			}
			if err := queue.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// waited reports whether the metrics tell of a call that waited.
func waited(t *testing.T, registry *prometheus.Registry) (waited bool) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		waited = waited || family.GetMetric()[0].GetHistogram().GetSampleCount() > 0
	}
	return waited
}

// TestANodeWithoutSyncSaysWhatIsGivenUp, once, at its start.
func TestANodeWithoutSyncSaysWhatIsGivenUp(t *testing.T) {
	for sync, want := range map[AuditSync]int{SyncNone: 1, SyncRisky: 0, SyncAll: 0} {
		var log bytes.Buffer
		p := &Plane{config: Config{DataDir: t.TempDir(), AuditSync: sync, AuditBytes: 1000}, log: slog.New(slog.NewTextHandler(&log, nil))}
		queue, err := p.openQueue()
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(log.String(), "--audit-sync none"); n != want {
			t.Errorf("%s: %s", sync, log.String())
		}
		if err := queue.Close(); err != nil {
			t.Error(err)
		}
	}
}
