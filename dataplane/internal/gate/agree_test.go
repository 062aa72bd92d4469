package gate_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// TestP06 builds random worlds and compares, for every caller, endpoint and kind,
// the list with what Decide says of each thing in it, and both with policy.Decide
// for that very caller: profiles must not mix callers up.
func TestP06_ListAndUseAgreeForEveryCaller(t *testing.T) {
	var seen [4]struct{ listed, denied int }
	rapid.Check(t, func(r *rapid.T) {
		w := gatetest.New(t)
		for _, server := range slugs {
			w.Server(server)
			for i := range rapid.IntRange(0, 4).Draw(r, "things") {
				drawThings(r, w, server, i)
			}
		}
		w.Role("dev", "git/*")
		w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Role{Role: &snapshotv1.Role{Name: "reader", Grants: []*snapshotv1.Grant{{
			Tools:     rapid.SampledFrom([][]string{nil, {"*"}, {"mail/*"}, {"*/tool_1"}}).Draw(r, "tools"),
			Prompts:   rapid.SampledFrom([][]string{nil, {"*"}, {"mail/*"}, {"*/prompt_1"}}).Draw(r, "prompts"),
			Resources: rapid.SampledFrom([][]string{nil, {"*"}, {"mail/*"}, {"*/https://*"}}).Draw(r, "resources"),
		}}}}})
		keys := drawCallers(r, w)
		former := w.Index(6)
		drawRules(r, w)
		set := w.Set(7)
		index, err := former.Next(set, func() {})
		if err != nil {
			r.Fatal(err)
		}
		for _, key := range keys {
			for what := range gate.ListKind(4) {
				l, d := agree(r, t, index, caller(t, index, key), compiled(t, set), what)
				seen[what].listed, seen[what].denied = seen[what].listed+l, seen[what].denied+d
			}
		}
	})
	for what, n := range seen {
		if n.listed == 0 || n.denied == 0 {
			t.Errorf("worlds are too uniform: of %ss %d listed, %d denied", gate.ListKind(what), n.listed, n.denied)
		}
	}
}

var slugs = []string{"git", "mail", "x1"}

// names are those that the worlds have, of each list.
func names(what gate.ListKind) (all []string) {
	for i := range 4 {
		all = append(all, fmt.Sprintf([]string{"tool_%d", "prompt_%d", "x://%d", "y://%d/{id}"}[what], i))
		switch what {
		case gate.Resources:
			all = append(all, fmt.Sprintf("https://web.example/%d", i))
		case gate.Templates:
			all = append(all, fmt.Sprintf("https://web.example/%d/{id}", i))
		}
	}
	return all
}

func drawThings(r *rapid.T, w *gatetest.World, server string, i int) {
	risk := func() snapshotv1.Risk { return snapshotv1.Risk(rapid.IntRange(0, 7).Draw(r, "risk")) }
	tool := w.Tool(server, names(gate.Tools)[i], risk())
	tool.Position = uint32(rapid.IntRange(0, 2).Draw(r, "position"))
	w.Prompt(server, names(gate.Prompts)[i]).Risk = risk()
	for _, k := range []int{2 * i, 2*i + 1} {
		w.Resource(server, names(gate.Resources)[k]).Risk = risk()
		w.Template(server, names(gate.Templates)[k]).Risk = risk()
	}
}

func drawCallers(r *rapid.T, w *gatetest.World) (keys []apikey.Key) {
	for _, user := range []string{"ana", "bob", "cyd"} {
		w.User(user, rapid.SampledFrom([][]string{nil, {"dev"}, {"reader"}, {"dev", "reader"}, {"reader", "dev"}}).Draw(r, "roles")...)
		for _, application := range []string{"", "ide", "ci"} {
			keys = append(keys, w.Key(user, application, time.Time{}))
		}
	}
	return keys
}

