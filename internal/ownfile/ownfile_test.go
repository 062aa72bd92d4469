package ownfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/ownfile"
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
		{ownfile.Place, "first", "first"},
		{ownfile.Place, "second", "first"},
		{ownfile.Replace, "third", "third"},
		{ownfile.Replace, "", ""},
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
	if err := ownfile.Replace(path, []byte("before")); err != nil {
		t.Fatal(err)
	}
	f, err := ownfile.Begin(path)
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
	if err := ownfile.Replace(path, []byte("text")); err == nil {
		t.Error("a directory is replaced")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, map[string]string{})
	if err := ownfile.Replace(filepath.Join(path, "file"), nil); !os.IsNotExist(err) {
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
			if err := ownfile.Place(path, []byte{byte('a' + i)}); err != nil {
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

func TestReadRefusesWhatOthersMayHaveReadOrReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if _, err := ownfile.Read(path, 8); !os.IsNotExist(err) {
		t.Errorf("no file: %v; want %v", err, fs.ErrNotExist)
	}
	if err := ownfile.Replace(path, []byte("content")); err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int64]string{4: "cont", 7: "content", 8: "content"} {
		if got, err := ownfile.Read(path, limit); string(got) != want || err != nil {
			t.Errorf("%d bytes: %q, %v", limit, got, err)
		}
	}
	if _, err := ownfile.Read(filepath.Dir(path), 8); !fault.Is(err, fault.Precondition) {
		t.Errorf("a directory: %v", err)
	}
	if runtime.GOOS == "windows" {
		return // It has no such bits.
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o602, 0o610, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if got, err := ownfile.Read(path, 8); got != nil || !fault.Is(err, fault.Precondition) {
			t.Errorf("mode %04o: %q, %v", mode, got, err)
		}
	}
}
