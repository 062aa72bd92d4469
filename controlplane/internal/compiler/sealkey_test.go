package compiler_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/compiler"
	"github.com/warder-gateway/warder/controlplane/internal/instance"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// rotated returns the rows of a store in which a key seals and another waits.
func rotated(t *testing.T, s *store.Store, secrets compiler.Secrets, at time.Time) *store.Rows {
	t.Helper()
	if err := instance.KeepSealKeys(t.Context(), s, secrets.Keys, at); err != nil {
		t.Fatal(err)
	}
	_, err := s.Change(t.Context(), "ana", func(tx *store.Tx) error {
		return instance.RotateSealKeys(t.Context(), tx, secrets.Keys, at, instance.Rotation{})
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.ReadConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func settingsOf(t *testing.T, set *snapshot.Set) *snapshotv1.Settings {
	t.Helper()
	for _, item := range set.All() {
		if settings := item.GetSettings(); settings != nil {
			return settings
		}
	}
	t.Fatal("the set has no settings")
	return nil
}

func TestSealKeysReachNodesBeforeTheirTime(t *testing.T) {
	s, at := secrets(t), time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	rows := rotated(t, storetest.New(t), s, at)
	set, err := compiler.Compile(rows, s)
	if err != nil {
		t.Fatal(err)
	}
	keys := settingsOf(t, set).GetSealKeys()
	if len(keys) != 2 || len(keys[0].GetKey()) != 32 || bytes.Equal(keys[0].GetKey(), keys[1].GetKey()) {
		t.Fatalf("%d keys", len(keys))
	}
	from := []*timestamppb.Timestamp{keys[0].GetSealsFrom(), keys[1].GetSealsFrom()}
	want := []*timestamppb.Timestamp{timestamppb.New(at), timestamppb.New(at.Add(5 * time.Minute))}
	if diff := cmp.Diff(want, from, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	again, err := compiler.Compile(rows, s)
	if err != nil || again.Digest() != set.Digest() {
		t.Errorf("the same rows give another digest: %v", err)
	}
}

func TestASealKeyThatDoesNotOpenIsAnError(t *testing.T) {
	s := secrets(t)
	rows := rotated(t, storetest.New(t), s, time.Now())
	rows.SealKeys[0].Sealed[20] ^= 1
	if _, err := compiler.Compile(rows, s); err == nil || !strings.Contains(err.Error(), rows.SealKeys[0].Name) {
		t.Errorf("error: %v", err)
	}
}

// Keys that were forgotten in an emergency are forgotten also where the policy
// does not compile.
func TestRestrictHasTheSealKeysOfTheRows(t *testing.T) {
	s := secrets(t)
	rows := rotated(t, storetest.New(t), s, time.Now())
	last, err := compiler.Compile(rows, s)
	if err != nil {
		t.Fatal(err)
	}
	rows.SealKeys = rows.SealKeys[1:]
	restricted, err := compiler.Restrict(last, rows, s)
	if err != nil {
		t.Fatal(err)
	}
	before, after := settingsOf(t, last), settingsOf(t, restricted)
	want := &snapshotv1.Settings{KeyPepper: before.GetKeyPepper(), DigestKey: before.GetDigestKey(), SealKeys: before.GetSealKeys()[1:]}
	if diff := cmp.Diff(want, after, protocmp.Transform()); diff != "" || len(before.GetSealKeys()) != 2 {
		t.Error(diff)
	}
	// One that does not open must not hold up a revocation.
	rows.SealKeys[0].Sealed = []byte("broken")
	restricted, err = compiler.Restrict(last, rows, s)
	if err != nil || len(settingsOf(t, restricted).GetSealKeys()) != 2 {
		t.Errorf("with a key that does not open: %v", err)
	}
}
