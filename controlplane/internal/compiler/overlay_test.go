package compiler_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/controlplane/internal/compiler"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
)

func changes(revision int64, actions ...string) (out []db.ConfigChange) {
	for i, action := range actions {
		out = append(out, db.ConfigChange{Revision: revision, Position: int32(i + 1), Action: action, Target: "abcdefghijkl"})
	}
	return out
}

// What is published in a moment is what the compiler would have made: nodes that got
// one need not be told of the other.
func TestTheOverlayMakesTheSetThatACompileWouldMake(t *testing.T) {
	s := secrets(t)
	r := rows(t, s)
	base, err := compiler.Compile(r, s)
	if err != nil {
		t.Fatal(err)
	}
	denies := []db.Deny{
		{Kind: "application", Name: "cursor", Cause: "denial", Reason: "incident"}, {Kind: "application", Name: "cursor", Cause: "disabled"},
		{Kind: "key", Name: "abcdefghijkl", Reason: "lost", Cause: "revoked"},
	}
	overlay := &store.Overlay{
		Epoch: base.Epoch(), Revision: base.Revision() + 2, Denies: denies,
		Changes: append(changes(int64(base.Revision())+1, "application.disable"), changes(int64(base.Revision())+2, "key.revoke")...),
	}
	got, err := compiler.Overlay(base, overlay)
	if err != nil {
		t.Fatal(err)
	}
	r.Revision, r.Keys, r.Denies = overlay.Revision, nil, denies
	want, err := compiler.Compile(r, s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(keysOf(want), keysOf(got)); diff != "" {
		t.Errorf("items (-compiled +overlay):\n%s", diff)
	}
	if got.Digest() != want.Digest() || got.Revision() != want.Revision() {
		t.Errorf("revision %d, digest %x; compiled: %d, %x", got.Revision(), got.Digest(), want.Revision(), want.Digest())
	}
	if again, err := compiler.Overlay(got, &store.Overlay{Epoch: got.Epoch(), Revision: got.Revision(), Denies: denies}); err != nil || again != got {
		t.Errorf("the same overlay again makes another set: %v", err)
	}
	lifted, err := compiler.Overlay(got, &store.Overlay{
		Epoch: got.Epoch(), Revision: got.Revision() + 1, Changes: changes(int64(got.Revision())+1, "denial.remove"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for item := range lifted.Under("deny/") {
		t.Errorf("denied after all was lifted: %v", item)
	}
}

// A set says of no revision that it has what is not in it.
func TestASetWithAnOverlayNeverClaimsMoreThanItHas(t *testing.T) {
	s := secrets(t)
	base, err := compiler.Compile(rows(t, s), s)
	if err != nil {
		t.Fatal(err)
	}
	at := int64(base.Revision())
	denies := []db.Deny{{Kind: "all", Cause: "denial"}}
	for name, tt := range map[string]struct {
		changes []db.ConfigChange
		want    int64
	}{
		"nothing else":                     {append(changes(at+1, "denial.add"), changes(at+2, "denial.add")...), at + 2},
		"a policy after it":                {append(changes(at+1, "denial.add"), changes(at+2, "policy.apply")...), at + 1},
		"a policy before it":               {append(changes(at+1, "policy.apply"), changes(at+2, "denial.add")...), at},
		"a policy in the same transaction": {changes(at+1, "denial.add", "policy.apply"), at},
	} {
		got, err := compiler.Overlay(base, &store.Overlay{Epoch: base.Epoch(), Revision: uint64(at) + 2, Denies: denies, Changes: tt.changes})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, denied := got.Get("deny/all"); !denied || got.Revision() != uint64(tt.want) {
			t.Errorf("%s: denied %t at revision %d; want %d", name, denied, got.Revision(), tt.want)
		}
	}
	if _, err := compiler.Overlay(base, &store.Overlay{Epoch: "another", Denies: denies}); err == nil {
		t.Error("rows of another epoch were laid over the set")
	}
}
