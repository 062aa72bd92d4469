// Command bench compares calls through Warder with direct ones and with a plain
// proxy, in one run, and prints ratios.
//
//	                    core 0                      core 1
//	direct     load ───────────────▶ echo
//	proxy      load ──────────────────────▶ httputil.ReverseProxy ──▶ echo
//	warder     load ──────────────────────▶ warder dataplane ───────▶ echo
//	                                            │ snapshots, audit
//	                                        stand-in for a control plane (core 0)
//
// The load generator and the echo server share one core, the product has the
// other, where taskset exists. Rounds are interleaved, so that a machine whose
// speed drifts drifts for all three. Every answer's content is checked. The
// control plane is a stand-in that speaks the real protocols, so that
// PostgreSQL does not compete for the two cores: what is measured is the node,
// with key, policy and audit on.
//
// Absolute figures mean nothing elsewhere; quote the ratios.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// options are what a run can be told.
type options struct {
	rounds   int
	duration time.Duration
	json     string
	profile  string
	binary   string
	quick    bool
	match    string
}

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		exit(play(role))
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "interleaved rounds of each case")
	flag.BoolVar(&o.quick, "quick", false, "a few scenarios only")
	flag.DurationVar(&o.duration, "duration", time.Second, "length of one round")
	flag.StringVar(&o.json, "json", "", "write the figures to this file as well")
	flag.StringVar(&o.profile, "profile", "", "write a CPU profile of the node, taken under load, to this file")
	flag.StringVar(&o.match, "match", "", "only scenarios whose name has this text, for example '16 callers, 16384'; the profile is of the last")
	flag.StringVar(&o.binary, "warder", "", "the binary to measure (default: build it)")
	flag.Parse()
	if pinned, err := pinSelf(); err != nil {
		exit(err)
	} else if pinned {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(run(ctx, o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// The cores: the load and the echo server on one, the product on the other.
const (
	loadCore    = "0"
	productCore = "1"
	// pinnedVariable tells this program that it runs under taskset already.
	pinnedVariable = "WARDER_BENCH_PINNED"
)

// pinSelf runs this program again on the load's core and waits for it. It
// reports false where there is nothing to pin with, or it is pinned already.
func pinSelf() (bool, error) {
	taskset, err := exec.LookPath("taskset")
	if os.Getenv(pinnedVariable) != "" {
		return false, nil
	}
	if err != nil || runtime.NumCPU() < 2 {
		fmt.Fprintln(os.Stderr, "bench: no taskset or one core only: load and product share what there is")
		return false, nil
	}
	self, err := os.Executable()
	if err != nil {
		return false, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.Command(taskset, append([]string{"-c", loadCore, self}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), pinnedVariable+"="+taskset)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			os.Exit(failed.ExitCode())
		}
		return false, fmt.Errorf("run pinned: %w", err)
	}
	return true, nil
}

// scenario is one cell of the comparison.
type scenario struct {
	Era     string `json:"era"`    // of client and server: legacy or modern
	Answer  string `json:"answer"` // of the server: json or sse
	Callers int    `json:"callers"`
	Bytes   int    `json:"bytes"` // of the argument, and of the answer's text
	// Rate is how many calls a second begin, whether or not earlier ones have
	// ended; 0 means a closed loop.
	Rate float64 `json:"rate,omitempty"`
}

func (s scenario) String() string {
	text := fmt.Sprintf("%s, %s, %d callers, %d bytes", s.Era, s.Answer, s.Callers, s.Bytes)
	if s.Rate > 0 {
		text += fmt.Sprintf(", %.0f calls/s", s.Rate)
	}
	return text
}

// server is the slug of the echo server that plays a scenario.
func (s scenario) server() string { return s.Era + "-" + s.Answer }

// scenarios are all cells of the closed loop, and quick ones for a look.
func scenarios(quick bool) []scenario {
	var all []scenario
	for _, era := range []string{"legacy", "modern"} {
		all = append(all, scenario{Era: era, Answer: "json", Callers: 1, Bytes: 256})
		for _, answer := range []string{"json", "sse"} {
			for _, bytes := range []int{256, 16 << 10} {
				for _, callers := range []int{16, 128} {
					if !quick || callers == 16 && answer == "json" {
						all = append(all, scenario{Era: era, Answer: answer, Callers: callers, Bytes: bytes})
					}
				}
			}
		}
	}
	return all
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "warder-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.binary == "" {
		o.binary = filepath.Join(dir, "warder")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", o.binary, "./cmd/warder")
		build.Env = append(os.Environ(), "GOMAXPROCS=2")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build warder: %w\n%s", err, out)
		}
	}
	subjects, stop, err := startSubjects(ctx, o, dir)
	if err != nil {
		return err
	}
	defer stop()
	printMemory(subjects, fmt.Sprintf("idle, the node with %d tools", catalogueTools))
	cells, err := compare(ctx, o, subjects)
	if err != nil {
		return err
	}
	printMemory(subjects, "after the load")
	if o.profile != "" {
		if err := profile(ctx, o, profiled(o, cells), subjects); err != nil {
			return fmt.Errorf("profile: %w", err)
		}
	}
	return report(os.Stdout, o.json, cells)
}