func drawRules(r *rapid.T, w *gatetest.World) {
	for i := range rapid.IntRange(0, 4).Draw(r, "rules") {
		w.Rule(&snapshotv1.Rule{
			Id:           fmt.Sprintf("r%d", i),
			Name:         fmt.Sprintf("rule-%d", i),
			Priority:     int32(rapid.IntRange(0, 2).Draw(r, "priority")),
			Effect:       rapid.SampledFrom([]snapshotv1.Effect{allow, deny}).Draw(r, "effect"),
			Users:        rapid.SampledFrom([][]string{nil, {"ana"}, {"bob", "cyd"}}).Draw(r, "users"),
			Applications: rapid.SampledFrom([][]string{nil, {"ide"}}).Draw(r, "applications"),
			Roles:        rapid.SampledFrom([][]string{nil, {"dev"}}).Draw(r, "rule roles"),
			Tools:        rapid.SampledFrom([][]string{nil, {"git/*"}, {"*/tool_2"}, {"mail/tool_0"}}).Draw(r, "globs"),
			Prompts:      rapid.SampledFrom([][]string{nil, {"git/*"}, {"*/prompt_2"}, {"mail/prompt_0"}}).Draw(r, "globs of prompts"),
			Resources:    rapid.SampledFrom([][]string{nil, {"git/*"}, {"*/y://2*"}, {"mail/https://web.example/0"}}).Draw(r, "globs of resources"),
			Risks:        rapid.SampledFrom([][]snapshotv1.Risk{nil, {read}}).Draw(r, "risks"),
			Methods:      rapid.SampledFrom([][]string{nil, nil, {policy.MethodCall, policy.MethodRead}, {policy.MethodSample}}).Draw(r, "methods"),
		})
	}
	if rapid.Bool().Draw(r, "overlay") {
		w.Deny(snapshotv1.DenyKind_DENY_KIND_APPLICATION, "ci", "stolen")
		w.Deny(snapshotv1.DenyKind_DENY_KIND_TOOL, "git/tool_0", "broken")
	}
}

