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
// After the calls come what else a target speaks of: what audit costs, lists over HTTP, the memory
// of sessions and streams, and calls while large snapshots are applied. Each has
// its baseline from the same run.
//
// Absolute figures mean nothing elsewhere; quote the ratios.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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

	// How much there is of what the rows beyond calls are about.
	sessions    int // held at once, without a stream and with one
	tools, keys int // in the large snapshot
	settle      time.Duration
}

// Sizes and times that the targets speak of; the test has smaller ones.
var usual = options{sessions: 1000, tools: 20_000, keys: 20_000, settle: 2 * time.Second}

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		exit(play(role))
	}
	o := usual
	flag.IntVar(&o.rounds, "rounds", 5, "interleaved rounds of each case")
	flag.BoolVar(&o.quick, "quick", false, "a few scenarios only")
	flag.DurationVar(&o.duration, "duration", time.Second, "length of one round")
	flag.StringVar(&o.json, "json", "", "write the figures to this file as well")
	flag.StringVar(&o.profile, "profile", "", "write a CPU profile of the node, taken under load, to this file")
	flag.StringVar(&o.match, "match", "", "only rows whose name has this text, for example '16 callers, 16384', or one of audit, lists, memory, snapshots, starts; the profile is of the last scenario")
	flag.StringVar(&o.binary, "warder", "", "the binary to measure (default: build it)")
	flag.Parse()
	if pinned, err := pinSelf(); err != nil {
		exit(err)
	} else if pinned {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(runAndReport(ctx, o))
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
	// Standard says that the echo server is one of net/http, and not the cheap one
	// of this program.
	Standard bool `json:"net_http_echo,omitempty"`
}

func (s scenario) String() string {
	text := fmt.Sprintf("%s, %s, %d callers, %d bytes", s.Era, s.Answer, s.Callers, s.Bytes)
	if s.Standard {
		text += ", echo server of net/http"
	}
	if s.Rate > 0 {
		text += fmt.Sprintf(", %.0f calls/s", s.Rate)
	}
	return text
}

// server is the slug of the echo server that plays a scenario.
func (s scenario) server() string {
	if s.Standard {
		return s.Era + "-" + s.Answer + standardSuffix
	}
	return s.Era + "-" + s.Answer
}

// path is where the echo server plays it.
func (s scenario) path() string {
	if s.Standard {
		return standardPrefix + "/" + s.Era + "/" + s.Answer
	}
	return "/" + s.Era + "/" + s.Answer
}

// scenarios are all cells of the closed loop, and quick ones for a look.
func scenarios(quick bool) []scenario {
	var all []scenario
	for _, era := range []string{"legacy", "modern"} {
		all = append(all, scenario{Era: era, Answer: "json", Callers: 1, Bytes: 256},
			scenario{Era: era, Answer: "json", Callers: 16, Bytes: 256, Standard: true})
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

// runAndReport measures all that is asked for, and says what came out.
func runAndReport(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "warder-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.binary == "" {
		o.binary = filepath.Join(dir, "warder")
		if err := build(ctx, o.binary); err != nil {
			return err
		}
	}
	r, err := run(ctx, o, dir, os.Stdout)
	if err != nil {
		return err
	}
	return r.report(os.Stdout, o.json)
}

// build builds a binary that is measured, with flags of go build.
func build(ctx context.Context, binary string, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-o", binary}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "github.com/warder-gateway/warder/cmd/warder")...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=2")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build warder: %w\n%s", err, out)
	}
	return nil
}

// run measures, prints as it goes, and returns what came out. It leaves files in
// dir.
func run(ctx context.Context, o options, dir string, out io.Writer) (*result, error) {
	b, err := newBench(o, dir, out)
	if err != nil {
		return nil, err
	}
	defer b.close()
	r := &result{}
	if r.Cells, err = b.calls(ctx); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name    string
		measure func(context.Context, *node) ([]reading, error)
	}{
		{"audit", b.audit}, {"lists", b.lists}, {"memory", b.memory}, {"snapshots", b.snapshots}, {"starts", b.starts},
	} {
		if !o.wants(part.name) {
			continue
		}
		readings, err := b.byItself(ctx, part.name, part.measure)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		printReadings(out, part.name, readings)
		r.Readings = append(r.Readings, readings...)
	}
	return r, nil
}

// byItself measures with a node of its own, so that nothing is left of what was
// measured before.
func (b *bench) byItself(ctx context.Context, name string, measure func(context.Context, *node) ([]reading, error)) ([]reading, error) {
	n, err := b.startNode(name, b.binary)
	if err != nil {
		return nil, err
	}
	defer n.stop()
	return measure(ctx, n)
}

// wants reports whether the rows of a name are asked for.
func (o options) wants(name string) bool { return strings.Contains(name, o.match) }

// calls measures all scenarios: the closed loops, and after the one of 16 callers
// an open loop at half of what it saturated at.
func (b *bench) calls(ctx context.Context) ([]cell, error) {
	var wanted []scenario
	for _, s := range scenarios(b.quick) {
		if b.wants(s.String()) {
			wanted = append(wanted, s)
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	n, err := b.startNode("calls", b.binary)
	if err != nil {
		return nil, err
	}
	defer n.stop()
	var cells []cell
	for _, s := range wanted {
		c, err := b.compare(ctx, s, n)
		if err != nil {
			return nil, err
		}
		cells = append(cells, c)
		if s.Answer != "json" || s.Callers != 16 || s.Bytes != 256 || s.Standard {
			continue
		}
		s.Callers, s.Rate = openCallers, min(c.Figures[plain].Throughput, c.Figures[warder].Throughput)/2
		if c, err = b.compare(ctx, s, n); err != nil {
			return nil, err
		}
		cells = append(cells, c)
	}
	fmt.Fprintf(b.out, "\nmemory after the load: proxy %.1f MiB, warder %.1f MiB\n", b.proxy.resident()/(1<<20), n.resident()/(1<<20))
	if b.profile == "" {
		return cells, nil
	}
	return cells, b.writeProfile(ctx, b.profiled(cells), n)
}

// profiled returns the scenario that a profile is taken of.
func (o options) profiled(cells []cell) scenario {
	if o.match == "" || len(cells) == 0 {
		return scenario{Era: "legacy", Answer: "json", Callers: 16, Bytes: 256}
	}
	return cells[len(cells)-1].scenario
}

// openCallers is how many calls of an open loop may be on their way at once.
const openCallers = 64

// compare runs the rounds of one scenario.
func (b *bench) compare(ctx context.Context, s scenario, n *node) (cell, error) {
	subjects := []*subject{b.direct, b.proxy, &n.subject}
	samples, err := interleave(ctx, b.rounds, b.duration, subjects, s.work)
	if err != nil {
		return cell{}, fmt.Errorf("%s: %w", s, err)
	}
	c := newCell(s, subjects, samples)
	printCell(b.out, c)
	return c, nil
}

// interleave drives each subject in turn, round by round, after a moment to warm
// up. The samples are by subject, and then by round.
func interleave(ctx context.Context, rounds int, d time.Duration, subjects []*subject, works func(*subject) work) ([][]sample, error) {
	samples := make([][]sample, len(subjects))
	for round := range rounds + 1 {
		for i, subject := range subjects {
			if round == 0 {
				if _, err := drive(ctx, subject, works(subject), d/4); err != nil {
					return nil, fmt.Errorf("%s: %w", subject.name, err)
				}
				continue
			}
			x, err := drive(ctx, subject, works(subject), d)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", subject.name, err)
			}
			samples[i] = append(samples[i], x)
		}
	}
	return samples, nil
}
