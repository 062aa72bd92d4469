package login

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
)

// cheap keeps tests fast; the real costs are tested once.
var cheap = params{memory: 64, time: 1, threads: 1}

func TestP15_CurrentCostsAreAtLeastTheMinimum(t *testing.T) {
	hash, err := NewHasher().Hash(t.Context(), "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	if want := "$argon2id$v=19$m=19456,t=2,p=1$"; !strings.HasPrefix(hash, want) {
		t.Fatalf("hash %q does not begin with %q", hash, want)
	}
}

func TestVerifyTellsRightFromWrong(t *testing.T) {
	h := newHasher(cheap)
	hash, err := h.Hash(t.Context(), "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	dearer := newHasher(params{memory: 128, time: 1, threads: 1})
	for _, c := range []struct {
		name           string
		hasher         *Hasher
		hash, password string
		ok, stale      bool
	}{
		{"right", h, hash, "correct horse battery", true, false},
		{"wrong", h, hash, "correct horse batterz", false, false},
		{"empty", h, hash, "", false, false},
		{"no hash", h, "", "correct horse battery", false, false},
		{"right, with old costs", dearer, hash, "correct horse battery", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ok, stale, err := c.hasher.Verify(t.Context(), c.hash, c.password, false)
			if err != nil || ok != c.ok || stale != c.stale {
				t.Fatalf("Verify = %t, %t, %v; want %t, %t", ok, stale, err, c.ok, c.stale)
			}
		})
	}
}

func TestHashRefusesLengths(t *testing.T) {
	h := newHasher(cheap)
	for _, password := range []string{"", "elevenbytes", strings.Repeat("a", MaxPassword+1)} {
		if _, err := h.Hash(t.Context(), password); !fault.Is(err, fault.Invalid) {
			t.Errorf("Hash of %d bytes = %v, want invalid", len(password), err)
		}
	}
}

func TestP15_WhatEverybodyGuessesFirstIsRefused(t *testing.T) {
	h := newHasher(cheap)
	for _, guess := range []string{
		"password1234", "P@ssw0rd2026!!", "123456789012", "aaaaaaaaaaaa", "abababababab", "qwertyuiop12", "Administrator1", "changeme-changeme",
	} {
		if _, err := h.Hash(t.Context(), guess); !fault.Is(err, fault.Invalid) || strings.Contains(fault.Text(err), guess) {
			t.Errorf("Hash(%q) = %v, want invalid", guess, err)
		}
	}
	for _, good := range []string{"correct horse battery", "a password nobody has", "Tr0ub4dor&3xyz"} {
		if _, err := h.Hash(t.Context(), good); err != nil {
			t.Errorf("Hash(%q) = %v", good, err)
		}
	}
}

// T-42: guessers who hold every turn do not keep out who is known.
func TestT42_ATurnIsKeptForKnownDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(cheap)
		for range hashSlots {
			h.slots <- struct{}{}
		}
		begun := time.Now()
		if _, _, err := h.Verify(t.Context(), "", password, true); err != nil || time.Since(begun) > 0 {
			t.Fatalf("known device: %v after %v", err, time.Since(begun))
		}
		if _, _, err := h.Verify(t.Context(), "", password, false); !fault.Is(err, fault.Exhausted) {
			t.Fatalf("unknown device = %v, want exhausted", err)
		}
	})
}

func TestDamagedHashMatchesNothing(t *testing.T) {
	h := newHasher(cheap)
	good, err := h.Hash(t.Context(), "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []string{
		"$", "$argon2i" + strings.TrimPrefix(good, "$argon2id"),
		strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=64", "m=4294967295", 1),
		strings.Replace(good, "m=64", "m=-1", 1),
		strings.Replace(good, "t=1", "t=4000", 1),
		strings.Replace(good, "p=1", "p=0", 1),
		strings.Replace(good, ",p=1", "", 1),
		good[:len(good)-2], good + "$x", good + "=",
	} {
		ok, _, err := h.Verify(t.Context(), hash, "correct horse battery", false)
		if ok || err == nil {
			t.Errorf("Verify against %q = %t, %v; want an error", hash, ok, err)
		}
	}
}

// T-42: a flood of sign-ins takes neither the memory nor the cores.
func TestT42_HashingWaitsItsTurnAndGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(cheap)
		for range hashSlots {
			h.slots <- struct{}{}
		}
		if _, err := h.Hash(t.Context(), "correct horse battery"); !fault.Is(err, fault.Exhausted) {
			t.Fatalf("Hash without a free slot = %v, want exhausted", err)
		}
		<-h.slots
		if _, err := h.Hash(t.Context(), "correct horse battery"); err != nil {
			t.Fatalf("Hash with a free slot: %v", err)
		}
	})
}

func TestSetupTokenKeepsItsSecret(t *testing.T) {
	token := NewSetupToken(start)
	if s := token.String() + token.LogValue().String(); strings.Contains(s, token.Reveal(start)) {
		t.Fatal("the token shows its secret")
	}
	var none *SetupToken
	if none.Reveal(start) != "" || none.matches("", start) {
		t.Fatal("a nil token matches something")
	}
}

var errBroken = errors.New("broken")
