package seal_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/seal"
)

func key(fill byte) []byte { return bytes.Repeat([]byte{fill}, 32) }

func ring(t testing.TB, keys ...[]byte) *seal.Keyring {
	t.Helper()
	ring, err := seal.NewKeyring(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func mustSeal(t testing.TB, ring *seal.Keyring, plaintext string, context ...string) []byte {
	t.Helper()
	sealed, err := ring.Seal([]byte(plaintext), context...)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestP14SealedValueOpensInItsPlaceOnly(t *testing.T) {
	ring := ring(t, key(1))
	contexts := [][]string{
		{"server", "headers", "42"}, {"server", "headers", "43"}, {"server", "header", "s42"}, {"serverheaders42"},
		{"server", "headers", "42", ""}, {"", "server", "headers", "42"}, {"server", "headers42"}, {}, {""},
	}
	for i, sealedFor := range contexts {
		sealed := mustSeal(t, ring, "token", sealedFor...)
		for j, openedFor := range contexts {
			plaintext, err := ring.Open(sealed, openedFor...)
			switch {
			case i == j && (err != nil || string(plaintext) != "token"):
				t.Errorf("%q does not open in its place: %v", sealedFor, err)
			case i != j && (!errors.Is(err, seal.ErrOpen) || plaintext != nil):
				t.Errorf("%q opens as %q", sealedFor, openedFor)
			}
		}
	}
}

func TestP14EveryChangedBitIsNoticed(t *testing.T) {
	ring := ring(t, key(1))
	sealed := mustSeal(t, ring, "a secret of some length", "a", "b")
	for i := range sealed {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			if plaintext, err := ring.Open(changed, "a", "b"); !errors.Is(err, seal.ErrOpen) || plaintext != nil {
				t.Fatalf("byte %d, bit %d: opens", i, bit)
			}
		}
	}
	for n := range sealed {
		if _, err := ring.Open(sealed[:n], "a", "b"); !errors.Is(err, seal.ErrOpen) {
			t.Fatalf("the first %d bytes open", n)
		}
	}
	if _, err := ring.Open(append(bytes.Clone(sealed), 0), "a", "b"); !errors.Is(err, seal.ErrOpen) {
		t.Error("opens with a byte more")
	}
}

func TestP14SealedFormGivesNothingAway(t *testing.T) {
	ring := ring(t, key(1))
	one, two := mustSeal(t, ring, "the same token", "x"), mustSeal(t, ring, "the same token", "x")
	if bytes.Equal(one, two) {
		t.Error("equal values look equal")
	}
	if bytes.Contains(one, []byte("token")) || bytes.Contains(one, key(1)[:8]) {
		t.Error("the sealed form has the secret or the key in it")
	}
	if len(one) != len("the same token")+seal.Overhead {
		t.Errorf("%d bytes", len(one))
	}
	empty := mustSeal(t, ring, "", "x")
	if plaintext, err := ring.Open(empty, "x"); err != nil || len(plaintext) != 0 {
		t.Errorf("empty: %q, %v", plaintext, err)
	}
}

func TestKeysFollowOneAnother(t *testing.T) {
	before := ring(t, key(1))
	during := ring(t, key(2), key(1))
	after := ring(t, key(2))
	old, new := mustSeal(t, before, "x"), mustSeal(t, during, "x")
	for why, test := range map[string]struct {
		ring   *seal.Keyring
		sealed []byte
		opens  bool
	}{
		"old by old": {before, old, true}, "old by both": {during, old, true}, "old by new": {after, old, false},
		"new by old": {before, new, false}, "new by both": {during, new, true}, "new by new": {after, new, true},
	} {
		if _, err := test.ring.Open(test.sealed); (err == nil) != test.opens {
			t.Errorf("%s: %v", why, err)
		}
	}
	for why, keys := range map[string][][]byte{
		"none": {}, "short": {key(1)[:31]}, "long": {append(key(1), 1)}, "twice": {key(1), key(1)},
	} {
		if _, err := seal.NewKeyring(keys...); err == nil {
			t.Errorf("%s: accepted", why)
		}
	}
}

func TestLedRingSealsWithTheKeyNamedAndOpensAll(t *testing.T) {
	both := ring(t, key(1), key(2))
	for i, alone := range []*seal.Keyring{ring(t, key(1)), ring(t, key(2))} {
		sealed := mustSeal(t, both.Led(i), "x")
		if _, err := alone.Open(sealed); err != nil {
			t.Errorf("key %d did not seal: %v", i, err)
		}
		if _, err := both.Led(1 - i).Open(sealed); err != nil {
			t.Errorf("what key %d sealed does not open when another leads: %v", i, err)
		}
	}
}

func TestP14MemoryIsUsedAgainWithoutATrace(t *testing.T) {
	ring := ring(t, key(1))
	var context seal.Context
	var sealed, plain []byte
	for i, place := range [][]string{{"a long part of a context", "b"}, {"a"}, nil, {"a", "b"}} {
		context.Set(place...)
		var err error
		if sealed, err = ring.SealTo(append(sealed[:0], "head"...), []byte("token"), &context); err != nil {
			t.Fatal(err)
		}
		if plain, err = ring.OpenTo(append(plain[:0], "is: "...), sealed[4:], &context); err != nil || string(plain) != "is: token" {
			t.Fatalf("place %d: %q, %v", i, plain, err)
		}
		if _, err := ring.Open(sealed[4:], place...); err != nil || string(sealed[:4]) != "head" {
			t.Errorf("place %d: not what Open opens: %v", i, err)
		}
		context.Set("elsewhere")
		if opened, err := ring.OpenTo(plain[:0], sealed[4:], &context); !errors.Is(err, seal.ErrOpen) || opened != nil {
			t.Errorf("place %d: opens elsewhere", i)
		}
		plain = []byte{}
	}
	var none seal.Context // Is that of no parts without Set.
	if sealed, err := ring.SealTo(nil, []byte("x"), &none); err != nil {
		t.Error(err)
	} else if _, err := ring.Open(sealed); err != nil {
		t.Error(err)
	}
}

func TestKeyFileIsMadeOnceAndForItsOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seal.key")
	const processes = 16
	rings := make([]*seal.Keyring, processes)
	var all sync.WaitGroup
	for i := range processes {
		all.Go(func() {
			made, err := seal.LoadOrCreate(path)
			if err != nil {
				t.Error(err)
				return
			}
			rings[i] = made
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	sealed := mustSeal(t, rings[0], "x")
	for i, other := range rings {
		if _, err := other.Open(sealed); err != nil {
			t.Errorf("process %d has another key", i)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() != 32 || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("drafts are left: %v, %v", entries, err)
	}
	other, err := seal.LoadOrCreate(filepath.Join(t.TempDir(), "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(sealed); err == nil {
		t.Error("two files hold one key")
	}
}

func TestKeyFileInDoubtIsRefusedAndLeftAsItIs(t *testing.T) {
	for why, test := range map[string]struct {
		content []byte
		mode    os.FileMode
		advice  string
	}{
		"readable by the group":   {key(1), 0o640, "chmod 600"},
		"readable by all":         {key(1), 0o604, "chmod 600"},
		"writable by the group":   {key(1), 0o620, "chmod 600"},
		"too short":               {key(1)[:31], 0o600, "exactly 32 bytes"},
		"too long":                {append(key(1), '\n'), 0o600, "exactly 32 bytes"},
		"empty, as after a crash": {nil, 0o600, "exactly 32 bytes"},
	} {
		path := filepath.Join(t.TempDir(), "seal.key")
		if err := os.WriteFile(path, test.content, test.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, test.mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		_, err := seal.LoadOrCreate(path)
		if !fault.Is(err, fault.Precondition) || !strings.Contains(fault.Text(err), test.advice) {
			t.Errorf("%s: %v", why, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, test.content) {
			t.Errorf("%s: the file has changed: %v", why, err)
		}
	}
	if _, err := seal.LoadOrCreate(t.TempDir()); !fault.Is(err, fault.Precondition) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := seal.LoadOrCreate(filepath.Join(t.TempDir(), "missing", "seal.key")); err == nil {
		t.Error("a missing directory is made up")
	}
}

func FuzzOpenIsTotal(f *testing.F) {
	fuzzed := ring(f, key(1))
	f.Add(mustSeal(f, fuzzed, "x", "a"))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if plaintext, err := fuzzed.Open(sealed, "b"); !errors.Is(err, seal.ErrOpen) || plaintext != nil {
			t.Errorf("%x opens", sealed)
		}
	})
}

// TestANonceIsLongEnoughToBeDrawnAtRandom holds the arithmetic of the package
// comment: what a fleet seals with one key is not counted.
func TestANonceIsLongEnoughToBeDrawnAtRandom(t *testing.T) {
	ring := ring(t, key(1))
	const head, tag = 5, 16
	seen := map[string]bool{}
	for range 1000 {
		sealed := mustSeal(t, ring, "")
		nonce := sealed[head : len(sealed)-tag]
		if len(nonce) != 24 {
			t.Fatalf("a nonce of %d bits: two of 2^32 messages would share one with more than 2^-32", 8*len(nonce))
		}
		// Neither half may be a counter, or the same each time.
		for _, half := range [][]byte{nonce[:12], nonce[12:]} {
			if seen[string(half)] {
				t.Fatal("a half of a nonce came twice in a thousand")
			}
			seen[string(half)] = true
		}
	}
}
