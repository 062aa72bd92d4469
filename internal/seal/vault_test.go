package seal_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/warder-gateway/warder/internal/seal"
)

func vault(t testing.TB, keys ...[]byte) *seal.Vault {
	t.Helper()
	v, err := seal.NewVault(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestP14AnEnvelopeOpensInItsPlaceOnlyAndAsItIsOnly(t *testing.T) {
	v := vault(t, key(1))
	sealed, err := v.Seal([]byte("token"), "server", "headers", "42")
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := v.Open(sealed, "server", "headers", "42"); err != nil || string(plain) != "token" {
		t.Fatalf("%q, %v", plain, err)
	}
	for _, context := range [][]string{{"server", "headers", "43"}, {"server", "header", "s42"}, {"server", "headers42"}, {}, {"server", "headers", "42", ""}} {
		if _, err := v.Open(sealed, context...); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("opened at %q: %v", context, err)
		}
	}
	for i := range len(sealed) * 8 {
		changed := bytes.Clone(sealed)
		changed[i/8] ^= 1 << (i % 8)
		if _, err := v.Open(changed, "server", "headers", "42"); !errors.Is(err, seal.ErrOpen) {
			t.Fatalf("opened with bit %d changed: %v", i, err)
		}
	}
	for n := range sealed {
		if _, err := v.Open(sealed[:n], "server", "headers", "42"); !errors.Is(err, seal.ErrOpen) {
			t.Fatalf("opened when cut to %d bytes: %v", n, err)
		}
	}
	again, err := v.Seal([]byte("token"), "server", "headers", "42")
	if err != nil || bytes.Equal(again[5:17], sealed[5:17]) || bytes.Equal(again[17:65], sealed[17:65]) {
		t.Error("two envelopes share a nonce or a data key")
	}
}

func TestTheNewestKeySealsAndOlderOnesOpen(t *testing.T) {
	first, both, second := vault(t, key(1)), vault(t, key(2), key(1)), vault(t, key(2))
	old, err := first.Seal([]byte("x"), "t")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := both.Open(old, "t"); err != nil {
		t.Errorf("what an older key sealed: %v", err)
	}
	renewed, err := both.Seal([]byte("x"), "t")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Open(renewed, "t"); err != nil || seal.KeyOf(renewed) != second.IDs()[0] {
		t.Errorf("sealed with %s: %v", seal.KeyOf(renewed), err)
	}
	if _, err := second.Open(old, "t"); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("opened without its key: %v", err)
	}
}

func TestAFileHasOneKeyALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	made, err := seal.LoadVault(path)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := seal.LoadVault(path); err != nil || again.IDs()[0] != made.IDs()[0] {
		t.Errorf("read again: %v", err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString(base64.StdEncoding.EncodeToString(key(9)) + "\n")
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	if two, err := seal.LoadVault(path); err != nil || len(two.IDs()) != 2 || two.IDs()[0] != made.IDs()[0] {
		t.Errorf("with a second line: %v", err)
	}
	for what, text := range map[string]string{"nothing": "", "a short key": "AAAA", "no base64": "not a key", "the same twice": base64.StdEncoding.EncodeToString(key(1)) + " " + base64.StdEncoding.EncodeToString(key(1))} {
		if _, err := seal.ParseVault(text); err == nil {
			t.Errorf("%s was taken for keys", what)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.LoadVault(path); err == nil {
		t.Error("a file that others can read was taken")
	}
}
