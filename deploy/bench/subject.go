package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// subject is one way to the echo server.
type subject struct {
	name     string
	address  string    // host:port
	standard string    // likewise, for calls to the echo server of net/http; empty: address
	key      string    // of Warder; empty for what knows no keys
	process  *exec.Cmd // whose CPU counts; nil for direct
	metrics  string    // host:port of its metrics and profiles; empty: address
}

// usage is what a process has used so far.
type usage struct {
	cpu     time.Duration
	mallocs float64
	bytes   float64
}

// usage reads CPU time from /proc and allocations from the process's own
// metrics. Both are zero for direct calls, and CPU where there is no /proc.
func (s *subject) usage() (usage, error) {
	if s.process == nil {
		return usage{}, nil
	}
	mallocs, bytes, err := allocations(cmp.Or(s.metrics, s.address))
	if err != nil {
		return usage{}, err
	}
	return usage{cpuTime(s.process.Process.Pid), mallocs, bytes}, nil
}

// tick is the unit of /proc/<pid>/stat, fixed on Linux.
const tick = 10 * time.Millisecond

// cpuTime is user and system time of a process: fields 14 and 15 of its stat,
// counted behind the name, which may hold anything.
func cpuTime(pid int) time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick
}

// resident returns the memory of the subject's process, in bytes; 0 where there is
// no /proc.
func (s *subject) resident() float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.process.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return float64(pages * int64(os.Getpagesize()))
}

func allocations(address string) (mallocs, bytes float64, err error) {
	values, err := scrape(address, "go_memstats_mallocs_total", "go_memstats_alloc_bytes_total")
	if err != nil {
		return 0, 0, err
	}
	return values[0], values[1], nil
}

// scrape returns the values of metrics without labels that a process tells.
func scrape(address string, names ...string) ([]float64, error) {
	response, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	values, found := make([]float64, len(names)), 0
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		i := slices.Index(names, name)
		if i < 0 {
			continue
		}
		if values[i], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("metrics of %s: %w", address, err)
		}
		found++
	}
	if found != len(names) {
		return nil, fmt.Errorf("%s does not tell all of %v", address, names)
	}
	return values, nil
}

// bench is a run: what it was told, and what runs as long as it does.
type bench struct {
	options
	dir string    // for files; the caller removes it
	out io.Writer // of people

	direct, proxy *subject
	stops         []func()
}

// newBench starts the echo servers, and the proxy in front of them.
func newBench(o options, dir string, out io.Writer) (_ *bench, err error) {
	b := &bench{options: o, dir: dir, out: out, direct: &subject{name: "direct"}, proxy: &subject{name: "proxy"}}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.direct.address, _, err = b.startRole("echo", loadCore, ""); err != nil {
		return nil, err
	}
	if b.direct.standard, _, err = b.startRole("standard echo", loadCore, ""); err != nil {
		return nil, err
	}
	targets := "http://" + b.direct.address + " http://" + b.direct.standard
	b.proxy.address, b.proxy.process, err = b.startRole("proxy", productCore, targets)
	return b, err
}

// close ends all that was started.
func (b *bench) close() {
	for _, stop := range slices.Backward(b.stops) {
		stop()
	}
	b.stops = nil
}

// pinnedTo returns a command that runs on one core, where that can be had.
func pinnedTo(core, name string, args ...string) *exec.Cmd {
	taskset := os.Getenv(pinnedVariable)
	if taskset == "" || runtime.GOOS != "linux" {
		return exec.Command(name, args...)
	}
	return exec.Command(taskset, append([]string{"-c", core, name}, args...)...)
}

// startRole starts this program again to play a part, until the run ends.
func (b *bench) startRole(role, core, target string) (address string, process *exec.Cmd, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	if address, err = freeAddress(); err != nil {
		return "", nil, err
	}
	cmd := pinnedTo(core, self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, listenVariable+"="+address, targetVariable+"="+target)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	b.stops = append(b.stops, func() {
		_ = in.Close() // It ends with its standard input.
		_ = cmd.Wait()
	})
	if err := await("http://" + address + "/metrics"); err != nil {
		return "", nil, fmt.Errorf("%s: %w", role, err)
	}
	return address, cmd, nil
}

// node is a node that is measured, with the control plane that it follows.
type node struct {
	subject
	*content
	control *standIn
	stop    func()
}

// startNode starts a node of a name, with its profiles to be had and further flags, and waits
// until it serves.
func (b *bench) startNode(name, binary string, flags ...string) (*node, error) {
	n := &node{}
	var err error
	if n.content, err = newContent(b.direct.address, b.direct.standard, b.sessions); err != nil {
		return nil, err
	}
	set, err := n.set(1)
	if err != nil {
		return nil, err
	}
	if n.control, err = newStandIn(set); err != nil {
		return nil, err
	}
	n.stop = n.control.close
	n.subject = subject{name: "warder", key: n.load}
	if err := n.start(binary, filepath.Join(b.dir, name), flags...); err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

func (n *node) start(binary, dir string, flags ...string) (err error) {
	if n.address, err = freeAddress(); err != nil {
		return err
	}
	if n.metrics, err = freeAddress(); err != nil {
		return err
	}
	dirOfIdentity := filepath.Join(dir, "identity")
	if err := n.control.writeIdentity(dirOfIdentity); err != nil {
		return err
	}
	args := append([]string{"dataplane", "--listen", n.address, "--metrics-listen", n.metrics, "--pprof",
		"--control-plane", n.control.address, "--identity-dir", dirOfIdentity, "--data-dir", filepath.Join(dir, "data"), "--log-level", "warn"}, flags...)
	cmd := pinnedTo(productCore, binary, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	n.process = cmd
	n.stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		n.control.close()
	}
	if err := await("http://" + n.address + "/readyz"); err != nil {
		return fmt.Errorf("the node: %w", err)
	}
	return nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// await polls url until it answers 200.
func await(url string) error {
	last := errors.New("no answer")
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		response, err := http.Get(url)
		if err != nil {
			last = err
			continue
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return nil
		}
		last = fmt.Errorf("status %s", response.Status)
	}
	return last
}

// writeProfile takes a CPU profile of the node while a scenario plays.
func (b *bench) writeProfile(ctx context.Context, s scenario, n *node) error {
	load := make(chan error, 1)
	go func() {
		_, err := drive(ctx, &n.subject, s.work(&n.subject), 8*time.Second)
		load <- err
	}()
	data, err := n.fetch("/debug/pprof/profile?seconds=5")
	if err == nil {
		err = os.WriteFile(b.profile, data, 0o644)
	}
	return errors.Join(err, <-load)
}

// fetch returns what the node's inner listener has at a path.
func (n *node) fetch(path string) ([]byte, error) {
	response, err := http.Get("http://" + n.metrics + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the node answers %s to %s", response.Status, path)
	}
	return data, err
}
