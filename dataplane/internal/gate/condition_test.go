package gate_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// told is a call whose facts are known, and how often they were asked for.
type told struct {
	facts policy.Facts
	asked int
}

func (c *told) Facts() *policy.Facts { c.asked++; return &c.facts }

// outcome is what a condition says, by someone who reads it.
type outcome int

const (
	no outcome = iota
	yes
	fails
)

// asked is all that a condition may look at.
type asked struct {
	who    *principal.Principal
	entry  *gate.Entry
	method string
	facts  policy.Facts
}

// has reports whether the arguments are there and are these.
func (a *asked) has(arguments string) bool {
	return (a.method == policy.MethodCall || a.method == policy.MethodGet) && string(a.facts.Arguments) == arguments
}

func when(is bool) outcome {
	if is {
		return yes
	}
	return no
}

// conditions are those of the worlds, with what they say in the words of Go.
var conditions = map[string]func(*asked) outcome{
	"": func(*asked) outcome { return yes },
	`arguments.force == true`: func(a *asked) outcome {
		return when(a.has(forced))
	},
	`arguments.n > 2`: func(a *asked) outcome {
		if a.has(wrongType) || a.has(tooLarge) {
			return fails
		}
		return when(a.has(three))
	},
	`arguments.deep.list[1].path.startsWith("/etc")`: func(a *asked) outcome { return when(a.has(nested)) },
	`arguments.uri.endsWith("1")`: func(a *asked) outcome {
		return when(a.method == policy.MethodRead && strings.HasSuffix(a.entry.Name, "1"))
	},
	`client.name == "claude"`: func(a *asked) outcome { return when(a.facts.Client.Name == "claude") },
	`now.getHours() >= 12`:    func(a *asked) outcome { return when(!a.facts.Now.IsZero() && a.facts.Now.Hour() >= 12) },
	`"eng" in principal.groups`: func(a *asked) outcome {
		return when(slices.Contains(a.who.Groups, "eng"))
	},
	`tool.name.endsWith("1")`: func(a *asked) outcome { return when(strings.HasSuffix(a.entry.Name, "1")) },
	`tool.server == "git" && client.version == "1"`: func(a *asked) outcome {
		return when(a.entry.Server.Name() == "git" && a.facts.Client.Version == "1")
	},
	`principal.user == "ana" && arguments.force == true`: func(a *asked) outcome {
		return when(a.who.User == "ana" && a.has(forced))
	},
}

// Arguments of the calls.
const (
	forced    = `{"force":true}`
	three     = `{"n":3,"force":"true"}`
	wrongType = `{"n":"3"}`
	tooLarge  = `{"n":123456789012345678901234567890}`
	nested    = `{"deep":{"list":[0,{"path":"/etc/passwd"}]}}`
)

var (
	midday = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	facts  = []policy.Facts{
		{}, {Arguments: []byte(`{}`), Now: midday.Add(-time.Hour)}, {Arguments: []byte(forced), Now: midday},
		{Arguments: []byte(three), Client: policy.Client{Name: "claude", Version: "1"}}, {Arguments: []byte(wrongType), Now: midday},
		{Arguments: []byte(tooLarge)}, {Arguments: []byte(nested), Client: policy.Client{Name: "claude"}, Now: midday},
	}
)

// expected decides like someone who goes through the rules one by one.
func expected(w *gatetest.World, a *asked) (allowed bool, rule string) {
	if a.who.Servers != nil && !slices.Contains(a.who.Servers, a.entry.Server.Name()) {
		return false, policy.RuleKeyServers
	}
	var rules []*snapshotv1.Rule
	granted := ""
	for _, item := range w.Items {
		if rule := item.GetRule(); rule != nil {
			rules = append(rules, rule)
		}
		if role := item.GetRole(); role != nil && slices.Contains(a.who.Roles, role.GetName()) && (granted == "" || role.GetName() < granted) {
			grant := role.GetGrants()[0]
			if covers(a, grant.GetTools(), grant.GetPrompts(), grant.GetResources()) {
				granted = role.GetName()
			}
		}
	}
	slices.SortFunc(rules, func(a, b *snapshotv1.Rule) int {
		return cmp.Or(cmp.Compare(a.GetPriority(), b.GetPriority()), cmp.Compare(b.GetEffect(), a.GetEffect()), cmp.Compare(a.GetId(), b.GetId()))
	})
	for _, rule := range rules {
		if !speaksOf(rule, a) {
			continue
		}
		switch conditions[rule.GetWhen()](a) {
		case yes:
			return rule.GetEffect() == allow, rule.GetName()
		case fails:
			return false, rule.GetName()
		}
	}
	if granted != "" {
		return true, policy.RuleRolePrefix + granted
	}
	return false, policy.RuleDefaultDeny
}

