package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/agent/internal/process"
	wardermcp "github.com/warder-gateway/warder/internal/mcp"
)

func toolNames(t *testing.T, session *mcp.ClientSession) (names []string) {
	t.Helper()
	for tool, err := range session.Tools(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, tool.Name)
	}
	return names
}

func TestServersOfNpmAreServed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "note.txt"), []byte("a note"), 0o600); err != nil {
		t.Fatal(err)
	}
	memory := npm(t, "server-memory")
	for _, c := range []struct {
		name string
		spec process.Spec
		tool string
		args map[string]any
		want string
	}{
		{"filesystem", npm(t, "server-filesystem", dir), "read_text_file", map[string]any{"path": filepath.Join(dir, "note.txt")}, "a note"},
		{"memory", memory, "create_entities", map[string]any{"entities": []any{map[string]any{"name": "ana", "entityType": "person", "observations": []string{"likes tea"}}}}, "likes tea"},
		{"everything", npm(t, "server-everything"), "echo", map[string]any{"message": "hello"}, "Echo: hello"},
	} {
		for _, shared := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, " shared ", shared), func(t *testing.T) {
				t.Parallel()
				c.spec.Environment = map[string]string{"MEMORY_FILE_PATH": filepath.Join(t.TempDir(), "memory.json")}
				f := start(t, Config{Spec: c.spec, Shared: shared})
				session, err := connect(t, f.url, &mcp.ClientOptions{
					ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
						return nil, errors.New("no")
					},
				}, false)
				if err != nil {
					t.Fatal(err, f.Status())
				}
				if names := toolNames(t, session); !slices.Contains(names, c.tool) {
					t.Errorf("the tools are %q", names)
				}
				if got, err := call(t, session, c.tool, c.args); err != nil || !strings.Contains(got, c.want) {
					t.Errorf("got %q, %v", got, err)
				}
				if status := f.Status(); status.Phase != Running || status.PID == 0 || status.Restarts != 0 {
					t.Errorf("the status is %+v", status)
				}
			})
		}
	}
}

func TestTheEraIsFoundOutOnceByAProcessThatIsThrownAway(t *testing.T) {
	t.Parallel()
	verdicts := NewVerdicts()
	for kind, want := range map[string]wardermcp.Era{"both": wardermcp.Modern, "legacy": wardermcp.Legacy} {
		for range 2 {
			f := start(t, Config{Spec: own(kind), Verdicts: verdicts})
			session, err := connect(t, f.url, nil, false)
			if err != nil {
				t.Fatal(err)
			}
			version := session.InitializeResult().ProtocolVersion
			if wardermcp.EraOf(version) != want || f.config.Verdicts.get(f.config.Spec.Digest()) != want {
				t.Errorf("%s speaks %s", kind, version)
			}
			if got, err := call(t, session, "echo", text{"hi"}); err != nil || !strings.Contains(got, "hi") {
				t.Errorf("%s: got %q, %v", kind, got, err)
			}
			if status := f.Status(); status.Processes != 1 || status.Restarts != 0 || status.LastError != "" {
				t.Errorf("%s: the status is %+v", kind, status)
			}
		}
	}
}

// TestCallsWithTheSameIDsNeverMixUp holds T-22: every client counts its ids from one.
func TestCallsWithTheSameIDsNeverMixUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind           string
		shared, legacy bool
	}{{"both", false, false}, {"both", true, true}} {
		f := start(t, Config{Spec: own(c.kind), Shared: c.shared})
		var told atomic.Int64
		var clients sync.WaitGroup
		for i := range 20 {
			own := fmt.Sprint("client-", i)
			session, err := connect(t, f.url, &mcp.ClientOptions{
				ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
					told.Add(1)
					if req.Params.Message != own {
						t.Errorf("%s was told %q", own, req.Params.Message)
					}
				},
			}, c.legacy)
			if err != nil {
				t.Fatal(err)
			}
			clients.Go(func() {
				for range 10 {
					params := &mcp.CallToolParams{Name: "progress", Arguments: text{own}}
					params.SetProgressToken("1")
					result, err := session.CallTool(t.Context(), params)
					if err != nil || !strings.Contains(result.Content[0].(*mcp.TextContent).Text, `"`+own+`"`) {
						t.Errorf("%s got %v, %v", own, result, err)
					}
				}
			})
		}
		clients.Wait()
		if status := f.Status(); status.Processes != 1 {
			t.Errorf("%+v: %d processes run", c, status.Processes)
		}
		eventually(t, "all progress", func() bool { return told.Load() == 20*10*3 })
	}
}

