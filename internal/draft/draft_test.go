package draft_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/draft"
)

// holds fails unless a directory has exactly these files, all for this user's eyes.
func holds(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got[entry.Name()] = string(content)
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
			t.Errorf("%s: %v, %v", entry.Name(), info, err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReplaceTakesTheNameAndPlaceLeavesItToWhoWasFirst(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, step := range []struct {
		write func(string, []byte) error
		text  string
		want  string
	}{
		{draft.Place, "first", "first"},
		{draft.Place, "second", "first"},
		{draft.Replace, "third", "third"},
		{draft.Replace, "", ""},
	} {
		if err := step.write(path, []byte(step.text)); err != nil {
			t.Fatalf("%q: %v", step.text, err)
		}
		holds(t, dir, map[string]string{"file": step.want})
	}
}

func TestUntilADraftIsSettledTheFileIsAsBefore(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := draft.Replace(path, []byte("before")); err != nil {
		t.Fatal(err)
	}
	f, err := draft.Begin(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, map[string]string{"file": "before", filepath.Base(f.Name()): "half"})
	f.Discard()
	holds(t, dir, map[string]string{"file": "before"})
}

func TestADraftThatCannotTakeTheNameLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := draft.Replace(path, []byte("text")); err == nil {
		t.Error("a directory is replaced")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, map[string]string{})
	if err := draft.Replace(filepath.Join(path, "file"), nil); !os.IsNotExist(err) {
		t.Errorf("%v; want %v", err, fs.ErrNotExist)
	}
}

func TestOfManyWhoPlaceAFileOneWins(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	var all sync.WaitGroup
	seen := make([]string, 16)
	for i := range seen {
		all.Go(func() {
			if err := draft.Place(path, []byte{byte('a' + i)}); err != nil {
				t.Error(err)
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Error(err)
			}
			seen[i] = string(content)
		})
	}
	all.Wait()
	for i := range seen {
		if seen[i] != seen[0] || len(seen[i]) != 1 {
			t.Fatalf("they read %q", seen)
		}
	}
	holds(t, dir, map[string]string{"file": seen[0]})
}
