package instance_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/warder-gateway/warder/controlplane/internal/instance"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/seal"
)

func keyring(t *testing.T, b byte) *seal.Vault {
	t.Helper()
	keys, err := seal.NewVault(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestReplicasThatStartTogetherShareOneSetOfSecrets(t *testing.T) {
	s, keys := storetest.New(t), keyring(t, 1)
	loaded := make([]*instance.Secrets, 8)
	var wg sync.WaitGroup
	for i := range loaded {
		wg.Go(func() {
			var err error
			if loaded[i], err = instance.Load(t.Context(), s, keys); err != nil {
				t.Errorf("load: %v", err)
			}
		})
	}
	wg.Wait()
	for _, got := range loaded {
		if !bytes.Equal(got.Pepper, loaded[0].Pepper) || !bytes.Equal(got.DigestKey, loaded[0].DigestKey) ||
			!got.Signing.Equal(loaded[0].Signing) {
			t.Fatal("replicas have different secrets")
		}
	}
	if bytes.Equal(loaded[0].Pepper, loaded[0].DigestKey) || len(loaded[0].Pepper) != 32 {
		t.Error("pepper and digest key are not two keys of 32 bytes")
	}
}

func TestAnotherKeyEncryptionKeyIsRefusedAndOverwritesNothing(t *testing.T) {
	s := storetest.New(t)
	first, err := instance.Load(t.Context(), s, keyring(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	_, err = instance.Load(t.Context(), s, keyring(t, 2))
	if fault.KindOf(err) != fault.Precondition || !strings.Contains(fault.Text(err), "restore the kek file") {
		t.Fatalf("error: %v", err)
	}
	again, err := instance.Load(t.Context(), s, keyring(t, 1))
	if err != nil || !bytes.Equal(again.Pepper, first.Pepper) {
		t.Errorf("after it: %v", err)
	}
}

// A control plane that is pointed at the database of another installation must not
// leave a key behind that looks like the right one.
func TestAKeyIsNotMadeForADatabaseThatHasOne(t *testing.T) {
	s := storetest.New(t)
	first := filepath.Join(t.TempDir(), "first", "kek")
	makeDir := func(path string) func() error {
		return func() error { return os.MkdirAll(filepath.Dir(path), 0o700) }
	}
	keys, err := instance.OpenKeys(t.Context(), s, first, makeDir(first))
	if err != nil {
		t.Fatalf("a new installation: %v", err)
	}
	if _, err := instance.Load(t.Context(), s, keys); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(t.TempDir(), "second", "kek")
	_, err = instance.OpenKeys(t.Context(), s, second, makeDir(second))
	if !fault.Is(err, fault.Precondition) || fault.Code(err) != instance.CodeKey || !strings.Contains(fault.Text(err), second) {
		t.Errorf("without the key: %v", err)
	}
	if _, err := os.Stat(filepath.Dir(second)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
	if _, err := instance.OpenKeys(t.Context(), s, first, makeDir(first)); err != nil {
		t.Errorf("with the key: %v", err)
	}
}
