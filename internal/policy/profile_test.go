package policy_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func TestCallersWhoLookAlikeShareAProfile(t *testing.T) {
	set := compile(t, rules(t, `  - {name: r, effect: deny, users: [bo], groups: [ops, web], applications: [cursor]}`),
		&snapshotv1.Deny{Kind: snapshotv1.DenyKind_DENY_KIND_KEY, Name: "lost"})
	base := set.Profile(&principal.Principal{User: "ana", Groups: []string{"web", "ops"}, Application: "cursor", KeyID: "a"})
	for why, test := range map[string]struct {
		caller *principal.Principal
		same   bool
	}{
		"another user that no rule names": {&principal.Principal{User: "cleo", Groups: []string{"ops", "web", "web", "hr"}, Application: "cursor", KeyID: "b"}, true},
		"a user that a rule names":        {&principal.Principal{User: "bo", Groups: []string{"web", "ops"}, Application: "cursor"}, false},
		"a group less":                    {&principal.Principal{User: "ana", Groups: []string{"web"}, Application: "cursor"}, false},
		"a role that grants":              {&principal.Principal{User: "ana", Groups: []string{"web", "ops"}, Roles: []string{"viewer"}, Application: "cursor"}, false},
		"a role that nobody knows":        {&principal.Principal{User: "ana", Groups: []string{"web", "ops"}, Roles: []string{"x"}, Application: "cursor"}, true},
		"the name of a group as a role":   {&principal.Principal{User: "ana", Groups: []string{"web"}, Roles: []string{"ops"}, Application: "cursor"}, false},
		"a key that is denied":            {&principal.Principal{User: "ana", Groups: []string{"web", "ops"}, Application: "cursor", KeyID: "lost"}, false},
	} {
		if got := set.Profile(test.caller) == base; got != test.same {
			t.Errorf("%s: same %v, want %v", why, got, test.same)
		}
	}
}

// What a set remembers of callers is bounded; what it answers is not affected.
func TestP13ProfilesBeyondTheBoundAreRightAndForgotten(t *testing.T) {
	const groups = 17 // twice as many combinations as are remembered
	var list []string
	for i := range groups {
		list = append(list, fmt.Sprintf("g%d", i))
	}
	set := compile(t, []*snapshotv1.Rule{
		{Id: "all", Effect: allow, Groups: list},
		{Id: "not-g3", Effect: deny, Groups: []string{"g3"}},
	})
	remembered := 0
	for mask := range 1 << groups {
		caller := &principal.Principal{User: "ana"}
		for i, name := range list {
			if mask&(1<<i) != 0 {
				caller.Groups = append(caller.Groups, name)
			}
		}
		profile := set.Profile(caller)
		if got, want := profile.Decide(&policy.Target{Server: "s", Name: "t", Risk: read}, policy.MethodCall).Allowed(), mask != 0 && mask&(1<<3) == 0; got != want {
			t.Fatalf("groups %v: allowed %v", caller.Groups, got)
		}
		if set.Profile(caller) == profile {
			remembered++
		}
	}
	if want := 1 << 16; remembered != want {
		t.Errorf("%d profiles are remembered, want %d", remembered, want)
	}
}

func TestOneProfileForOneCallerHoweverManyAsk(t *testing.T) {
	set := compile(t, rules(t, `  - {name: r, effect: allow, users: [ana], groups: [web]}`))
	const goroutines = 32
	profiles := make([]*policy.Profile, goroutines)
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() { profiles[i] = set.Profile(ana()) })
	}
	all.Wait()
	for _, profile := range profiles {
		if profile != profiles[0] || !profile.Decide(&policy.Target{Server: "s", Name: "t", Risk: destructive}, policy.MethodCall).Allowed() {
			t.Fatal("two profiles, or a wrong one")
		}
	}
}
