package policy_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// with returns the world with other rules.
func (w *world) with(rules []*snapshotv1.Rule) *world {
	other := *w
	other.rules = rules
	return &other
}

// drawCall draws a request with facts.
func drawCall(t *rapid.T) *policy.Request {
	r := drawRequest(t)
	if rapid.IntRange(0, 3).Draw(t, "main") != 0 {
		r.Method = r.Kind.Method()
	}
	r.Facts, _ = drawFacts(t)
	return r
}

// hold checks a law on many calls in each of many worlds.
func hold(t *testing.T, law func(t *rapid.T, w *world, set *policy.Set, calls []*policy.Request)) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		calls := make([]*policy.Request, 10)
		for i := range calls {
			calls[i] = drawCall(t)
		}
		law(t, w, w.compile(t), calls)
	})
}

func TestP07DenyAddedNeverAllowsMore(t *testing.T) {
	saw := outcomes(t)
	hold(t, func(t *rapid.T, w *world, set *policy.Set, calls []*policy.Request) {
		added := drawRule(t, 99)
		added.Effect = snapshotv1.Effect_EFFECT_DENY
		if rapid.Bool().Draw(t, "conditional") {
			added.When = drawCondition(t, 2).text
		}
		ruled := w.with(append(slices.Clone(w.rules), added)).compile(t)
		revoked := *w
		revoked.denies = []*snapshotv1.Deny{drawDeny(t)}
		if len(w.denies) > 0 {
			revoked.denies = append(revoked.denies, w.denies...)
		}
		overlaid, err := policy.Compile(1, revoked.rules, revoked.roles, revoked.denies)
		if err != nil {
			overlaid = set // The entry was there already.
		}
		for _, r := range calls {
			before := policy.Decide(set, r)
			saw(before)
			for what, after := range map[string]policy.Decision{"rule": policy.Decide(ruled, r), "overlay": policy.Decide(overlaid, r)} {
				if after.Allowed() && !before.Allowed() {
					t.Fatalf("a deny in the %s turned %+v into %+v", what, before, after)
				}
			}
		}
	})
}

func TestP07AllowRemovedNeverAllowsMore(t *testing.T) {
	saw := outcomes(t)
	hold(t, func(t *rapid.T, w *world, set *policy.Set, calls []*policy.Request) {
		for i, rule := range w.rules {
			if rule.GetEffect() != snapshotv1.Effect_EFFECT_ALLOW {
				continue
			}
			less := w.with(slices.Delete(slices.Clone(w.rules), i, i+1)).compile(t)
			for _, r := range calls {
				before, after := policy.Decide(set, r), policy.Decide(less, r)
				saw(before)
				// What an allowance kept a later denial from may be denied; a failing
				// condition of it may have denied what is allowed now.
				if after.Allowed() && !before.Allowed() && before.Rule != rule.GetId() {
					t.Fatalf("without %s, %+v became %+v", rule.GetId(), before, after)
				}
			}
		}
	})
}

func TestP07OrderOfListsChangesNothing(t *testing.T) {
	saw := outcomes(t)
	hold(t, func(t *rapid.T, w *world, set *policy.Set, calls []*policy.Request) {
		other := &world{
			rules: rapid.Permutation(w.rules).Draw(t, "rules"), roles: rapid.Permutation(w.roles).Draw(t, "roles"),
			denies: w.denies, limits: rapid.Permutation(w.limits).Draw(t, "limits"),
		}
		shuffled := other.compile(t)
		for _, r := range calls {
			want := policy.Decide(set, r)
			saw(want)
			again := *r
			caller := *r.Principal
			caller.Roles = rapid.Permutation(caller.Roles).Draw(t, "roles")
			caller.Groups = append(rapid.Permutation(caller.Groups).Draw(t, "groups"), caller.Groups...)
			again.Principal = &caller
			if got := policy.Decide(shuffled, &again); got != want {
				t.Fatalf("in another order %+v, before %+v", got, want)
			}
		}
	})
}

// What is not listed is denied for all facts, and what is listed without an open
// condition is allowed for all.
func TestP06ListedIsCallableAndNothingElseIs(t *testing.T) {
	saw := outcomes(t)
	hold(t, func(t *rapid.T, w *world, set *policy.Set, calls []*policy.Request) {
		for _, r := range calls {
			profile := set.Profile(r.Principal)
			verdict := profile.Verdict(&r.Target, r.Method)
			final, settled := verdict.Final()
			always := profile.Decide(&r.Target, r.Method)
			for range 10 {
				r.Facts, _ = drawFacts(t)
				got := policy.Decide(set, r)
				saw(got)
				switch {
				case !verdict.Listed() && got.Allowed():
					t.Fatalf("not listed, and %+v", got)
				case settled && verdict.Listed() && !got.Allowed():
					t.Fatalf("listed without an open condition, and %+v", got)
				case settled && (got.Effect != final.Effect || got.Rule != final.Rule):
					t.Fatalf("settled as %+v, and %+v", final, got)
				case always.Allowed() && !got.Allowed() && !strings.Contains(got.Reason, "could not be evaluated"):
					t.Fatalf("allowed for all facts as %+v, and %+v", always, got)
				}
			}
		}
	})
}