// speaksOf reports whether the lists of a rule match.
func speaksOf(rule *snapshotv1.Rule, a *asked) bool {
	one := func(list []string, names ...string) bool {
		return len(list) == 0 || slices.ContainsFunc(names, func(name string) bool { return name != "" && slices.Contains(list, name) })
	}
	return one(rule.GetUsers(), a.who.User) && one(rule.GetApplications(), a.who.Application) && one(rule.GetRoles(), a.who.Roles...) &&
		one(rule.GetMethods(), a.method) && (len(rule.GetRisks()) == 0 || slices.Contains(rule.GetRisks(), a.entry.Risk)) &&
		covers(a, rule.GetTools(), rule.GetPrompts(), rule.GetResources())
}

// covers reports whether globs match; none are about everything.
func covers(a *asked, globs ...[]string) bool {
	return len(slices.Concat(globs...)) == 0 || slices.ContainsFunc(globs[a.entry.Kind], func(glob string) bool {
		server, name, both := strings.Cut(glob, "/")
		return glob == "*" || both && like(server, a.entry.Server.Name()) && like(name, a.entry.Name)
	})
}

// like matches with one star at the end, or none.
func like(pattern, text string) bool {
	if begin, star := strings.CutSuffix(pattern, "*"); star {
		return strings.HasPrefix(text, begin)
	}
	return pattern == text
}

// comparison holds what a gate says to a caller against the others who may say it.
type comparison struct {
	*rapid.T
	world *gatetest.World
	whole *policy.Set
	index *gate.Index
	key   *credential.Caller
	seen  *tally
}

// tally counts what the worlds held.
type tally struct{ open, hidden, allowed, denied, failed int }

// entry compares one thing, which is in the caller's list or not.
func (c *comparison) entry(e *gate.Entry, shown bool) {
	target := policy.Target{Kind: e.Kind, Server: e.Server.Name(), Name: e.Name, Risk: e.Risk}
	_, final := c.whole.Profile(c.key.Principal).Verdict(&target, e.Kind.Method()).Final()
	count(&c.seen.open, shown && !final)
	count(&c.seen.hidden, !shown)
	for _, f := range facts {
		for _, method := range e.Kind.Methods() {
			call := &told{facts: f}
			got := c.index.Decide(c.key, e, method, call)
			c.same(&asked{c.key.Principal, e, method, f}, target, got)
			switch main := method == e.Kind.Method(); {
			case main && got.Allowed() && !shown:
				c.Fatalf("%s is not listed and allowed: %+v", &target, got)
			case main && shown && final && !got.Allowed():
				c.Fatalf("%s is listed, waits for nothing and is denied: %+v", &target, got)
			case main && final && call.asked > 0:
				c.Fatalf("facts are asked for where nothing waits for them")
			}
		}
	}
}

// same compares the answer to one question.
func (c *comparison) same(a *asked, target policy.Target, got policy.Decision) {
	count(&c.seen.allowed, got.Allowed())
	count(&c.seen.denied, !got.Allowed())
	count(&c.seen.failed, strings.Contains(got.Reason, "could not be evaluated"))
	request := &policy.Request{Principal: a.who, Method: a.method, Target: target, Facts: a.facts}
	if diff := gocmp.Diff(policy.Decide(c.whole, request), got); diff != "" {
		c.Fatalf("policy.Decide differs for %+v: %s", request, diff)
	}
	if explained, _ := policy.Explain(c.whole, request); explained.Allowed() != got.Allowed() || explained.Rule != got.Rule {
		c.Fatalf("explain says %+v, the gate %+v", explained, got)
	}
	if overlaid(c.world) {
		return
	}
	if allowed, rule := expected(c.world, a); allowed != got.Allowed() || rule != got.Rule {
		c.Fatalf("%s %s by %+v with %s, %+v: %+v; want %v by %s", a.method, &target, a.who, a.facts.Arguments, a.facts, got, allowed, rule)
	}
}