// TestACallThatHangsOrDripsHoldsUpNoOther has fifty clients call one process, each with the same ids: the answers of the
// others come while one call hangs and one has told of nothing but progress.
func TestACallThatHangsOrDripsHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	for _, legacy := range []bool{false, true} {
		f := start(t, Config{Spec: own("both"), Shared: true})
		var drops atomic.Int64
		sessions := make([]*mcp.ClientSession, 50)
		for i := range sessions {
			var err error
			if sessions[i], err = connect(t, f.url, &mcp.ClientOptions{ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) {
				drops.Add(1)
				if i != 1 {
					t.Errorf("client %d was told of the progress of another", i)
				}
			}}, legacy); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(t.TempDir(), "end")
		hangs, drips := make(chan error, 1), make(chan string, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			_, err := sessions[0].CallTool(ctx, &mcp.CallToolParams{Name: "hang", Arguments: text{file + ".cancelled"}})
			hangs <- err
		}()
		go func() {
			params := &mcp.CallToolParams{Name: "drip", Arguments: text{file}}
			params.SetProgressToken("1")
			result, err := sessions[1].CallTool(t.Context(), params)
			if err != nil {
				drips <- err.Error()
				return
			}
			drips <- result.Content[0].(*mcp.TextContent).Text
		}()
		eventually(t, "both calls", func() bool { return f.latestBusy() == 2 && drops.Load() > 0 })
		var others sync.WaitGroup
		for i, session := range sessions[2:] {
			others.Go(func() {
				own := fmt.Sprint("client-", i, ".")
				if got, err := call(t, session, "echo", text{own}); err != nil || !strings.Contains(got, own) {
					t.Errorf("%s got %q, %v", own, got, err)
				}
			})
		}
		others.Wait()
		if len(hangs)+len(drips) > 0 || f.Status().Processes != 1 {
			t.Errorf("legacy %v: the calls that last are over, or there are %d processes", legacy, f.Status().Processes)
		}
		after := drops.Load()
		eventually(t, "more progress", func() bool { return drops.Load() > after })
		touch(t, file)
		if got := <-drips; !strings.Contains(got, file) {
			t.Errorf("legacy %v: the slow call got %q", legacy, got)
		}
		cancel()
		if err := <-hangs; !errors.Is(err, context.Canceled) {
			t.Errorf("legacy %v: the call that hung got %v", legacy, err)
		}
	}
}

func TestSessionsHaveProcessesOfTheirOwnUnlessShared(t *testing.T) {
	t.Parallel()
	for _, shared := range []bool{false, true} {
		f := start(t, Config{Spec: own("legacy"), Shared: shared})
		one, err1 := connect(t, f.url, nil, true)
		two, err2 := connect(t, f.url, nil, true)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if _, err := call(t, one, "store", text{"mine"}); err != nil {
			t.Fatal(err)
		}
		got, err := call(t, two, "store", text{"other"})
		if seen := strings.Contains(got, "mine"); err != nil || seen != shared {
			t.Errorf("shared %v: the other session got %q, %v", shared, got, err)
		}
		want := map[bool]int{false: 2, true: 1}[shared]
		if status := f.Status(); status.Processes != want {
			t.Errorf("shared %v: %d processes run", shared, status.Processes)
		}
		one.Close()
		two.Close()
		if !shared {
			eventually(t, "the end of the processes", func() bool { return f.Status().Processes == 0 && f.Status().Phase == Idle })
		}
	}
}

func TestWhatAServerAsksReachesTheSessionAlone(t *testing.T) {
	t.Parallel()
	elicits := &mcp.ClientOptions{ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
		return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"answer": "blue"}}, nil
	}}
	f := start(t, Config{Spec: own("legacy")})
	session, err := connect(t, f.url, elicits, true)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := call(t, session, "ask", text{}); err != nil || !strings.Contains(got, "blue") {
		t.Errorf("got %q, %v", got, err)
	}
	f = start(t, Config{Spec: own("legacy"), Shared: true})
	if session, err = connect(t, f.url, elicits, true); err != nil {
		t.Fatal(err)
	}
	if got, err := call(t, session, "ask", text{}); err != nil || strings.Contains(got, "blue") {
		t.Errorf("a shared process asked a client: %q, %v", got, err)
	}
}

func TestListChangesReachWhoListens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind           string
		shared, legacy bool
	}{{"legacy", false, true}, {"legacy", true, true}, {"both", false, false}} {
		f := start(t, Config{Spec: own(c.kind), Shared: c.shared})
		changed := make(chan struct{}, 100)
		session, err := connect(t, f.url, &mcp.ClientOptions{
			ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { changed <- struct{}{} },
		}, c.legacy)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := call(t, session, "grow", text{}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Errorf("%+v: the client was not told", c)
		}
	}
}

func TestACallThatNobodyWaitsForIsCancelled(t *testing.T) {
	t.Parallel()
	for _, legacy := range []bool{true, false} {
		f := start(t, Config{Spec: own("both")})
		session, err := connect(t, f.url, nil, legacy)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "cancelled")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if _, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "hang", Arguments: text{file}}); err == nil {
			t.Error("the call came back")
		}
		eventually(t, "the cancellation", func() bool {
			_, err := os.Stat(file)
			return err == nil
		})
	}
}

