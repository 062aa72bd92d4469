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
	"strconv"
	"strings"
	"time"
)

// subject is one way to the echo server.
type subject struct {
	name    string
	address string    // host:port
	key     string    // of Warder; empty for what knows no keys
	process *exec.Cmd // whose CPU counts; nil for direct
	metrics string    // host:port of its metrics and profiles; empty: address
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

// resident returns the memory of a process, in bytes; 0 where there is no /proc.
func resident(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

func allocations(address string) (mallocs, bytes float64, err error) {
	response, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		switch name {
		case "go_memstats_mallocs_total":
			mallocs, err = strconv.ParseFloat(value, 64)
		case "go_memstats_alloc_bytes_total":
			bytes, err = strconv.ParseFloat(value, 64)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("metrics of %s: %w", address, err)
		}
	}
	if mallocs == 0 {
		return 0, 0, fmt.Errorf("%s tells no go_memstats_mallocs_total", address)
	}
	return mallocs, bytes, nil
}

// startSubjects starts the echo server, the proxy, the stand-in and the node.
// stop ends them all.
func startSubjects(ctx context.Context, o options, dir string) (subjects []*subject, stop func(), err error) {
	var stops []func()
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	echoAddress, end, _, err := startRole("echo", loadCore, "")
	if err != nil {
		return nil, stop, err
	}
	stops = append(stops, end)
	proxyAddress, end, proxyProcess, err := startRole("proxy", productCore, "http://"+echoAddress)
	if err != nil {
		return nil, stop, err
	}
	stops = append(stops, end)
	control, err := newStandIn(echoAddress)
	if err != nil {
		return nil, stop, err
	}
	stops = append(stops, control.close)
	warder, end, err := startNode(o.binary, dir, control)
	if err != nil {
		return nil, stop, err
	}
	stops = append(stops, end)
	return []*subject{
		{name: "direct", address: echoAddress},
		{name: "proxy", address: proxyAddress, process: proxyProcess},
		warder,
	}, stop, nil
}

// pinnedTo returns a command that runs on one core, where that can be had.
func pinnedTo(core, name string, args ...string) *exec.Cmd {
	taskset := os.Getenv(pinnedVariable)
	if taskset == "" || runtime.GOOS != "linux" {
		return exec.Command(name, args...)
	}
	return exec.Command(taskset, append([]string{"-c", core, name}, args...)...)
}

func startRole(role, core, target string) (address string, end func(), process *exec.Cmd, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, nil, err
	}
	if address, err = freeAddress(); err != nil {
		return "", nil, nil, err
	}
	cmd := pinnedTo(core, self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, listenVariable+"="+address, targetVariable+"="+target)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, nil, err
	}
	end = func() {
		_ = in.Close() // It ends with its standard input.
		_ = cmd.Wait()
	}
	if err := await("http://" + address + "/metrics"); err != nil {
		end()
		return "", nil, nil, fmt.Errorf("%s: %w", role, err)
	}
	return address, end, cmd, nil
}

// startNode starts what is measured, with its profiles to be had.
func startNode(binary, dir string, control *standIn) (node *subject, end func(), err error) {
	node = &subject{name: "warder", key: control.key}
	if node.address, err = freeAddress(); err != nil {
		return nil, nil, err
	}
	if node.metrics, err = freeAddress(); err != nil {
		return nil, nil, err
	}
	identity := filepath.Join(dir, "identity")
	if err := control.writeIdentity(identity); err != nil {
		return nil, nil, err
	}
	cmd := pinnedTo(productCore, binary, "dataplane", "--listen", node.address, "--metrics-listen", node.metrics, "--pprof",
		"--control-plane", control.address, "--identity-dir", identity, "--data-dir", filepath.Join(dir, "node"), "--log-level", "warn")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	node.process = cmd
	end = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}
	if err := await("http://" + node.address + "/readyz"); err != nil {
		end()
		return nil, nil, fmt.Errorf("the node: %w", err)
	}
	return node, end, nil
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

// profile takes a CPU profile of the node while a scenario plays.
func profile(ctx context.Context, o options, s scenario, subjects []*subject) error {
	node := subjects[len(subjects)-1]
	load := make(chan error, 1)
	go func() {
		_, err := drive(ctx, node, s, 8*time.Second)
		load <- err
	}()
	response, err := http.Get("http://" + node.metrics + "/debug/pprof/profile?seconds=5")
	if err != nil {
		return errors.Join(err, <-load)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("the node answers %s", response.Status))
	}
	if err != nil {
		return errors.Join(err, <-load)
	}
	return errors.Join(os.WriteFile(o.profile, data, 0o644), <-load)
}
