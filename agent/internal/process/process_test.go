//go:build unix

package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/mcp"
)

// heard collects what a server says unasked.
type heard chan *wire.Message

func (h heard) Hear(m *wire.Message) { h <- m }

// run starts the server of main_test.go.
func run(t *testing.T, spec Spec, flags ...string) *Process {
	t.Helper()
	spec.Command = append([]string{os.Args[0], "serve"}, flags...)
	p, err := Start(&spec, make(heard, 1000), Options{LeaveTime: 200 * time.Millisecond, TermTime: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// begin sends a request.
func begin(t *testing.T, p *Process, id, method, params string) *wire.Call {
	t.Helper()
	body := []byte(`{"jsonrpc":"2.0","id":` + id + `,"method":"` + method + `","params":` + params + `}`)
	var req mcp.Request
	if err := mcp.ScanRequest(body, mcp.Limits{}, &req); err != nil {
		t.Fatal(err)
	}
	call, err := p.Begin(t.Context(), body, &req)
	if err != nil {
		t.Fatal(err)
	}
	return call
}

// answer waits for the answer.
func answer(t *testing.T, call *wire.Call) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return call.Wait(ctx)
}

// ask makes a call whose result it decodes.
func ask(t *testing.T, p *Process, method, params string) (result struct {
	Nonce, Status, Error string
	Environ, Seen        []string
	PID                  int
}) {
	t.Helper()
	text, err := answer(t, begin(t, p, "1", method, params))
	if err != nil {
		t.Fatal(err)
	}
	var message struct{ Result any }
	message.Result = &result
	if err := json.Unmarshal(text, &message); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if result.Error != "" {
		t.Fatal(result.Error)
	}
	return result
}

// TestManyCallsWithTheSameIDsGetTheirOwnAnswers holds T-22 for one process.
func TestManyCallsWithTheSameIDsGetTheirOwnAnswers(t *testing.T) {
	p := run(t, Spec{})
	ids := []string{"0", "1", `"1"`, "-1", `"\u0031"`}
	var calls sync.WaitGroup
	for i := range 100 {
		calls.Go(func() {
			for j := range 20 {
				id, nonce := ids[(i+j)%len(ids)], fmt.Sprintf("n-%d-%d", i, j)
				call := begin(t, p, id, "echo", `{"nonce":"`+nonce+`","_meta":{"progressToken":`+id+`}}`)
				text, err := answer(t, call)
				want := `{"jsonrpc":"2.0","id":` + id + `,"result":{"nonce":"` + nonce + `"}}`
				if err != nil || string(text) != want {
					t.Errorf("got %s, %v; want %s", text, err, want)
				}
				want = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":` + id + `,"progress":1,"message":"` + nonce + `"}}`
				if told := call.Box.Take(); len(told) != 1 || string(told[0]) != want {
					t.Errorf("progress is %q; want %s", told, want)
				}
			}
		})
	}
	calls.Wait()
	if p.Busy() != 0 || p.Stray() != 0 {
		t.Errorf("%d calls are left over, %d messages were nobody's", p.Busy(), p.Stray())
	}
}

func TestACrashFailsAllCallsAtOnceAndIsExplainedWithoutSecrets(t *testing.T) {
	p := run(t, Spec{Environment: map[string]string{"KEY": "hunter2-hunter2"}})
	var calls []*wire.Call
	for range 50 {
		calls = append(calls, begin(t, p, "1", "hang", "{}"))
	}
	begin(t, p, "2", "crash", `{"text":"cannot log in with hunter2-hunter2, Authorization: Bearer abcdefghijkl"}`)
	began := time.Now()
	for _, call := range calls {
		_, err := answer(t, call)
		if err == nil || !strings.Contains(err.Error(), "ended by itself; its last line: cannot log in with [redacted]") {
			t.Fatalf("the call ended with %v", err)
		}
		for _, secret := range []string{"hunter2", "abcdefghijkl"} {
			if strings.Contains(err.Error(), secret) {
				t.Fatalf("%q is in %v", secret, err)
			}
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := p.Begin(t.Context(), []byte(`{}`), &mcp.Request{}); err == nil {
		t.Error("a dead process takes calls")
	}
	if p.Stop(); errors.Is(p.Err(), wire.ErrStopped) {
		t.Error("a crash counts as stopped")
	}
}

func TestTheEnvironmentIsWhatWasGivenAndAllowed(t *testing.T) {
	t.Setenv("WARDER_TEST_SECRET", "of the agent")
	t.Setenv("WARDER_TEST_PASSED", "passed")
	p := run(t, Spec{Environment: map[string]string{"GIVEN": "x", "HOME": "/nowhere"}, Pass: []string{"WARDER_TEST_PASSED"}})
	got := map[string]string{}
	for _, variable := range ask(t, p, "environ", "{}").Environ {
		name, value, _ := strings.Cut(variable, "=")
		got[name] = value
	}
	if got["GIVEN"] != "x" || got["HOME"] != "/nowhere" || got["WARDER_TEST_PASSED"] != "passed" || got["PATH"] != os.Getenv("PATH") {
		t.Errorf("the environment is %v", got)
	}
	allowed := map[string]bool{"GIVEN": true, "WARDER_TEST_PASSED": true, mark: true}
	for _, name := range Inherited() {
		allowed[name] = true
	}
	for name := range got {
		if !allowed[name] {
			t.Errorf("%s reached the server", name)
		}
	}
}

func TestProgramsCannotGainPrivileges(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // The other systems have no such switch; doc.go says so.
	}
	p := run(t, Spec{})
	if status := ask(t, p, "status", "{}").Status; !strings.Contains(status, "NoNewPrivs:\t1") {
		t.Errorf("the server may gain privileges: %s", status)
	}
	if own, err := os.ReadFile("/proc/self/status"); err != nil || strings.Contains(string(own), "NoNewPrivs:\t1") {
		t.Errorf("the agent itself has lost them: %v", err)
	}
}

// exists reports whether a process is there, also as a zombie.
func exists(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestStopEndsTheWholeTreeAndLeavesNoZombies(t *testing.T) {
	for _, flags := range [][]string{nil, {"stubborn"}} {
		p := run(t, Spec{}, flags...)
		pids := []int{p.PID(), ask(t, p, "spawn", "{}").PID, ask(t, p, "spawn", "{}").PID}
		if runtime.GOOS == "linux" {
			pids = append(pids, ask(t, p, "spawn-away", "{}").PID)
		}
		for _, pid := range pids {
			if !exists(pid) {
				t.Fatalf("process %d is not there", pid)
			}
		}
		call := begin(t, p, "1", "hang", "{}")
		p.Stop()
		for _, pid := range pids {
			if exists(pid) {
				t.Errorf("%v: process %d is left of %v", flags, pid, pids)
			}
		}
		if _, err := answer(t, call); !errors.Is(err, wire.ErrStopped) {
			t.Errorf("%v: the call ended with %v", flags, err)
		}
	}
}

func TestACrashTakesWhatItStartedWithIt(t *testing.T) {
	p := run(t, Spec{})
	child := ask(t, p, "spawn", "{}").PID
	begin(t, p, "1", "crash", "{}")
	<-p.gone
	if exists(child) || exists(p.PID()) {
		t.Error("something is left of it")
	}
}

func TestALineThatIsTooLongFailsItsCallAlone(t *testing.T) {
	p := run(t, Spec{})
	other := begin(t, p, "1", "hang", "{}")
	if _, err := answer(t, begin(t, p, "1", "huge", "{}")); !errors.Is(err, wire.ErrTooLarge) {
		t.Errorf("the call ended with %v", err)
	}
	if got := ask(t, p, "echo", `{"nonce":"still there"}`).Nonce; got != "still there" {
		t.Errorf("the next call got %q", got)
	}
	select {
	case <-other.Done():
		t.Error("another call ended, too")
	default:
	}
}

func TestProseOnStdoutIsLoggedAndTooMuchOfItEndsTheServer(t *testing.T) {
	p := run(t, Spec{})
	if got := ask(t, p, "garbage", `{"nonce":"n"}`).Nonce; got != "n" {
		t.Errorf("the call got %q", got)
	}
	if lines := p.Log.Lines(); len(lines) != 1 || lines[0] != "stdout: Server is getting ready, n" {
		t.Errorf("the log is %q", lines)
	}
	if _, err := answer(t, begin(t, p, "1", "broken", "{}")); !errors.Is(err, wire.ErrGarbage) {
		t.Errorf("a broken answer ended the call with %v", err)
	}
	talker := run(t, Spec{}, "prose")
	<-talker.Dead()
	if err := talker.Err(); !strings.Contains(err.Error(), "were no MCP messages") {
		t.Errorf("it ended with %v", err)
	}
}

func TestAServerThatClosesItsOutputIsEnded(t *testing.T) {
	p := run(t, Spec{}, "mute", "stubborn")
	call := begin(t, p, "1", "hang", "{}")
	if _, err := answer(t, call); err == nil || !strings.Contains(err.Error(), "closed its output") {
		t.Errorf("the call ended with %v", err)
	}
}

func TestWhoSpeaksToAProgramThatIsEndingHearsWhyItEnds(t *testing.T) {
	p, err := Start(&Spec{Command: []string{"sh", "-c", "echo out of memory >&2; exec >&-; read line; exit 1"}}, make(heard, 1), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	<-p.leaving // It has closed its output, and is there still.
	for err == nil {
		err = stdin{p}.Send(t.Context(), []byte("{}")) // Some wait to be written, and are lost.
	}
	if !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("sending failed with %v", err)
	}
}

func TestACancelledCallIsNotWaitedFor(t *testing.T) {
	p := run(t, Spec{})
	ctx, cancel := context.WithCancelCause(t.Context())
	call := begin(t, p, "1", "hang", "{}")
	cancel(errors.New("enough"))
	if _, err := call.Wait(ctx); err == nil || err.Error() != "enough" {
		t.Errorf("the call ended with %v", err)
	}
	seen := ask(t, p, "seen", "{}").Seen
	if len(seen) != 3 || seen[1] != "notifications/cancelled" {
		t.Errorf("the server saw %q", seen)
	}
	if p.Busy() != 0 {
		t.Error("the call is still open")
	}
}

func TestWhatTheServerAsksIsHeard(t *testing.T) {
	ears := make(heard, 1)
	p, err := Start(&Spec{Command: []string{os.Args[0], "serve"}}, ears, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	ask(t, p, "ask", "{}")
	if m := <-ears; m.Scan.Method != mcp.MethodRootsList || string(m.Body) != `{"jsonrpc":"2.0","id":7,"method":"roots/list"}` {
		t.Errorf("heard %s", m.Body)
	}
}

func TestWhatCannotBeStartedSaysWhy(t *testing.T) {
	for name, spec := range map[string]Spec{
		"the command is empty": {},
		`command not found: there is no program "no-such-program-anywhere" in the PATH`:    {Command: []string{"no-such-program-anywhere"}},
		`command not found: there is no program "/no/such/program" on the agent's machine`: {Command: []string{"/no/such/program"}},
		"start":         {Command: []string{os.Args[0]}, Directory: filepath.Join(t.TempDir(), "nowhere")},
		"cannot be set": {Command: []string{os.Args[0]}, Environment: map[string]string{"A=B": ""}},
	} {
		if _, err := Start(&spec, make(heard), Options{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNothingIsLeftOfAnAgentThatWasKilled kills an agent whose server, and what that has started, ignore the end of their
// input and SIGTERM.
func TestNothingIsLeftOfAnAgentThatWasKilled(t *testing.T) {
	agent := exec.Command(os.Args[0], "agent")
	agent.Stderr = os.Stderr
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	var server, child, away int
	if _, err := fmt.Fscan(out, &server, &child, &away); err != nil || !running(t, server) || !running(t, child) || !running(t, away) {
		t.Fatal(server, child, away, err)
	}
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.Wait()
	for name, pid := range map[string]int{"the server": server, "what it started": child, "what left its group": away} {
		if runtime.GOOS != "linux" && pid == away {
			_ = syscall.Kill(away, syscall.SIGKILL)
			continue
		}
		for deadline := time.Now().Add(10 * time.Second); running(t, pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				t.Errorf("%s outlived the agent", name)
				break
			}
		}
	}
}

// running reports whether a process is there, and is no zombie: who is its parent now may not have reaped it.
func running(t *testing.T, pid int) bool {
	t.Helper()
	state, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && len(state) > 0 && state[0] != 'Z'
}

func TestWhatASignalKilledSaysSo(t *testing.T) {
	p, err := Start(&Spec{Command: []string{"sh", "-c", "echo out of memory >&2; kill -9 $$"}}, deaf{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	<-p.Dead()
	if want := "the process was killed by signal 9 (killed); its last line: out of memory"; p.Err().Error() != want {
		t.Errorf("it ended with %v; want %q", p.Err(), want)
	}
}

// deaf hears nothing.
type deaf struct{}

func (deaf) Hear(*wire.Message) {}
