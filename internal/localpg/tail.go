package localpg

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
)

// tailLines is how much of the server's log an error quotes, and tailLine how
// much of one line is kept. What is longer is cut, older is forgotten.
const (
	tailLines = 20
	tailLine  = 4 << 10
)

// refusal begins the line for a client that came before the server was ready.
// That was connectReady, over and over, and its knocking would drown the rest.
const refusal = "FATAL:  the database system is "

// tail takes the server's log, line by line: to slog, and its end to errors.
type tail struct {
	log *slog.Logger

	mu      sync.Mutex
	partial []byte
	lines   []string
}

func newTail(log *slog.Logger) *tail { return &tail{log: log.With("component", "postgres")} }

// Write never fails: a server must not stop for the sake of its log.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rest := p
	for {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		if room := tailLine - len(t.partial); room > 0 {
			t.partial = append(t.partial, line[:min(len(line), room)]...)
		}
		if !whole {
			return len(p), nil
		}
		t.take(strings.TrimRight(string(t.partial), "\r"))
		t.partial, rest = t.partial[:0], after
	}
}

func (t *tail) take(line string) {
	if line == "" || strings.HasPrefix(line, refusal) {
		return
	}
	t.lines = append(t.lines, line)
	if len(t.lines) > tailLines {
		t.lines = t.lines[1:]
	}
	level, text := levelOf(line)
	t.log.Log(context.Background(), level, text)
}

// last returns the end of the log for a message.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == 0 {
		return "its log is empty"
	}
	return "its log ends:\n       " + strings.Join(t.lines, "\n       ")
}

// levelOf reads PostgreSQL's severity off a line. What it calls LOG is of
// interest to whoever debugs the database, no more.
func levelOf(line string) (slog.Level, string) {
	severity, text, ok := strings.Cut(line, ":  ")
	if !ok {
		return slog.LevelDebug, line
	}
	switch severity {
	case "PANIC", "FATAL", "ERROR":
		return slog.LevelError, text
	case "WARNING":
		return slog.LevelWarn, text
	}
	return slog.LevelDebug, line
}