func compiled(t *testing.T, set *snapshot.Set) *policy.Set {
	t.Helper()
	var rules []*snapshotv1.Rule
	var roles []*snapshotv1.Role
	var denies []*snapshotv1.Deny
	for _, item := range set.All() {
		switch kind := item.GetKind().(type) {
		case *snapshotv1.Item_Rule:
			rules = append(rules, kind.Rule)
		case *snapshotv1.Item_Role:
			roles = append(roles, kind.Role)
		case *snapshotv1.Item_Deny:
			denies = append(denies, kind.Deny)
		}
	}
	out, err := policy.Compile(set.Revision(), rules, roles, denies)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// agree compares list and use of one caller; it returns how much was listed on
// the aggregate and how much denied.
func agree(r *rapid.T, t *testing.T, index *gate.Index, key *credential.Caller, set *policy.Set, what gate.ListKind) (allowed, denied int) {
	profile := index.Profile(key)
	aggregate, _ := listed(t, profile, what, nil)
	shown := map[string]bool{} // exposed names of what is allowed
	for _, slug := range slugs {
		server, ok := index.Server(slug)
		if !ok {
			r.Fatalf("server %s is gone", slug)
		}
		own, _ := listed(t, profile, what, server)
		for _, name := range names(what) {
			e, ok := resolve(index, server, what, name)
			if !ok {
				if slices.Contains(own, name) {
					r.Fatalf("%s/%s does not exist and is listed", slug, name)
				}
				continue
			}
			if e.Hash == nil {
				continue // It is not listed.
			}
			for _, method := range []string{e.Kind.Method(), policy.MethodSample, policy.MethodComplete} {
				target := policy.Target{Kind: e.Kind, Server: slug, Name: name, Risk: e.Risk}
				want := policy.Decide(set, &policy.Request{Principal: key.Principal, Method: method, Target: target})
				if diff := cmp.Diff(want, index.Decide(key, e, method, nil)); diff != "" {
					r.Fatalf("%s of %s/%s for %+v: %s", method, slug, name, key.Principal, diff)
				}
			}
			may := index.Decide(key, e, e.Kind.Method(), nil).Allowed()
			if slices.Contains(own, name) != may || may && !profile.Sees(server) {
				r.Fatalf("%s/%s for %+v: allowed %v, list %v", slug, name, key.Principal, may, own)
			}
			if !may {
				denied++
			}
			if there, _ := resolve(index, nil, what, e.Exposed); there == e {
				shown[e.Exposed] = may
			} else if there == nil || there.Exposed != e.Exposed || there.Server.Name() > slug {
				r.Fatalf("%s of %s means %+v on the aggregate", e.Exposed, slug, there)
			}
		}
	}
	for name, may := range shown {
		if slices.Contains(aggregate, name) != may {
			r.Fatalf("%s for %+v: allowed %v, aggregate %v", name, key.Principal, may, aggregate)
		}
		if may {
			allowed++
		}
	}
	if len(aggregate) != allowed {
		r.Fatalf("aggregate lists %v, %d are allowed", aggregate, allowed)
	}
	return allowed, denied
}

func resolve(index *gate.Index, server *gate.Server, what gate.ListKind, name string) (e *gate.Entry, ok bool) {
	if what == gate.Templates {
		e, _, ok = index.ResolveTemplate(server, name)
	} else {
		e, _, ok = index.Resolve([]policy.Kind{policy.Tool, policy.Prompt, policy.Resource}[what], server, name)
	}
	return e, ok
}

func TestAServerMayAskForWhatIsAllowedWithAnythingOfIt(t *testing.T) {
	w := gatetest.New(t)
	w.Server("git", "get", "put")
	w.Server("mail", "send")
	w.Server("none", "x")
	w.Rule(&snapshotv1.Rule{Id: "r", Effect: deny, Methods: []string{policy.MethodSample}, Tools: []string{"git/get", "mail/*"}})
	w.Role("some", "git/*", "mail/*")
	w.User("ana", "some")
	key := w.Key("ana", "ide", time.Time{})
	index := w.Index(1)
	holder := caller(t, index, key)
	for slug, want := range map[string]string{"git": "role:some", "mail": "r", "none": policy.RuleDefaultDeny} {
		server, _ := index.Server(slug)
		if got := index.DecideServer(holder, server, policy.MethodSample, nil); got.Rule != want || got.Allowed() != (slug == "git") || got.Revision != 1 {
			t.Errorf("%s: %+v", slug, got)
		}
	}
}

// A profile is made ready by whoever needs it first.
func TestProfilesAreMadeReadyByManyAtOnce(t *testing.T) {
	w, key := world(t)
	w.Rule(&snapshotv1.Rule{Id: "r", Effect: deny, Methods: []string{policy.MethodSample}, Tools: []string{"git/get"}})
	index := w.Index(1)
	holder := caller(t, index, key)
	server, _ := index.Server("git")
	e := find(t, index, policy.Tool, nil, "git__get")
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			profile := index.Profile(holder)
			list := profile.List(gate.ListKind(i%4), []*gate.Server{nil, server}[i%2], mcp.Era(1+i%2))
			if page, ok := list.Page(nil); !ok || (i%4 == 0) != strings.Contains(string(page.Items), "put") {
				t.Errorf("list %d: %v, %s", i%4, ok, page.Items)
			}
			if got := index.Decide(holder, e, policy.MethodSample, nil); got.Rule != "r" {
				t.Errorf("%+v", got)
			}
			if one, other := profile.View(server), profile.View(server); one != other || len(profile.Servers(nil)) != 1 {
				t.Error("the view or its servers differ")
			}
		})
	}
	all.Wait()
}

// A name means a thing of the kind that is asked for, whatever else has it.
func TestKindsAreNotSmuggled(t *testing.T) {
	w := gatetest.New(t)
	w.Server("git", "x://a")
	w.Prompt("git", "x://a")
	w.Resource("git", "x://a")
	w.Role("tools", "git/*")
	w.User("ana", "tools")
	key := w.Key("ana", "ide", time.Time{})
	w.Deny(snapshotv1.DenyKind_DENY_KIND_TOOL, "git/other", "broken")
	index := w.Index(1)
	server, _ := index.Server("git")
	holder := caller(t, index, key)
	for _, kind := range policy.Kinds() {
		e := find(t, index, kind, server, "x://a")
		if e.Kind != kind {
			t.Errorf("a %s is found as a %s", e.Kind, kind)
		}
		for _, method := range policy.Methods() {
			if got := index.Decide(holder, e, method, nil).Allowed(); got != (kind == policy.Tool) {
				t.Errorf("%s of a %s: allowed %v by a grant of tools", method, kind, got)
			}
		}
	}
	if _, _, ok := index.Resolve(policy.Prompt, nil, "git+x://a"); ok {
		t.Error("the URI of a resource names a prompt")
	}
	if _, _, ok := index.Resolve(7, server, "x://a"); ok {
		t.Error("a kind that does not exist is found")
	}
}
