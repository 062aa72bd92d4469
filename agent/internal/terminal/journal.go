package terminal

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// KeptLines is how many lines a Journal keeps. Then a new one takes the place of the oldest, and is counted.
	KeptLines = 1000
	// maxLine bounds the text of a line's message and of its attributes, in bytes each; what is longer is cut.
	maxLine = 2 << 10
	// keptErrors is how many warnings and errors are handed on in the end.
	keptErrors = 10
	// recent is how old they may be then.
	recent = time.Minute
)

// Line is one line of a log.
type Line struct {
	Number     uint64 // from 1
	Time       time.Time
	Level      slog.Level
	Message    string
	Attributes string // as slog.TextHandler writes them
}

// Journal is what an agent has logged last. It hands on what it gets to another handler; while it holds it does not, for then
// a view has the screen. It may be used from many goroutines.
type Journal struct {
	next slog.Handler

	mu      sync.Mutex
	lines   []Line // at most twice KeptLines, of which the last KeptLines count
	written uint64
	buffer  bytes.Buffer
	holds   bool
	errors  []held // while it holds: the last, at most keptErrors
}

// held is a record on its way to its handler.
type held struct {
	to     slog.Handler
	record slog.Record
}

// NewJournal returns one that hands on to next, and keeps what next would take.
func NewJournal(next slog.Handler) *Journal { return &Journal{next: next} }

// Handler returns the handler that writes to it.
func (j *Journal) Handler() slog.Handler {
	return &handler{journal: j, next: j.next, text: slog.NewTextHandler(&j.buffer, &slog.HandlerOptions{
		Level: slog.Level(-1 << 16), // What is enabled, next says.
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
				return slog.Attr{} // A Line has them apart.
			}
			return a
		},
	})}
}

// Lines returns the lines that are kept, the oldest first, and how many came before them, unless there is none beyond the
// call that returned mark; then it returns nil. The first mark is 0.
func (j *Journal) Lines(since uint64) (lines []Line, dropped, mark uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.written == since {
		return nil, 0, since
	}
	lines = slices.Clone(j.lines[max(0, len(j.lines)-KeptLines):])
	return lines, j.written - uint64(len(lines)), j.written
}

// Hold has nothing handed on until Release.
func (j *Journal) Hold() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.holds = true
}

// Release ends Hold, and hands on the warnings and errors of the last minute that nobody else has got.
func (j *Journal) Release() {
	j.mu.Lock()
	errors := j.errors
	j.holds, j.errors = false, nil
	j.mu.Unlock()
	for _, e := range errors {
		if time.Since(e.record.Time) > recent {
			continue // It was to be seen, and need not matter any more.
		}
		_ = e.to.Handle(context.Background(), e.record) // There is nobody left to tell.
	}
}

// add keeps a record, and reports whether it is to be handed on.
func (j *Journal) add(ctx context.Context, h *handler, record slog.Record) (on bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.buffer.Reset()
	_ = h.text.Handle(ctx, record) // A buffer takes all.
	j.written++
	if len(j.lines) == 2*KeptLines {
		j.lines = slices.Delete(j.lines, 0, KeptLines)
	}
	j.lines = append(j.lines, Line{
		Number: j.written, Time: record.Time, Level: record.Level, Message: cut(record.Message),
		Attributes: cut(string(bytes.TrimSpace(j.buffer.Bytes()))),
	})
	if j.holds && record.Level >= slog.LevelWarn {
		if len(j.errors) == keptErrors {
			j.errors = slices.Delete(j.errors, 0, 1)
		}
		j.errors = append(j.errors, held{h.next, record.Clone()})
	}
	return !j.holds
}

func cut(text string) string {
	if len(text) <= maxLine {
		return text
	}
	return text[:maxLine] + "…"
}

// handler is a slog.Handler.
type handler struct {
	journal *Journal
	next    slog.Handler
	text    slog.Handler // writes to the journal's buffer, under its lock
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, record slog.Record) error {
	if !h.journal.add(ctx, h, record) {
		return nil
	}
	return h.next.Handle(ctx, record)
}

func (h *handler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return &handler{h.journal, h.next.WithAttrs(attributes), h.text.WithAttrs(attributes)}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.journal, h.next.WithGroup(name), h.text.WithGroup(name)}
}
