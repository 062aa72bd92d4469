package process

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestSecretsAndWhatLooksLikeOneAreTakenOut(t *testing.T) {
	r := newRedactor(map[string]string{
		"TOKEN": "s3cr3t-value", "LONGER": "s3cr3t-value-and-more", "MODE": "dev", "KEY": "first line of a key\nsecond line of a key\n",
	})
	for text, want := range map[string]string{
		"got s3cr3t-value here":                      "got [redacted] here",
		"got s3cr3t-value-and-more here":             "got [redacted] here",
		"dev mode":                                   "dev mode",
		"second line of a key.":                      "[redacted].",
		"Authorization: Bearer abc.def-ghi_jkl":      "Authorization: [redacted] [redacted]",
		"sent bearer abcdefgh12345678 to it":         "sent bearer [redacted] to it",
		"GITHUB_TOKEN=ghp_0123456789abcdefghij":      "GITHUB_TOKEN=[redacted]",
		"using ghp_0123456789abcdefghij":             "using [redacted]",
		"api_key: 'abcd1234'":                        "api_key: '[redacted]'",
		"https://ana:pw@example.com/x":               "https://[redacted]@example.com/x",
		"jwt eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJh.c2ln": "jwt [redacted]",
		"\x1b[31mred\x1b[0m\u202e":                   "[31mred[0m",
		"plain text with a token in it":              "plain text with a token in it",
	} {
		if got := r.line(text); got != want {
			t.Errorf("%q became %q; want %q", text, got, want)
		}
	}
}

func TestTheLogKeepsTheLastLinesOnlyAndCutsNoSecretInTwo(t *testing.T) {
	secret := strings.Repeat("s3cr3t", 10)
	log := newLog(&Spec{Environment: map[string]string{"S": secret}}, slog.New(slog.DiscardHandler))
	w := lineWriter{take: log.add}
	for range logLines {
		io.WriteString(&w, "old\n")
	}
	io.WriteString(&w, strings.Repeat("x", logLine-10)+secret)
	io.WriteString(&w, strings.Repeat("y", rawLine)+"\nlast")
	w.flush()
	lines := log.Lines()
	if len(lines) != logLines || lines[logLines-1] != "last" {
		t.Fatalf("%d lines are kept, the last is %q", len(lines), lines[len(lines)-1])
	}
	if long := lines[logLines-2]; len(long) > logLine+3 || strings.Contains(long, "s3c") {
		t.Errorf("the long line has %d bytes and ends %q", len(long), long[len(long)-20:])
	}
}

func TestPaceGrowsToThirtySecondsAndBeginsAnewAfterASteadyRun(t *testing.T) {
	var p Pace
	now := time.Unix(1_000_000, 0)
	if p.Wait(now) != 0 {
		t.Error("the first start has to wait")
	}
	for _, want := range []int{1, 2, 4, 8, 16, 30, 30} {
		p.Failed(now, 5*time.Second)
		if got := p.Wait(now); got != time.Duration(want)*time.Second {
			t.Fatalf("the wait is %v; want %d s", got, want)
		}
		now = now.Add(p.Wait(now))
		if p.Wait(now) != 0 {
			t.Error("the wait does not end")
		}
	}
	p.Failed(now, steady)
	if got := p.Wait(now); got != time.Second {
		t.Errorf("after a steady run the wait is %v", got)
	}
}
