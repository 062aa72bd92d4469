package terminal

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// allLevels enables what its handler would not.
type allLevels struct{ slog.Handler }

func (allLevels) Enabled(context.Context, slog.Level) bool { return true }

func TestAJournalKeepsTheLastLines(t *testing.T) {
	var out bytes.Buffer
	journal := NewJournal(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))
	log := slog.New(journal.Handler()).With("server", "a b").WithGroup("g")
	log.Debug("quiet")
	log.Warn("loud\nnews", "level", 7, "long", strings.Repeat("x", 2*maxLine))
	lines, dropped, mark := journal.Lines(0)
	if len(lines) != 1 || dropped != 0 || lines[0].Number != 1 || lines[0].Level != slog.LevelWarn || lines[0].Message != "loud\nnews" || lines[0].Time.IsZero() {
		t.Fatalf("kept %d, %+v", dropped, lines)
	}
	if a := lines[0].Attributes; !strings.HasPrefix(a, `server="a b" g.level=7 g.long=xxx`) || len(a) > maxLine+10 {
		t.Errorf("the attributes are %q", a)
	}
	if again, _, _ := journal.Lines(mark); again != nil {
		t.Error("nothing is new, and yet it is told again")
	}
	if !strings.Contains(out.String(), "g.level=7") || strings.Contains(out.String(), "quiet") {
		t.Errorf("handed on: %q", out.String())
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range KeptLines {
				log.Info("line", "i", i)
			}
		})
	}
	all.Wait()
	lines, dropped, _ = journal.Lines(mark)
	if len(lines) != KeptLines || dropped != 3*KeptLines+1 || lines[0].Number != dropped+1 || lines[KeptLines-1].Number != 4*KeptLines+1 {
		t.Errorf("%d lines, %d dropped, from %d", len(lines), dropped, lines[0].Number)
	}
}

func TestAJournalThatHoldsHandsOnlyTheLastErrorsOn(t *testing.T) {
	var out bytes.Buffer
	journal := NewJournal(slog.NewTextHandler(&out, nil))
	log := slog.New(journal.Handler()).With("server", "files")
	journal.Hold()
	for i := range 2 * keptErrors {
		log.Info("news")
		log.Error("it broke", "i", fmt.Sprintf("<%d>", i))
	}
	if out.Len() != 0 {
		t.Fatalf("it was written while a view has the screen: %q", out.String())
	}
	journal.Release()
	said := out.String()
	if strings.Count(said, "it broke") != keptErrors || strings.Contains(said, "news") || strings.Contains(said, fmt.Sprintf("<%d>", keptErrors-1)) ||
		!strings.Contains(said, fmt.Sprintf("<%d>", keptErrors)) || !strings.Contains(said, "server=files") {
		t.Errorf("in the end it says %q", said)
	}
	log.Info("later")
	journal.Release()
	if added := strings.TrimPrefix(out.String(), said); strings.Count(added, "\n") != 1 || !strings.Contains(added, "later") {
		t.Errorf("afterwards it says %q", added)
	}
}

func TestWhatWasWrongLongAgoIsNotSaidInTheEnd(t *testing.T) {
	var out bytes.Buffer
	journal := NewJournal(slog.NewTextHandler(&out, nil))
	journal.Hold()
	for message, age := range map[string]time.Duration{"long ago": recent + time.Second, "just now": time.Second} {
		if err := journal.Handler().Handle(t.Context(), slog.NewRecord(time.Now().Add(-age), slog.LevelWarn, message, 0)); err != nil {
			t.Fatal(err)
		}
	}
	journal.Release()
	if said := out.String(); strings.Contains(said, "long ago") || !strings.Contains(said, "just now") {
		t.Errorf("in the end it says %q", said)
	}
}