// TestP06_ConditionsListAndUseAgree draws worlds whose rules have conditions, and
// holds for every caller, thing, method and a variety of facts: the answer is that
// of policy.Decide, of Explain, and of a plain reading of the rules; what is not
// listed is never allowed; and what is listed and waits for nothing always is.
func TestP06_ConditionsListAndUseAgree(t *testing.T) {
	var seen tally
	rapid.Check(t, func(r *rapid.T) {
		w := gatetest.New(t)
		for _, server := range slugs {
			w.Server(server)
			for i := range rapid.IntRange(0, 2).Draw(r, "things") {
				drawThings(r, w, server, i)
			}
		}
		w.Role("dev", "git/*")
		w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Role{Role: &snapshotv1.Role{Name: "reader", Grants: []*snapshotv1.Grant{{
			Tools: []string{"mail/*"}, Prompts: []string{"*"}, Resources: []string{"*"},
		}}}}})
		keys := drawCallers(r, w)
		drawRules(r, w)
		for i := range 3 {
			w.Rule(&snapshotv1.Rule{
				Id: fmt.Sprintf("wide%d", i), Name: fmt.Sprintf("wide-%d", i), Priority: int32(rapid.IntRange(0, 2).Draw(r, "priority")),
				Effect: rapid.SampledFrom([]snapshotv1.Effect{allow, deny}).Draw(r, "effect"),
			})
		}
		drawConditions(r, w)
		set := w.Set(7)
		index, err := gate.Build(set)
		if err != nil {
			r.Fatal(err)
		}
		key := caller(t, index, rapid.SampledFrom(keys).Draw(r, "key"))
		c := &comparison{T: r, world: w, whole: compiled(t, set), index: index, key: key, seen: &seen}
		for what := range gate.ListKind(4) {
			for _, slug := range slugs {
				server, _ := index.Server(slug)
				own, _ := listed(t, index.Profile(key), what, server)
				for _, name := range names(what) {
					if e, ok := resolve(index, server, what, name); ok && e.Hash != nil {
						c.entry(e, slices.Contains(own, name))
					}
				}
			}
		}
	})
	if seen.open < 100 || seen.hidden < 100 || seen.allowed < 1000 || seen.denied < 1000 || seen.failed < 10 {
		t.Errorf("worlds are too uniform: %+v", seen)
	}
}

func count(n *int, is bool) {
	if is {
		*n++
	}
}

// overlaid reports whether something is denied by name, of which a plain reading of
// the rules knows nothing.
func overlaid(w *gatetest.World) bool {
	return slices.ContainsFunc(w.Items, func(item *snapshotv1.Item) bool { return item.GetDeny() != nil })
}

// drawConditions gives conditions to rules, groups to people and servers to keys.
func drawConditions(r *rapid.T, w *gatetest.World) {
	texts := slices.Sorted(func(yield func(string) bool) {
		for text := range conditions {
			if !yield(text) {
				return
			}
		}
	})
	for _, item := range w.Items {
		if rule := item.GetRule(); rule != nil {
			// Rapid is fond of the first of a list.
			rule.When = texts[(rapid.IntRange(0, 1000).Draw(r, "when")*7+3)%len(texts)]
		}
		if user := item.GetUser(); user != nil {
			user.Groups = rapid.SampledFrom([][]string{nil, {"eng"}, {"ops", "eng"}}).Draw(r, "groups")
		}
		if key := item.GetKey(); key != nil {
			key.Servers = rapid.SampledFrom([][]string{nil, nil, {"git"}, {"mail", "x1"}, {"none"}}).Draw(r, "servers")
		}
	}
}

// A key that is good for some servers does not know the others, by whatever way.
func TestAKeyForSomeServersSeesAndUsesNoOthers(t *testing.T) {
	w := gatetest.New(t)
	for _, slug := range []string{"git", "mail"} {
		w.Server(slug, "get")
		w.Prompt(slug, "ask")
		w.Resource(slug, "x://a")
		w.Template(slug, "y://{b}")
	}
	w.Role("all")
	w.User("ana", "all")
	some := w.Key("ana", "ide", time.Time{})
	w.Items[len(w.Items)-1].GetKey().Servers = []string{"git"}
	gone := w.Key("ana", "ide", time.Time{})
	w.Items[len(w.Items)-1].GetKey().Servers = []string{"was-removed"} // Must not come to mean all.
	any := w.Key("ana", "ide", time.Time{})
	index := w.Index(1)
	of := func(key *credential.Caller, slug string) (shown int, allowed map[string]bool) {
		server, _ := index.Server(slug)
		allowed = map[string]bool{}
		for what := range gate.ListKind(4) {
			own, _ := listed(t, index.Profile(key), what, server)
			all, _ := listed(t, index.Profile(key), what, nil)
			shown += len(own) + len(slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, slug) }))
			name := []string{"get", "ask", "x://a", "y://{b}"}[what]
			e, _ := resolve(index, server, what, name)
			for _, method := range e.Kind.Methods() {
				decision := index.Decide(key, e, method, nil)
				allowed[decision.Rule] = decision.Allowed()
			}
		}
		for _, unlisted := range []string{"y://1", "z://unlisted"} {
			e := find(t, index, policy.Resource, server, unlisted)
			decision := index.Decide(key, e, policy.MethodRead, nil)
			allowed[decision.Rule] = decision.Allowed()
		}
		asks := index.DecideServer(key, server, policy.MethodSample, nil)
		allowed[asks.Rule] = asks.Allowed()
		return shown, allowed
	}
	for _, test := range []struct {
		key   *credential.Caller
		slug  string
		shown int
		want  map[string]bool
	}{
		{caller(t, index, any), "mail", 8, map[string]bool{"role:all": true}},
		{caller(t, index, some), "git", 8, map[string]bool{"role:all": true}},
		{caller(t, index, some), "mail", 0, map[string]bool{policy.RuleKeyServers: false, policy.RuleDefaultDeny: false}},
		{caller(t, index, gone), "git", 0, map[string]bool{policy.RuleKeyServers: false, policy.RuleDefaultDeny: false}},
		{caller(t, index, gone), "mail", 0, map[string]bool{policy.RuleKeyServers: false, policy.RuleDefaultDeny: false}},
	} {
		shown, got := of(test.key, test.slug)
		server, _ := index.Server(test.slug)
		profile := index.Profile(test.key)
		if diff := gocmp.Diff(test.want, got); diff != "" || shown != test.shown || profile.Sees(server) != (shown > 0) {
			t.Errorf("%s: %d listed, sees %v: %s", test.slug, shown, profile.Sees(server), diff)
		}
	}
}

