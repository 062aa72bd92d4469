package controlplane

import (
	"errors"
	"os"
	"testing"
)

func TestAnUnusedSetupTokenGoesWithTheProcess(t *testing.T) {
	r := start(t, testConfig(t))
	if _, err := os.Stat(r.setupFile()); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.Close()
	if _, err := os.Stat(r.setupFile()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file stays: %v", err)
	}
}