// settling is how long a process may take to come to rest.
const settling = 2 * time.Second

// printMemory prints what the processes hold when nothing happens.
func printMemory(subjects []*subject, when string) {
	time.Sleep(settling)
	fmt.Printf("memory, %s:", when)
	for _, s := range subjects {
		if s.process != nil {
			fmt.Printf(" %s %.1f MiB", s.name, float64(resident(s.process.Process.Pid))/(1<<20))
		}
	}
	fmt.Println()
}

// compare measures all scenarios: the closed loops, and after the one of 16
// callers an open loop at half of what it saturated at.
func compare(ctx context.Context, o options, subjects []*subject) ([]cell, error) {
	var cells []cell
	add := func(s scenario) (cell, error) {
		c, err := measure(ctx, o, s, subjects)
		if err != nil {
			return c, fmt.Errorf("%s: %w", s, err)
		}
		cells = append(cells, c)
		printCell(os.Stdout, c)
		return c, nil
	}
	for _, s := range scenarios(o.quick) {
		if !strings.Contains(s.String(), o.match) {
			continue
		}
		c, err := add(s)
		if err != nil {
			return nil, err
		}
		if s.Answer != "json" || s.Callers != 16 || s.Bytes != 256 {
			continue
		}
		s.Callers, s.Rate = openCallers, min(c.Figures[plain].Throughput, c.Figures[warder].Throughput)/2
		if _, err := add(s); err != nil {
			return nil, err
		}
	}
	return cells, nil
}

// profiled returns the scenario that a profile is taken of.
func profiled(o options, cells []cell) scenario {
	if o.match == "" || len(cells) == 0 {
		return scenario{Era: "legacy", Answer: "json", Callers: 16, Bytes: 256}
	}
	return cells[len(cells)-1].scenario
}

// openCallers is how many calls of an open loop may be on their way at once.
const openCallers = 64

// measure runs the rounds of one scenario, each subject in turn.
func measure(ctx context.Context, o options, s scenario, subjects []*subject) (cell, error) {
	samples := make([][]sample, len(subjects))
	for _, subject := range subjects {
		if _, err := drive(ctx, subject, s, o.duration/4); err != nil { // warm up
			return cell{}, fmt.Errorf("%s: %w", subject.name, err)
		}
	}
	for range o.rounds {
		for i, subject := range subjects {
			x, err := drive(ctx, subject, s, o.duration)
			if err != nil {
				return cell{}, fmt.Errorf("%s: %w", subject.name, err)
			}
			samples[i] = append(samples[i], x)
		}
	}
	return newCell(s, subjects, samples), nil
}
