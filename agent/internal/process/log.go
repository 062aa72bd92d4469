package process

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

const (
	// logLines is how many lines are kept; older ones are forgotten.
	logLines = 200
	// logLine is how much of a line is kept, in bytes.
	logLine = 2 << 10
	// rawLine is how much of a line is looked at, which is more, so that no secret is cut in two before it is taken out.
	rawLine = 64 << 10
)

// Log is what a program says besides its messages, redacted. It may be used from many goroutines.
type Log struct {
	redactor redactor
	out      *slog.Logger

	mu    sync.Mutex
	lines []string
}

func newLog(spec *Spec, out *slog.Logger) *Log {
	return &Log{redactor: newRedactor(spec.Environment), out: out}
}

// add takes one line.
func (l *Log) add(raw string) {
	text := l.redactor.line(strings.TrimRight(raw, "\r\n"))
	if text = strings.TrimSpace(text); text == "" {
		return
	}
	if len(text) > logLine {
		text = strings.ToValidUTF8(text[:logLine], "") + "…"
	}
	l.out.Debug("server says", "line", text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == logLines {
		l.lines = append(l.lines[:0], l.lines[1:]...)
	}
	l.lines = append(l.lines, text)
}

// Lines returns a copy of the lines that are kept, oldest first.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// Redact takes the secrets of the program out of a text, and all but its first line.
func (l *Log) Redact(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	return l.redactor.line(text)
}

// last returns the last line for a message, or "".
func (l *Log) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return ""
	}
	return l.lines[len(l.lines)-1]
}

// lineWriter gives whole lines to a function. Of a line it keeps rawLine bytes.
type lineWriter struct {
	take    func(string)
	partial []byte
}

// Write never fails: a program must not stop for the sake of its log.
func (w *lineWriter) Write(p []byte) (int, error) {
	rest := p
	for {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		if room := rawLine - len(w.partial); room > 0 {
			w.partial = append(w.partial, line[:min(len(line), room)]...)
		}
		if !whole {
			return len(p), nil
		}
		w.flush()
		rest = after
	}
}

// flush gives away what stands without a line end.
func (w *lineWriter) flush() {
	if len(w.partial) > 0 {
		w.take(string(w.partial))
		w.partial = w.partial[:0]
	}
}
