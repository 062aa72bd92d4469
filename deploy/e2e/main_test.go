package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the built 'warder'; repo is the root of the tree.
var binary, repo string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if address := os.Getenv(shiftyAddress); address != "" {
		return serveShifty(address)
	}
	if file := os.Getenv(countingServer); file != "" {
		return serveCounting(file)
	}
	if os.Getenv(askingServer) != "" {
		return serveAsking()
	}
	dir, err := os.MkdirTemp("", "warder-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if repo, err = filepath.Abs("../.."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(dir, "warder")
	build := exec.Command("go", "build", "-o", binary, "./cmd/warder")
	build.Dir = repo
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build warder: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// within is how long anything may take that a test waits for.
const within = 30 * time.Second

// eventually polls until ok says yes; what names what never came.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	eventuallyIn(t, within, what, ok)
}

func eventuallyIn(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// process is a program that a test started. It ends with the test.
type process struct {
	cmd    *exec.Cmd
	output *tail
	done   chan struct{}
	err    error // of Wait; valid once done is closed
}

// start runs a program, with env added to a small environment of its own.
func start(t *testing.T, dir string, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), output: &tail{}, done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = append(environment(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.SysProcAttr = child()
	started := make(chan error, 1)
	go func() {
		// The kernel ties a child's death signal to the thread that started it:
		// this one is there for nothing else, and ends with the child.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("output of %s %s:\n%s", filepath.Base(name), strings.Join(args, " "), p.output.String())
		}
	})
	return p
}

// environment is what programs under test see: enough to run, and nothing that
// would point them at the developer's own Warder.
func environment() []string {
	env := []string{"LC_ALL=C.UTF-8"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GOFLAGS", "GOPROXY", "GOCACHE", "GOMODCACHE", "GOTOOLCHAIN", "WARDER_POSTGRES_BIN", "WARDER_POSTGRES_TREE"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	if os.Getenv("WARDER_POSTGRES_TREE") == "" {
		env = append(env, "WARDER_POSTGRES_TREE="+filepath.Join(repo, "tools/postgres"))
	}
	return env
}

// stop interrupts the process group, and kills it if that takes too long.
func (p *process) stop() {
	p.signal(syscall.SIGINT)
	select {
	case <-p.done:
	case <-time.After(within):
		p.kill()
	}
}

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, s) // It may end meanwhile.
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// waitFor polls the output for text and returns what stands behind it on its line.
func (p *process) waitFor(t *testing.T, text string) string {
	t.Helper()
	return p.waitLong(t, within, text)
}

// waitLong is waitFor for a process that has much to do first.
func (p *process) waitLong(t *testing.T, limit time.Duration, text string) string {
	t.Helper()
	var rest string
	eventuallyIn(t, limit, fmt.Sprintf("%q in the output of %s", text, p.cmd.Path), func() bool {
		_, after, ok := strings.Cut(p.output.String(), text)
		if line, _, complete := strings.Cut(after, "\n"); ok && complete {
			rest = strings.TrimSpace(line)
			return true
		}
		if p.ended() {
			t.Fatalf("%s ended: %v\n%s", p.cmd.Path, p.err, p.output.String())
		}
		return false
	})
	return rest
}

// tail keeps the output of a process, up to a bound.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 1 << 20

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if over := len(l.buf) - tailBytes; over > 0 {
		l.buf = l.buf[over:]
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf)
}

// result is how one run of the command line ended.
type result struct {
	code           int
	stdout, stderr string
}

// command runs 'warder args…' against the instance in dataDir.
func command(t *testing.T, dataDir string, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(environment(), "WARDER_DATA_DIR="+dataDir)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatalf("run warder %v: %v", args, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// object is a decoded JSON object.
type object = map[string]any

// admin runs a verb with -o json that must succeed, and returns its message.
func admin(t *testing.T, dataDir string, args ...string) object {
	t.Helper()
	r := command(t, dataDir, "", append([]string{"-o", "json"}, args...)...)
	if r.code != 0 {
		t.Fatalf("warder %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	var m object
	if err := json.Unmarshal([]byte(r.stdout), &m); err != nil {
		t.Fatalf("warder %s printed no JSON: %v\n%s", strings.Join(args, " "), err, r.stdout)
	}
	return m
}