// A view is what may be used in some call: it changes with a condition only if that does.
func TestAViewChangesWithAConditionOnlyIfTheListDoes(t *testing.T) {
	view := func(whens ...string) gate.View {
		w := gatetest.New(t)
		w.Server("git", "get", "put")
		for i, when := range whens {
			w.Rule(&snapshotv1.Rule{Id: fmt.Sprint(i), Name: fmt.Sprint("r", i), Effect: allow, Tools: []string{"git/*"}, When: when})
		}
		w.User("ana")
		key := w.Key("ana", "ide", time.Time{})
		index := w.Index(1)
		return index.Profile(caller(t, index, key)).View(nil)
	}
	empty, whole := view(`tool.name == "none"`), view("")
	for when, want := range map[string]gate.View{
		`arguments.n > 2`: whole, `client.name == "x"`: whole, `now.getHours() == 1`: whole, `principal.user == "ana"`: whole,
		`principal.user == "bob"`: empty, `"eng" in principal.groups`: empty,
		`principal.user == "bob" && arguments.n > 2`: whole, // Some call may be allowed, for all that a list knows.
	} {
		if view(when) != want {
			t.Errorf("%s: another view than expected", when)
		}
	}
	if view(`tool.name == "get"`) == whole || view(`tool.name == "get"`) == empty || view(`tool.name == "get"`, `arguments.n > 2`) != whole {
		t.Error("a condition about one tool hides both, or none")
	}
}

// A question about a whole server is not worth evaluating thousands of conditions.
func TestDecideServerLooksAtSoManyConditions(t *testing.T) {
	w := gatetest.New(t)
	tools := make([]string, 200)
	for i := range tools {
		tools[i] = fmt.Sprintf("tool_%03d", i)
	}
	w.Server("git", tools...)
	w.Server("few", tools[:50]...)
	w.Rule(&snapshotv1.Rule{Id: "1", Name: "late", Effect: allow, Tools: []string{"*/*"}, When: `tool.name >= "tool_049" && client.name == "c"`})
	w.Rule(&snapshotv1.Rule{Id: "2", Name: "last", Effect: allow, Tools: []string{"git/tool_199"}, Priority: -1, Methods: []string{policy.MethodRoots}})
	w.User("ana")
	key := w.Key("ana", "ide", time.Time{})
	index := w.Index(1)
	holder := caller(t, index, key)
	for slug, want := range map[string]int{"git": 50, "few": 50} {
		server, _ := index.Server(slug)
		call := &told{facts: policy.Facts{Client: policy.Client{Name: "c"}}}
		if got := index.DecideServer(holder, server, policy.MethodSample, call); !got.Allowed() || got.Rule != "late" || call.asked != want {
			t.Errorf("%s: %+v after %d looks", slug, got, call.asked)
		}
	}
	git, _ := index.Server("git")
	stranger := &told{}
	if got := index.DecideServer(holder, git, policy.MethodSample, stranger); got.Allowed() || stranger.asked != 65 {
		t.Errorf("%+v after %d looks", got, stranger.asked)
	}
	if got := index.DecideServer(holder, git, policy.MethodRoots, stranger); !got.Allowed() || got.Rule != "last" {
		t.Errorf("what waits for nothing, behind all that waits: %+v", got)
	}
}