// Verdicts with one key are one verdict.
func TestVerdictsOfOneKeyDecideTheSame(t *testing.T) {
	shared := 0
	hold(t, func(t *rapid.T, w *world, set *policy.Set, calls []*policy.Request) {
		seen := map[policy.VerdictKey]*policy.Verdict{}
		for _, r := range calls {
			verdict := set.Profile(r.Principal).Verdict(&r.Target, r.Method)
			if first := seen[verdict.Key()]; first != nil && first != verdict {
				shared++
				if got, want := first.Decide(r.Principal, &r.Target, &r.Facts), verdict.Decide(r.Principal, &r.Target, &r.Facts); got != want || first.Listed() != verdict.Listed() {
					t.Fatalf("%+v and %+v", got, want)
				}
			}
			seen[verdict.Key()] = verdict
		}
	})
	if shared == 0 {
		t.Error("no two verdicts had one key")
	}
}

// TestP07AttributeLostSatisfiesNothingNew: who loses an attribute is matched by
// no rule that did not match before, unless its condition asks for the absence.
func TestP07AttributeLostSatisfiesNothingNew(t *testing.T) {
	hold(t, func(t *rapid.T, w *world, _ *policy.Set, calls []*policy.Request) {
		for _, rule := range w.rules {
			rule = proto.CloneOf(rule)
			rule.When = ""
			set := w.with([]*snapshotv1.Rule{rule}).compile(t)
			for _, r := range calls {
				before := policy.Decide(set, r)
				for _, lose := range []func(*principal.Principal){
					func(p *principal.Principal) { p.User = "" }, func(p *principal.Principal) { p.Groups = nil },
					func(p *principal.Principal) { p.Roles = nil }, func(p *principal.Principal) { p.Application = "" },
				} {
					less, again := *r.Principal, *r
					lose(&less)
					again.Principal = &less
					if after := policy.Decide(set, &again); after.Rule == rule.GetId() && before.Rule != rule.GetId() && before.Rule != policy.RuleDenyOverlay {
						t.Fatalf("%+v became %+v", before, after)
					}
				}
			}
		}
	})
}

// Names mean nothing but that they are the same or not. Conditions speak of names as
// texts, so that rules with one take no part.
func TestP07RenamingChangesNothing(t *testing.T) {
	saw := outcomes(t)
	turn := func(name string) string { // a permutation of slugs, users, groups, roles and applications
		pairs := []string{"git", "zit", "github", "zithub", "mail", "snail"}
		if i := slices.Index(pairs, name); i >= 0 {
			return pairs[i^1]
		}
		return name
	}
	rename := func(list []string, as func(string) string) []string {
		var out []string
		for _, name := range list {
			out = append(out, as(name))
		}
		return out
	}
	subject := func(name string) string {
		if name == "" {
			return ""
		}
		return "x-" + name
	}
	glob := func(text string) string {
		server, name, found := strings.Cut(text, "/")
		if !found {
			return text
		}
		if before, star := strings.CutSuffix(server, "*"); star && before != "" {
			return turn(before) + "*/" + name
		}
		return turn(server) + "/" + name
	}
	hold(t, func(t *rapid.T, w *world, _ *policy.Set, calls []*policy.Request) {
		before, after := &world{}, &world{}
		for _, rule := range w.rules {
			plain := proto.CloneOf(rule)
			plain.When = ""
			before.rules = append(before.rules, plain)
			renamed := proto.CloneOf(plain)
			renamed.Id = "new-" + plain.GetId()
			renamed.Users, renamed.Groups = rename(plain.GetUsers(), subject), rename(plain.GetGroups(), subject)
			renamed.Roles, renamed.Applications = rename(plain.GetRoles(), subject), rename(plain.GetApplications(), subject)
			renamed.Tools, renamed.Prompts, renamed.Resources = rename(plain.GetTools(), glob), rename(plain.GetPrompts(), glob), rename(plain.GetResources(), glob)
			after.rules = append(after.rules, renamed)
		}
		for _, role := range w.roles {
			before.roles = append(before.roles, role)
			renamed := &snapshotv1.Role{Name: subject(role.GetName())}
			for _, grant := range role.GetGrants() {
				renamed.Grants = append(renamed.Grants, &snapshotv1.Grant{
					Tools: rename(grant.GetTools(), glob), Prompts: rename(grant.GetPrompts(), glob), Resources: rename(grant.GetResources(), glob), Risks: grant.GetRisks(),
				})
			}
			after.roles = append(after.roles, renamed)
		}
		old, new := before.compile(t), after.compile(t)
		for _, r := range calls {
			want := policy.Decide(old, r)
			saw(want)
			p, again := r.Principal, *r
			again.Server = turn(r.Server)
			again.Principal = &principal.Principal{
				User: subject(p.User), Groups: rename(p.Groups, subject), Roles: rename(p.Roles, subject), Application: subject(p.Application), KeyID: p.KeyID,
			}
			if p.Servers != nil {
				again.Principal.Servers = append([]string{}, rename(p.Servers, turn)...)
			}
			got := policy.Decide(new, &again)
			if got.Effect != want.Effect || strings.TrimPrefix(got.Rule, "new-") != strings.Replace(want.Rule, "role:", "role:x-", 1) {
				t.Fatalf("%+v, renamed %+v", want, got)
			}
		}
	})
}

