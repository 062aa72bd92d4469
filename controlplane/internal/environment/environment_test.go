package environment

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/seal"
)

// TestAnEnvironmentOpensForItsServerAlone: what was sealed for one server is of no use
// in the row of another.
func TestAnEnvironmentOpensForItsServerAlone(t *testing.T) {
	keys, err := seal.NewVault(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"TOKEN": "CANARY", "EMPTY": ""}
	sealed, err := Seal(keys, "git", want)
	if err != nil || bytes.Contains(sealed, []byte("CANARY")) || bytes.Contains(sealed, []byte("TOKEN")) {
		t.Fatalf("%q, %v", sealed, err)
	}
	got, err := Open(keys, "git", sealed)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := Open(keys, "other", sealed); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("for another server: %v", err)
	}
	if none, err := Seal(keys, "git", nil); none != nil || err != nil {
		t.Errorf("of nothing: %q, %v", none, err)
	}
}
