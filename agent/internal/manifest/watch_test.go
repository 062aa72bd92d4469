package manifest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAChangedFileIsReadAgainAndABrokenOneSaysSo(t *testing.T) {
	name := filepath.Join(t.TempDir(), "agent.yaml")
	write := func(text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("servers: []")
	type state struct {
		file *File
		err  error
	}
	states := make(chan state)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Watch(ctx, name, time.Millisecond, func(file *File, err error) { states <- state{file, err} })
	}()
	for _, c := range []struct {
		text    string
		servers int
		broken  bool
	}{
		{"servers: []", 0, false}, {"servers: [{name: a, command: [x]}]", 1, false}, {"servers: [{name: a}]", 0, true}, {"servers: []\n", 0, false},
	} {
		if c.text != "servers: []" {
			// Renamed into its place, as editors do: nobody sees half of it.
			next := name + ".new"
			if err := os.WriteFile(next, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(next, name); err != nil {
				t.Fatal(err)
			}
		}
		got := <-states
		if (got.err != nil) != c.broken || !c.broken && len(got.file.Servers) != c.servers {
			t.Errorf("%q was read as %+v, %v", c.text, got.file, got.err)
		}
	}
	cancel()
	<-done
}
