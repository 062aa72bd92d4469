package policy_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// drawWorld draws a policy in which some rules have conditions.
func drawWorld(t *rapid.T) *world {
	w := &world{rules: drawRules(t), roles: drawRoles(t), conditions: map[string]expression{}}
	for _, rule := range w.rules {
		w.condition(t, rule)
	}
	if rapid.IntRange(0, 3).Draw(t, "denies") == 0 {
		w.denies = append(w.denies, drawDeny(t))
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "limits") {
		w.limits = append(w.limits, &snapshotv1.Limit{
			Name: string(rune('z' - i)), Per: snapshotv1.LimitPer_LIMIT_PER_USER, Calls: 1, Burst: 1, Window: durationpb.New(time.Minute),
			Users: few(t, people, "users"), Groups: few(t, teams, "groups"), Roles: few(t, duties, "roles"), Applications: few(t, clients, "applications"),
			Tools: few(t, globs, "tools"), Prompts: few(t, globs, "prompts"), Resources: few(t, globs, "resources"), Risks: few(t, risks, "risks"),
		})
	}
	return w
}

// condition gives every other rule a condition, and makes it wider, so that the
// condition matters.
func (w *world) condition(t *rapid.T, rule *snapshotv1.Rule) {
	if rapid.Bool().Draw(t, "conditional") {
		return
	}
	condition := drawCondition(t, 2)
	rule.When, w.conditions[rule.GetId()] = condition.text, condition
	if rapid.Bool().Draw(t, "wide") {
		rule.Tools, rule.Prompts, rule.Resources, rule.Methods = nil, nil, nil, nil
	}
	if rapid.Bool().Draw(t, "of all") {
		rule.Users, rule.Groups, rule.Roles, rule.Applications = nil, nil, nil, nil
	}
}

func (w *world) compile(t *rapid.T) *policy.Set {
	set, err := policy.Compile(1, w.rules, w.roles, w.denies, w.limits...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// drawFacts draws facts, with the arguments also as a value.
func drawFacts(t *rapid.T) (policy.Facts, value) {
	facts := policy.Facts{
		Client: policy.Client{Name: pick(t, "", "cursor", "a"), Version: pick(t, "", "ab")},
		Now:    pick(t, time.Time{}, zone.Add(-time.Hour), zone, zone.Add(time.Hour)),
	}
	if rapid.IntRange(0, 7).Draw(t, "arguments") == 0 {
		return facts, map[string]value{}
	}
	arguments, text := drawObject(t, 1)
	facts.Arguments = []byte(text)
	return facts, arguments
}

const (
	cases    = 200_000 // that the reference decides at least
	callers  = 4       // in each world
	targets  = 5       // of each caller
	requests = 2       // of a caller for a target
)

// P-06 and P-07: engine and reference say the same of everything, by each way to
// ask.
func TestP07EngineDecidesAsTheReference(t *testing.T) {
	start, tally := time.Now(), map[string]int{}
	for tally["decided"] < cases && !t.Failed() {
		rapid.Check(t, func(t *rapid.T) {
			w := drawWorld(t)
			set := w.compile(t)
			for range callers {
				caller := drawRequest(t).Principal
				for range targets {
					w.ask(t, set, caller, tally)
				}
			}
		})
	}
	t.Logf("%d requests decided by engine and reference in %v: %v", tally["decided"], time.Since(start).Round(time.Millisecond), tally)
	if tally["decided"] < cases {
		t.Errorf("%d requests were decided, want %d", tally["decided"], cases)
	}
	// Whatever never happened was not tested.
	for _, what := range []string{"allowed", "open", "settled", "listed", "unlisted", "by a condition", "broken", "limited"} {
		if tally[what] < cases/1000 {
			t.Errorf("only %d requests were %s", tally[what], what)
		}
	}
}

// ask decides some requests of a caller for one target.
func (w *world) ask(t *rapid.T, set *policy.Set, caller *principal.Principal, tally map[string]int) {
	r := drawRequest(t)
	r.Principal = caller
	if rapid.IntRange(0, 3).Draw(t, "main") != 0 {
		r.Method = r.Kind.Method()
	}
	verdict := set.Profile(caller).Verdict(&r.Target, r.Method)
	for range requests {
		var arguments value
		r.Facts, arguments = drawFacts(t)
		want := w.decide(r, arguments)
		got := policy.Decide(set, r)
		if got.Allowed() != want.allowed || got.Rule != want.rule {
			t.Fatalf("decided %+v, the reference %+v\n%+v as %+v\n%s", got, want, r, *r.Principal, w.describe())
		}
		if again := verdict.Decide(caller, &r.Target, &r.Facts); again.Effect != got.Effect || again.Rule != got.Rule {
			t.Fatalf("by verdict %+v, the reference %+v", again, want)
		}
		if explained, _ := policy.Explain(set, r); explained != got {
			t.Fatalf("explained %+v, the reference %+v", explained, want)
		}
		if verdict.Listed() != want.listed {
			t.Fatalf("listed %v, the reference %+v\n%+v as %+v\n%s", verdict.Listed(), want, r, *r.Principal, w.describe())
		}
		w.count(tally, verdict, got)
	}
	var about []string
	for _, limit := range set.Profile(caller).Limits(&r.Target) {
		about = append(about, limit.Name)
	}
	if want := w.limiting(r); !set.Profile(caller).Refused() && !slices.Equal(about, want) {
		t.Fatalf("limits %v, the reference %v", about, want)
	}
	if len(about) > 0 {
		tally["limited"]++
	}
}

func (w *world) count(tally map[string]int, verdict *policy.Verdict, d policy.Decision) {
	tally["decided"]++
	say := func(is bool, what string) {
		if is {
			tally[what]++
		}
	}
	_, final := verdict.Final()
	_, conditional := w.conditions[d.Rule]
	say(d.Allowed(), "allowed")
	say(final, "settled")
	say(!final, "open")
	say(verdict.Listed(), "listed")
	say(!verdict.Listed(), "unlisted")
	say(conditional, "by a condition")
	say(conditional && d.Reason == `the condition of rule "`+d.Rule+`" could not be evaluated`, "broken")
}

func (w *world) describe() string {
	text := ""
	for _, rule := range w.inOrder() {
		text += rule.String() + "\n"
	}
	return text
}
