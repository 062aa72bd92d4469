package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestMain lets this program play its parts.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		exit(play(role))
	}
	os.Exit(m.Run())
}

// TestEachRowHasAllItsFigures runs what 'make bench' runs, as short as it gets: a
// wrong answer, or one that does not come, ends a run with an error. How fast
// anything is, it does not look at.
func TestEachRowHasAllItsFigures(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "warder")
	if err := build(t.Context(), binary); err != nil {
		t.Fatal(err)
	}
	o := options{
		rounds: 1, duration: 250 * time.Millisecond, // Long enough for a call beside whatever else runs.
		quick: true, binary: binary, settle: time.Millisecond,
		sessions: 60, tools: 400, keys: 50,
	}
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := run(ctx, o, dir, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if err := r.report(&out, ""); err != nil {
		t.Error(err)
	}
	for _, s := range scenarios(true) {
		if !bytes.Contains(out.Bytes(), fmt.Appendf(nil, "\n%s\n", s)) {
			t.Errorf("no row %q", s)
		}
	}
	for _, c := range r.Cells {
		if len(c.Figures) != 3 {
			t.Errorf("%s: figures of %d subjects; want 3", c.scenario, len(c.Figures))
		}
		for _, f := range c.Figures {
			if f.Throughput <= 0 || f.P50 <= 0 || f.P99 < f.P50 {
				t.Errorf("%s: %+v", c.scenario, f)
			}
			if f.Subject != "direct" && f.Mallocs <= 0 {
				t.Errorf("%s: no allocations counted: %+v", c.scenario, f)
			}
		}
		if !c.sound() {
			t.Errorf("%s: a ratio is no number: %+v", c.scenario, c.Ratios)
		}
	}
	bounded := 0
	for _, x := range r.Readings {
		if x.AtLeast != 0 || x.AtMost != 0 {
			bounded++
		}
	}
	if bounded != 16 {
		t.Errorf("%d readings have a target's bound; want 16: %+v", bounded, r.Readings)
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

// sound reports whether the ratios of throughput and allocations, which need no
// time to be there, are.
func (c cell) sound() bool {
	for _, x := range []float64{c.Ratios.Throughput, c.Ratios.ThroughputDirect, c.Ratios.Mallocs} {
		if x <= 0 || math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}

func TestAVerdictIsThatOfTheBound(t *testing.T) {
	for r, want := range map[reading]string{
		{Value: 0.8, AtLeast: 0.8}: "met (at least 0.8)",
		{Value: 0.7, AtLeast: 0.8}: "MISSED (at least 0.8)",
		{Value: 2, AtMost: 2}:      "met (at most 2)",
		{Value: 2.1, AtMost: 2}:    "MISSED (at most 2)",
		{Value: 1}:                 "",
	} {
		if got := r.verdict(); got != want {
			t.Errorf("%+v: %q; want %q", r, got, want)
		}
	}
}

// TestLatencyIsComparedAsAWholeWhereOneAddsNone holds that a node is not called slower for being faster.
func TestLatencyIsComparedAsAWholeWhereOneAddsNone(t *testing.T) {
	rounds := func(micros int64) []sample {
		h := newHistogram()
		if err := h.RecordValue(micros); err != nil {
			t.Fatal(err)
		}
		return []sample{{latency: h}}
	}
	for _, test := range []struct {
		direct, proxy, warder int64
		want                  float64
		whole                 bool
	}{{100, 200, 250, 1.5, false}, {100, 200, 50, 0.25, true}, {600, 400, 200, 0.5, true}, {400, 400, 600, 1.5, true}} {
		got, whole := added([][]sample{rounds(test.direct), rounds(test.proxy), rounds(test.warder)}, sample.p50)
		if got != test.want || whole != test.whole {
			t.Errorf("%+v: %v, whole: %v", test, got, whole)
		}
	}
}

// TestOnlyTheProxyIsForgivenAnAnswerWithoutEnd drives a server that breaks off each fiftieth answer.
func TestOnlyTheProxyIsForgivenAnAnswerWithoutEnd(t *testing.T) {
	answers := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "2")
		if answers++; answers%50 == 0 {
			_, _ = io.WriteString(w, "o")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "ok")
	}))
	defer server.Close()
	calls := work{callers: 1, ready: func(c *connection) error {
		c.request = []byte("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		c.right = func(answer []byte) bool { return string(answer) == "ok" }
		return nil
	}}
	pacer := func() pacer {
		n := 0
		return func() (time.Time, bool) { n++; return time.Now(), n <= 500 }
	}
	for _, forgiving := range []bool{true, false} {
		all, err := connect(server.Listener.Addr().String(), calls)
		if err != nil {
			t.Fatal(err)
		}
		if forgiving {
			all.forgive()
		}
		seen, err := callers(all, pacer())
		all.close()
		switch {
		case forgiving && (err != nil || seen.TotalCount() != 490):
			t.Errorf("forgiven: %v, %d calls", err, seen.TotalCount())
		case !forgiving && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Errorf("not forgiven: %v", err)
		}
	}
}
