package filelock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestALockIsHeldOnceAndSaysByWhom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Take(path)
	held, ok := errors.AsType[*HeldError](err)
	if !ok || !strings.HasPrefix(held.Who, fmt.Sprintf("pid %d, since ", os.Getpid())) || !strings.Contains(err.Error(), path) {
		t.Fatalf("the second got %v", err)
	}
	first.Release()
	first.Release()
	again, err := Take(path)
	if err != nil {
		t.Fatalf("after its release: %v", err)
	}
	again.Release()
}

func TestALockThatCannotBeMadeIsNotHeld(t *testing.T) {
	_, err := Take(filepath.Join(t.TempDir(), "none", "lock"))
	if _, held := errors.AsType[*HeldError](err); err == nil || held {
		t.Errorf("got %v", err)
	}
}