// T-29: a condition that cannot be evaluated never lets anything through, wherever
// the failure comes from, and whichever rule it is injected into.
func TestT29FailureNeverAllows(t *testing.T) {
	failures := map[string]string{
		"a type": `arguments.word < 1`, "a number": `arguments.huge == 1`, "division": `1 / (arguments.one - 1) == 1`, "overflow": `arguments.large * arguments.large > 0`,
		"an index": `arguments.list[3] == 1`, "conversion": `int(arguments.word) == 1`, "a time": `timestamp(arguments.word) < now`, "a pattern": `"x".matches(arguments.pattern)`,
		"cost": `arguments.long.matches("` + strings.Repeat("x", 500) + `")`,
	}
	const arguments = `{"word": "w", "one": 1, "huge": 99999999999999999999, "large": 9223372036854775807, "list": [], "pattern": "("}`
	whole := map[string][]byte{}
	for what := range failures {
		whole[what] = []byte(arguments)
	}
	whole["cost"] = []byte(`{"long": "` + strings.Repeat("x", 20_000) + `"}`)
	for i, raw := range []string{``, `[]`, `nul`, `{"word"`, `{"word": 1, "word": 1}`, `{"word": "` + "\xff" + `"}`, `{} {}`, `7`} {
		failures["arguments "+string(rune('a'+i))], whole["arguments "+string(rune('a'+i))] = `has(arguments.word)`, []byte(raw)
	}
	injected := 0
	for _, what := range slices.Sorted(maps.Keys(failures)) {
		for _, effect := range []snapshotv1.Effect{allow, deny} {
			rapid.Check(t, func(t *rapid.T) {
				w := drawWorld(t)
				added := conditional("a-failing", effect, failures[what])
				added.Priority = rapid.Int32Range(-2, 4).Draw(t, "priority")
				set := w.with(append(slices.Clone(w.rules), added)).compile(t)
				r := drawRequest(t)
				r.Kind, r.Method = policy.Tool, policy.MethodCall
				r.Facts = policy.Facts{Arguments: whole[what], Now: zone}
				verdict := set.Profile(r.Principal).Verdict(&r.Target, r.Method)
				for _, got := range []policy.Decision{policy.Decide(set, r), verdict.Decide(r.Principal, &r.Target, &r.Facts)} {
					if got.Rule == added.GetId() {
						injected++
						if got.Allowed() {
							t.Fatalf("%s: %+v", what, got)
						}
					}
				}
				// Nothing that comes behind it may decide, if it is reached at all.
				if without := policy.Decide(w.compile(t), r); without.Allowed() && strings.HasPrefix(without.Rule, "role:") {
					if got := policy.Decide(set, r); got.Allowed() {
						t.Fatalf("%s was passed over: %+v", what, got)
					}
				}
			})
		}
	}
	if injected < 10*len(failures) { // -short draws a fifth of the worlds.
		t.Errorf("only %d failures were met", injected)
	}
}

// Without a call, nothing has arguments.
func TestVerdictWithoutFactsSeesNone(t *testing.T) {
	set := compile(t, []*snapshotv1.Rule{conditional("r", allow, `size(arguments) == 0 || has(client.name) || now > now`)})
	target := policy.Target{Server: "s", Name: "t", Risk: destructive}
	verdict := set.Profile(ana()).Verdict(&target, policy.MethodCall)
	if got := verdict.Decide(ana(), &target, nil); got.Allowed() {
		t.Errorf("%+v", got)
	}
	if got := verdict.Decide(ana(), &target, &policy.Facts{}); !got.Allowed() {
		t.Errorf("with a call: %+v", got)
	}
}
