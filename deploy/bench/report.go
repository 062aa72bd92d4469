package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// figures are the medians of one subject over the rounds of one scenario.
type figures struct {
	Subject    string  `json:"subject"`
	Throughput float64 `json:"calls_per_second"`
	// Spread is (max-min)/median of the throughput over the rounds.
	Spread float64 `json:"spread"`
	P50    float64 `json:"p50_us"`
	P99    float64 `json:"p99_us"`
	CPU    float64 `json:"cpu_us_per_call"`
	// Busy is the share of one core that the subject's process used. Where it is
	// far below one, the load is what limits.
	Busy    float64 `json:"busy"`
	Mallocs float64 `json:"allocations_per_call"`
	Bytes   float64 `json:"bytes_allocated_per_call"`
}

// cell is one scenario's comparison.
type cell struct {
	scenario
	Figures []figures `json:"figures"`
	Ratios  ratios    `json:"ratios"`
	// Void says that the throughput means nothing: it is that of the load.
	Void bool `json:"void,omitempty"`
}

// ratios compare Warder with the proxy, round by round; the median counts. Added
// latency is above that of a direct call in the same round. Where the proxy adds none,
// as may be at a fixed rate, when direct calls share one core with their server, the
// whole latencies are compared: a quotient of what is less than nothing says nothing.
type ratios struct {
	Throughput       float64 `json:"throughput_vs_proxy"`
	ThroughputDirect float64 `json:"throughput_vs_direct"`
	AddedP50         float64 `json:"added_p50_vs_proxy"`
	AddedP99         float64 `json:"added_p99_vs_proxy"`
	WholeP50         bool    `json:"whole_p50,omitempty"`
	WholeP99         bool    `json:"whole_p99,omitempty"`
	CPU              float64 `json:"cpu_vs_proxy"`
	Mallocs          float64 `json:"allocations_vs_proxy"`
}

// The order of the subjects of a cell.
const (
	direct = iota
	plain
	warder
)

func newCell(s scenario, subjects []*subject, samples [][]sample) cell {
	c := cell{scenario: s}
	for i, subject := range subjects {
		c.Figures = append(c.Figures, newFigures(subject.name, samples[i]))
	}
	// The proxy and the node have a core of their own each while it is their turn.
	c.Void = s.Callers > 1 && s.Rate == 0 && (c.Figures[plain].Busy < minBusy || c.Figures[warder].Busy < minBusy)
	round := func(f func(d, p, w sample) float64) float64 {
		return perRound(samples, func(s []sample) float64 { return f(s[direct], s[plain], s[warder]) })
	}
	c.Ratios = ratios{
		Throughput:       round(func(_, p, w sample) float64 { return w.throughput() / p.throughput() }),
		ThroughputDirect: round(func(d, _, w sample) float64 { return w.throughput() / d.throughput() }),
		CPU:              round(func(_, p, w sample) float64 { return w.cpuPerCall() / p.cpuPerCall() }),
		Mallocs:          round(func(_, p, w sample) float64 { return w.perCall(w.mallocs) / p.perCall(p.mallocs) }),
	}
	c.Ratios.AddedP50, c.Ratios.WholeP50 = added(samples, sample.p50)
	c.Ratios.AddedP99, c.Ratios.WholeP99 = added(samples, sample.p99)
	return c
}

// added compares what Warder adds to a latency with what the proxy adds, or the whole of
// it if either adds nothing: a quotient of differences says nothing then, not even by its sign.
func added(samples [][]sample, latency func(sample) float64) (ratio float64, whole bool) {
	least := min(over(samples[plain], latency), over(samples[warder], latency))
	whole = least <= over(samples[direct], latency)
	return perRound(samples, func(s []sample) float64 {
		if whole {
			return latency(s[warder]) / latency(s[plain])
		}
		return (latency(s[warder]) - latency(s[direct])) / (latency(s[plain]) - latency(s[direct]))
	}), whole
}

// latencyRatio is one in a table, with a sign if it is one of whole latencies.
func latencyRatio(ratio float64, whole bool) string {
	if whole {
		return fmt.Sprintf("%.2f =", ratio)
	}
	return fmt.Sprintf("%.2f", ratio)
}

// minBusy is the share of its core that a subject must have used for its
// throughput to be its own.
const minBusy = 0.85

func (s sample) throughput() float64        { return float64(s.calls) / s.elapsed.Seconds() }
func (s sample) quantile(q float64) float64 { return float64(s.latency.ValueAtQuantile(q)) }
func (s sample) p50() float64               { return s.quantile(50) }
func (s sample) p99() float64               { return s.quantile(99) }
func (s sample) perCall(x float64) float64  { return x / float64(s.calls) }

// cpuPerCall is in microseconds.
func (s sample) cpuPerCall() float64 { return s.perCall(float64(s.cpu) / float64(time.Microsecond)) }

// busy is the share of one core.
func (s sample) busy() float64 { return s.cpu.Seconds() / s.elapsed.Seconds() }

