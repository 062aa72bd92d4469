package policy_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
)

// What is not open has one effect, whatever the arguments were.
func TestPresumedEffectHoldsForAllArguments(t *testing.T) {
	saw, tally := outcomes(t), map[string]int{}
	hold(t, func(t *rapid.T, _ *world, set *policy.Set, calls []*policy.Request) {
		for _, r := range calls {
			verdict := set.Profile(r.Principal).Verdict(&r.Target, r.Method)
			presumed, open := verdict.Presume(r.Principal, &r.Target, &r.Facts)
			if _, final := verdict.Final(); open && final {
				t.Fatal("a final verdict is open")
			}
			if open {
				tally["open"]++
				continue
			}
			if _, final := verdict.Final(); !final {
				tally["settled by what is known"]++
			}
			saw(presumed)
			for range 5 {
				facts, _ := drawFacts(t)
				r.Facts.Arguments = facts.Arguments
				if got := policy.Decide(set, r); got.Effect != presumed.Effect {
					t.Fatalf("presumed %+v, with %s decided %+v", presumed, r.Facts.Arguments, got)
				}
			}
		}
	})
	if tally["open"] == 0 || tally["settled by what is known"] == 0 {
		t.Errorf("seen: %v", tally)
	}
}

func TestPresumedDecisionLooksAtWhatIsKnown(t *testing.T) {
	for _, c := range []struct {
		why, rules string
		open       bool
		rule       string
	}{
		{"arguments decide", "- {name: a, effect: allow, when: 'arguments.x == 1'}", true, "default-deny"},
		{"they decide whether to deny", "- {name: d, effect: deny, when: 'has(arguments.x)'}\n  - {name: a, effect: allow}", true, "d or a"},
		{"denied either way", "- {name: d, effect: deny, when: 'arguments.x == 1'}", false, "default-deny"},
		{"the client is another", `- {name: a, effect: allow, when: 'client.name == "claude" && arguments.x == 1'}`, false, "default-deny"},
		{"the client does", `- {name: a, effect: allow, when: 'client.name == "cursor" || arguments.x == 1'}`, false, "a"},
		{"an absent attribute", `- {name: d, effect: deny, when: 'client.version == arguments.x'}`, false, "default-deny"},
		{"an argument that fails before the absence shows", `- {name: d, effect: deny, when: 'arguments.x == client.version'}` + "\n  - {name: a, effect: allow}", true, "a"},
		{"a rule before them", "- {name: d, effect: deny, priority: -1}\n  - {name: a, effect: allow, when: 'arguments.x == 1'}", false, "d"},
	} {
		t.Run(c.why, func(t *testing.T) {
			set, err := policy.Compile(1, parse(t, "rules:\n  "+c.rules).Rules, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			caller, target := &principal.Principal{User: "ana"}, &policy.Target{Server: "git", Name: "get", Risk: read}
			verdict := set.Profile(caller).Verdict(target, policy.MethodCall)
			got, open := verdict.Presume(caller, target, &policy.Facts{Client: policy.Client{Name: "cursor"}})
			if open != c.open || !open && got.Rule != c.rule {
				t.Errorf("%+v, open %v", got, open)
			}
		})
	}
}
