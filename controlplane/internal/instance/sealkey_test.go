package instance_test

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/instance"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/fault"
)

const day = 24 * time.Hour

// begin is when the tests' clocks begin.
var begin = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// keep is KeepSealKeys after d.
func keep(t *testing.T, s *store.Store, d time.Duration) []db.SealKey {
	t.Helper()
	if err := instance.KeepSealKeys(t.Context(), s, keyring(t, 1), begin.Add(d)); err != nil {
		t.Fatal(err)
	}
	return held(t, s)
}

// rotate is RotateSealKeys after d.
func rotate(t *testing.T, s *store.Store, d time.Duration, how instance.Rotation) error {
	t.Helper()
	_, err := s.Change(t.Context(), "ana", func(tx *store.Tx) error {
		return instance.RotateSealKeys(t.Context(), tx, keyring(t, 1), begin.Add(d), how)
	})
	return err
}

func held(t *testing.T, s *store.Store) []db.SealKey {
	t.Helper()
	keys, err := s.ListSealKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// wantTurns compares from when on the keys seal.
func wantTurns(t *testing.T, keys []db.SealKey, want ...time.Duration) {
	t.Helper()
	var got []time.Duration
	for _, key := range keys {
		got = append(got, key.SealsFrom.Sub(begin))
	}
	if !slices.Equal(got, want) {
		t.Errorf("keys seal from %v, want %v", got, want)
	}
}

func TestSealKeysFollowOneAnotherWithOverlap(t *testing.T) {
	s := storetest.New(t)
	const second = 30*day + 5*time.Minute
	wantTurns(t, keep(t, s, 0), 0)
	wantTurns(t, keep(t, s, 30*day-time.Second), 0)
	// The next one is there before its time.
	keys := keep(t, s, 30*day)
	wantTurns(t, keys, 0, second)
	for at, want := range map[time.Duration]int{0: 0, 30 * day: 0, second - time.Nanosecond: 0, second: 1, 99 * day: 1, -day: 0} {
		if got := instance.Seals(keys, begin.Add(at)); got != want {
			t.Errorf("after %v key %d seals, want %d", at, got, want)
		}
	}
	// The old one stays until nothing that it sealed can live.
	wantTurns(t, keep(t, s, second+9*day-time.Second), 0, second)
	wantTurns(t, keep(t, s, second+9*day), second)
	wantTurns(t, keep(t, s, second+30*day), second, second+30*day+5*time.Minute)
	// A control plane that was away for long makes up for it with one.
	wantTurns(t, keep(t, s, 500*day), second+30*day+5*time.Minute, 500*day+5*time.Minute)
}

func TestReplicasRotateOnce(t *testing.T) {
	s := storetest.New(t)
	for _, at := range []time.Duration{0, 31 * day} {
		before := len(held(t, s))
		var replicas sync.WaitGroup
		for range 8 {
			replicas.Go(func() {
				if err := instance.KeepSealKeys(t.Context(), s, keyring(t, 1), begin.Add(at)); err != nil {
					t.Error(err)
				}
			})
		}
		replicas.Wait()
		if after := len(held(t, s)); after != before+1 {
			t.Errorf("after %v: %d keys, then %d", at, before, after)
		}
	}
}

func TestRotationByHandLosesNothing(t *testing.T) {
	s := storetest.New(t)
	keep(t, s, 0)
	if err := rotate(t, s, day, instance.Rotation{}); err != nil {
		t.Fatal(err)
	}
	wantTurns(t, held(t, s), 0, day+5*time.Minute)
	err := rotate(t, s, day+time.Minute, instance.Rotation{})
	if !fault.Is(err, fault.Conflict) || !strings.Contains(fault.Text(err), "takes over already, at 2026-11-23T12:05:00Z") {
		t.Errorf("while one waits: %v", err)
	}
	if err := rotate(t, s, day+time.Minute, instance.Rotation{Now: true}); err != nil {
		t.Errorf("now, while one waits: %v", err)
	}
	wantTurns(t, held(t, s), 0, day+time.Minute, day+5*time.Minute)
}

func TestRotationsByHandDoNotPileUpWithoutEnd(t *testing.T) {
	s := storetest.New(t)
	keep(t, s, 0)
	var refused error
	made := 1
	for ; refused == nil && made < 100; made++ {
		refused = rotate(t, s, time.Duration(made)*time.Hour, instance.Rotation{})
	}
	if !fault.Is(refused, fault.Exhausted) || len(held(t, s)) != 16 {
		t.Errorf("%d keys, then: %v", len(held(t, s)), refused)
	}
	// They go in their time, and then there is room.
	if err := rotate(t, s, 10*day, instance.Rotation{}); err != nil {
		t.Errorf("ten days later: %v", err)
	}
}

func TestForgettingDropsEveryOtherKeyAtOnce(t *testing.T) {
	s := storetest.New(t)
	old := keep(t, s, 0)
	if err := rotate(t, s, day, instance.Rotation{Forget: true}); !fault.Is(err, fault.Invalid) {
		t.Errorf("forget alone: %v", err)
	}
	wantTurns(t, held(t, s), 0)
	if err := rotate(t, s, day, instance.Rotation{Now: true, Forget: true}); err != nil {
		t.Fatal(err)
	}
	keys := held(t, s)
	wantTurns(t, keys, day)
	if keys[0].Name == old[0].Name || bytes.Equal(keys[0].Sealed, old[0].Sealed) {
		t.Error("it is the old key")
	}
}

func TestP14SealKeysLieSealed(t *testing.T) {
	s := storetest.New(t)
	keep(t, s, 0)
	keys := keep(t, s, 30*day)
	one, err := instance.OpenSealKey(keyring(t, 1), keys[0])
	if err != nil {
		t.Fatal(err)
	}
	other, err := instance.OpenSealKey(keyring(t, 1), keys[1])
	if err != nil || len(one) != 32 || len(other) != 32 || bytes.Equal(one, other) {
		t.Fatalf("%d and %d bytes: %v", len(one), len(other), err)
	}
	if bytes.Contains(keys[0].Sealed, one[:8]) {
		t.Error("the key is in the row")
	}
	if _, err := instance.OpenSealKey(keyring(t, 2), keys[0]); err == nil {
		t.Error("it opens with another key-encryption key")
	}
	moved := db.SealKey{Name: keys[1].Name, Sealed: keys[0].Sealed}
	if _, err := instance.OpenSealKey(keyring(t, 1), moved); err == nil {
		t.Error("it opens in another row")
	}
}

func TestRotationsAreAuditedAndTakeARevision(t *testing.T) {
	s := storetest.New(t)
	keep(t, s, 0)
	rows, err := s.ReadConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := rotate(t, s, day, instance.Rotation{Now: true, Forget: true}); err != nil {
		t.Fatal(err)
	}
	after, err := s.ReadConfig(t.Context())
	if err != nil || after.Revision != rows.Revision+1 {
		t.Fatalf("revision %d, then %d: %v", rows.Revision, after.Revision, err)
	}
	keep(t, s, 2*day) // Nothing is due.
	if still, err := s.ReadConfig(t.Context()); err != nil || still.Revision != after.Revision {
		t.Errorf("revision %d: %v", still.Revision, err)
	}
}