func newFigures(name string, samples []sample) figures {
	var throughput []float64
	for _, s := range samples {
		throughput = append(throughput, s.throughput())
	}
	return figures{
		Subject:    name,
		Throughput: median(throughput),
		Spread:     (slices.Max(throughput) - slices.Min(throughput)) / median(throughput),
		P50:        over(samples, sample.p50),
		P99:        over(samples, sample.p99),
		CPU:        over(samples, sample.cpuPerCall),
		Busy:       over(samples, sample.busy),
		Mallocs:    over(samples, func(s sample) float64 { return s.perCall(s.mallocs) }),
		Bytes:      over(samples, func(s sample) float64 { return s.perCall(s.bytes) }),
	}
}

// over is the median of a figure over the rounds.
func over(samples []sample, f func(sample) float64) float64 {
	var all []float64
	for _, s := range samples {
		all = append(all, f(s))
	}
	return median(all)
}

// perRound is the median of what compares subjects within each round.
func perRound(samples [][]sample, f func([]sample) float64) float64 {
	var all []float64
	for round := range samples[0] {
		var one []sample
		for _, subject := range samples {
			one = append(one, subject[round])
		}
		all = append(all, f(one))
	}
	return median(all)
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

func printCell(w io.Writer, c cell) {
	fmt.Fprintf(w, "\n%s\n", c.scenario)
	fmt.Fprintf(w, "  %-8s %12s %8s %10s %10s %12s %6s %10s %10s\n", "", "calls/s", "spread", "p50 µs", "p99 µs", "CPU µs/call", "busy", "allocs", "bytes")
	for _, f := range c.Figures {
		fmt.Fprintf(w, "  %-8s %12.0f %7.0f%% %10.0f %10.0f %12.1f %5.0f%% %10.1f %10.0f\n",
			f.Subject, f.Throughput, 100*f.Spread, f.P50, f.P99, f.CPU, 100*f.Busy, f.Mallocs, f.Bytes)
	}
	r := c.Ratios
	fmt.Fprintf(w, "  warder ÷ proxy: throughput %.2f, added p50 %s, added p99 %s, CPU %.2f, allocations %.2f; warder ÷ direct: throughput %.2f\n",
		r.Throughput, latencyRatio(r.AddedP50, r.WholeP50), latencyRatio(r.AddedP99, r.WholeP99), r.CPU, r.Mallocs, r.ThroughputDirect)
}

// result is what a run found out.
type result struct {
	Cells    []cell    `json:"calls"`
	Readings []reading `json:"readings"`
}

// reading is one figure of what is not a comparison of calls. One with a bound is
// a target's; the others say what it is made of.
type reading struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"` // none: a ratio, or a number of things
	// At most one of the bounds is not 0.
	AtLeast float64 `json:"at_least,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
}

// verdict says whether the bound is kept.
func (r reading) verdict() string {
	switch {
	case r.AtLeast != 0 && r.Value >= r.AtLeast:
		return fmt.Sprintf("met (at least %g)", r.AtLeast)
	case r.AtLeast != 0:
		return fmt.Sprintf("MISSED (at least %g)", r.AtLeast)
	case r.AtMost != 0 && r.Value <= r.AtMost:
		return fmt.Sprintf("met (at most %g)", r.AtMost)
	case r.AtMost != 0:
		return fmt.Sprintf("MISSED (at most %g)", r.AtMost)
	}
	return ""
}

func printReadings(w io.Writer, title string, readings []reading) {
	fmt.Fprintf(w, "\n%s\n", title)
	for _, r := range readings {
		fmt.Fprintf(w, "  %-74s %10.2f %-4s %s\n", r.Name, r.Value, r.Unit, r.verdict())
	}
}

// report prints the ratios of all scenarios together, and writes JSON if asked.
func (r *result) report(w io.Writer, path string) error {
	fmt.Fprintf(w, "\nwarder ÷ httputil.ReverseProxy, medians of interleaved rounds (=: of the whole latency, since one of the two adds none)\n")
	fmt.Fprintf(w, "  %-7s %-6s %8s %8s %8s %12s %10s %10s %8s %12s %10s\n",
		"era", "answer", "callers", "bytes", "rate", "throughput", "added p50", "added p99", "CPU", "allocations", "÷ direct")
	for _, c := range r.Cells {
		rate, throughput, ofDirect := "closed", fmt.Sprintf("%.2f", c.Ratios.Throughput), ""
		if c.Rate > 0 {
			rate, throughput = fmt.Sprintf("%.0f/s", c.Rate), "-"
		}
		if c.Void {
			throughput = "(load) " + throughput
		}
		if c.Standard {
			ofDirect = fmt.Sprintf("%.2f", c.Ratios.ThroughputDirect)
		}
		fmt.Fprintf(w, "  %-7s %-6s %8d %8d %8s %12s %10s %10s %8.2f %12.2f %10s\n", c.Era, c.Answer, c.Callers, c.Bytes, rate, throughput,
			latencyRatio(c.Ratios.AddedP50, c.Ratios.WholeP50), latencyRatio(c.Ratios.AddedP99, c.Ratios.WholeP99), c.Ratios.CPU, c.Ratios.Mallocs, ofDirect)
	}
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