func TestACrashFailsWhatRunsAndTheServerComesBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind           string
		shared, legacy bool
	}{{"legacy", false, true}, {"legacy", true, true}, {"both", false, false}} {
		var lastReady atomic.Bool
		var withdrawn atomic.Int64
		var f *fixture
		changed := make(chan struct{}, 1000)
		f = start(t, Config{Spec: own(c.kind), Shared: c.shared, Changed: func() { changed <- struct{}{} }})
		go func() {
			for {
				select {
				case <-changed:
					if ready := f.Status().Ready; lastReady.Swap(ready) && !ready {
						withdrawn.Store(time.Now().UnixNano())
					}
				case <-t.Context().Done():
					return
				}
			}
		}()
		session, err := connect(t, f.url, nil, c.legacy)
		if err != nil {
			t.Fatal(err)
		}
		hanging := make(chan error, 20)
		for range cap(hanging) {
			go func() {
				_, err := call(t, session, "hang", text{filepath.Join(t.TempDir(), "x")})
				hanging <- err
			}()
		}
		eventually(t, "the calls", func() bool { return f.latestBusy() >= cap(hanging) })
		crashed := time.Now()
		if _, err := call(t, session, "crash", text{}); err == nil {
			t.Error("the call that crashed it came back")
		}
		for range cap(hanging) {
			if err := <-hanging; err == nil {
				t.Error("a call outlived the crash")
			}
		}
		if took := time.Since(crashed); took > time.Second {
			t.Errorf("%+v: the calls failed after %v", c, took)
		}
		eventually(t, "its being away", func() bool { return withdrawn.Load() > 0 })
		if took := time.Unix(0, withdrawn.Load()).Sub(crashed); took > time.Second {
			t.Errorf("%+v: it was withdrawn after %v", c, took)
		}
		eventually(t, "its return", func() bool { return f.Status().Ready })
		if status := f.Status(); status.Restarts != 1 || !strings.Contains(status.LastError, "ended by itself") {
			t.Errorf("%+v: the status is %+v", c, status)
		}
		again, err := connect(t, f.url, nil, c.legacy)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := call(t, again, "echo", text{"back"}); err != nil || !strings.Contains(got, "back") {
			t.Errorf("%+v: got %q, %v", c, got, err)
		}
	}
}

// latestBusy is how many calls run in the process that was started last.
func (f *fixture) latestBusy() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.latest == nil {
		return 0
	}
	return f.latest.Busy()
}

func TestTheSessionsOfACrashedProcessAreGone(t *testing.T) {
	t.Parallel()
	f := start(t, Config{Spec: own("legacy")})
	session, err := connect(t, f.url, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = call(t, session, "crash", text{})
	eventually(t, "its end", func() bool { return f.session(session.ID()) == nil })
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Mcp-Session-Id", session.ID())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("a session that is gone answers with %s", response.Status)
	}
}

func TestProcessesAreBoundedAndQuietOnesAreEnded(t *testing.T) {
	t.Parallel()
	f := start(t, Config{Spec: own("legacy"), Processes: 2})
	for range 2 {
		if _, err := connect(t, f.url, nil, true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := connect(t, f.url, nil, true); err == nil || f.Status().Processes != 2 {
		t.Errorf("a third session was opened: %v, %+v", err, f.Status())
	}
	f = start(t, Config{Spec: own("legacy"), IdleTime: 50 * time.Millisecond})
	body := strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)
	response, err := http.Post(f.url, "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK || response.Header.Get("Mcp-Session-Id") == "" {
		t.Fatalf("no session was opened: %s", response.Status)
	}
	eventually(t, "the end of the idle process", func() bool { return f.Status().Processes == 0 })
	if status := f.Status(); status.Restarts != 0 || status.Phase != Idle || !status.Ready {
		t.Errorf("the status is %+v", status)
	}
}

func TestWhatCannotBeStartedIsAwayAndSaysWhy(t *testing.T) {
	t.Parallel()
	f := start(t, Config{Spec: process.Spec{Command: []string{"sh", "-c", "echo cannot find $KEY >&2; exit 1"}, Environment: map[string]string{"KEY": "s3cr3t-key"}}})
	if _, err := connect(t, f.url, nil, true); err == nil {
		t.Error("a session was opened")
	}
	eventually(t, "its being away", func() bool { return f.Status().Phase == Waiting })
	if status := f.Status(); status.Ready || !strings.Contains(status.LastError, "cannot find [redacted]") {
		t.Errorf("the status is %+v", status)
	}
}

func TestModernHeadersMustSayWhatTheBodySays(t *testing.T) {
	t.Parallel()
	f := start(t, Config{Spec: own("both")})
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"crash","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "echo"} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusBadRequest || f.Status().Processes != 0 {
		t.Errorf("it was answered with %s, and %d processes run", response.Status, f.Status().Processes)
	}
}

func TestAFailureIsToldOfAWellServerForAMinute(t *testing.T) {
	s := New(Config{Name: "files"})
	defer s.Close()
	s.failure, s.failedAt = "the process ended by itself", time.Now()
	if got := s.Status().LastError; got != s.failure {
		t.Errorf("just now: %q", got)
	}
	s.failedAt = time.Now().Add(-RecentTime)
	if got := s.Status().LastError; got != "" {
		t.Errorf("after a minute: %q", got)
	}
	s.away = true
	if got := s.Status().LastError; got != s.failure {
		t.Errorf("while it is away: %q", got)
	}
}
