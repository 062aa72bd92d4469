package gate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/policy"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// library is a world whose server has resources of each sort.
func library(t *testing.T) (*gate.Index, *credential.Caller) {
	w, key := world(t)
	w.Resource("git", "doc://listed").Risk = snapshotv1.Risk_RISK_WRITE
	w.Resource("git", "doc://withheld").Withheld = true
	w.Resource("git", "doc://deep/withheld").Withheld = true
	w.Resource("git", "doc://deep/listed").Risk = snapshotv1.Risk_RISK_EXTERNAL
	w.Template("git", "doc://risky/{name}").Risk = snapshotv1.Risk_RISK_EXTERNAL
	w.Resource("git", "doc://odd/../spelling")
	w.Resource("git", "https://git.example/listed")
	w.Template("git", "repo://{owner}/{name}").Risk = snapshotv1.Risk_RISK_EXTERNAL
	w.Template("git", "repo://acme/{name}").Risk = snapshotv1.Risk_RISK_WRITE
	w.Template("git", "repo://secret/{name}").Withheld = true
	w.Template("git", "doc://{+path}")
	w.Template("git", "https://git.example/{name}")
	w.Server("web")
	w.Resource("web", "https://git.example/listed").Risk = snapshotv1.Risk_RISK_ADMIN
	w.Template("web", "https://web.example/{name}")
	w.Server("empty", "tool")
	w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Server{Server: &snapshotv1.Server{
		Name: "quiet", Url: "http://127.0.0.1:1/", Capabilities: []byte(`{"resources":{}}`),
	}}})
	index := w.Index(1)
	return index, caller(t, index, key)
}

func TestResourcesAreWhatIsListedTemplatedOrUnlisted(t *testing.T) {
	const (
		none         = -1
		write        = snapshotv1.Risk_RISK_WRITE
		external     = snapshotv1.Risk_RISK_EXTERNAL
		unclassified = snapshotv1.Risk_RISK_UNCLASSIFIED
	)
	index, key := library(t)
	for _, test := range []struct {
		why, scope, name, own string
		risk                  snapshotv1.Risk // or none
		template              bool
	}{
		{"listed", "git", "doc://listed", "doc://listed", write, false},
		{"listed, on the aggregate", "", "git+doc://listed", "doc://listed", write, false},
		{"listed as it is spelled", "git", "doc://odd/../spelling", "doc://odd/../spelling", read, false},
		{"not spelled like that", "git", "doc://other/../spelling", "", none, false},
		{"encoded dots", "git", "doc://a/%2E%2E/b", "", none, false},
		{"withheld, though a template names it", "git", "doc://withheld", "", none, false},
		{"withheld, on the aggregate", "", "git+doc://withheld", "", none, false},
		{"withheld in another spelling", "git", "doc://with%68eld", "", none, false},
		{"withheld, with a fragment", "git", "doc://withheld#top", "", none, false},
		{"withheld, with a query", "git", "doc://withheld?x=1", "", none, false},
		{"withheld, with a slash", "git", "doc://withheld/", "", none, false},
		{"withheld, encoded where it may be", "git", "doc://deep%2Fwithheld", "", none, false},
		{"withheld by a template, encoded", "git", "repo://secret%2Fx", "", none, false},
		{"listed, with a fragment: as risky", "git", "doc://listed#top", "doc://listed#top", write, true},
		{"listed, encoded where it may be: as risky", "git", "doc://deep%2Flisted", "doc://deep%2Flisted", external, true},
		{"of a riskier template when decoded", "git", "doc://risky%2Fx", "doc://risky%2Fx", external, true},
		{"with a backslash", "git", `doc://a\b`, "", none, false},
		{"of a template", "git", "doc://a/b", "doc://a/b", read, true},
		{"of a template, on the aggregate", "", "git+doc://a/b", "doc://a/b", read, true},
		{"of two templates: the riskier", "git", "repo://acme/x", "repo://acme/x", external, true},
		{"of a template that is withheld too", "git", "repo://secret/x", "", none, false},
		{"not listed", "git", "other://x", "other://x", unclassified, false},
		{"not listed, on the aggregate", "", "git+other://x", "other://x", unclassified, false},
		{"not listed by a server that says it has some", "quiet", "x://a", "x://a", unclassified, false},
		{"of a server that has none", "empty", "x://a", "", none, false},
		{"no URI", "git", "x", "", none, false},
		{"nothing", "git", "", "", none, false},
		{"no prefix", "", "doc://listed", "", none, false},
		{"a prefix that is nobody's", "", "hub+doc://listed", "", none, false},
		{"prefix on the server's own endpoint", "git", "git+doc://listed", "git+doc://listed", unclassified, false},
		{"web address that two list: the first", "", "https://git.example/listed", "https://git.example/listed", read, false},
		{"web address on its own endpoint", "web", "https://git.example/listed", "https://git.example/listed", snapshotv1.Risk_RISK_ADMIN, false},
		{"web address of a template", "", "https://web.example/x", "https://web.example/x", read, true},
		{"web address that nobody names", "", "https://other.example/x", "", none, false},
		{"web address that is no template's segment", "", "https://web.example/x/y", "", none, false},
	} {
		t.Run(test.why, func(t *testing.T) {
			var scope *gate.Server
			if test.scope != "" {
				scope, _ = index.Server(test.scope)
			}
			e, own, ok := index.Resolve(policy.Resource, scope, test.name)
			if !ok {
				if test.risk != none {
					t.Fatal("does not exist")
				}
				return
			}
			if own != test.own || e.Name != own || e.Risk != test.risk || e.Template != test.template || e.Kind != policy.Resource {
				t.Errorf("got %s %+v", own, e)
			}
			if listed := e.Hash != nil; listed != (test.risk != unclassified) {
				t.Errorf("hash %x", e.Hash)
			}
			if !index.Decide(key, e, policy.MethodRead, nil).Allowed() {
				t.Error("the owner may not read it")
			}
		})
	}
}

func TestResourcesThatAreNotListedAreDecidedOnByTheirURI(t *testing.T) {
	w := gatetest.New(t)
	w.Server("git")
	w.Template("git", "repo://{owner}/{name}")
	w.Rule(&snapshotv1.Rule{Id: "acme", Effect: allow, Resources: []string{"git/repo://acme/*", "git/other://*"}})
	w.Rule(&snapshotv1.Rule{Id: "secret", Effect: deny, Resources: []string{"*/repo://acme/secret"}})
	w.Rule(&snapshotv1.Rule{Id: "quiet", Effect: deny, Methods: []string{policy.MethodSubscribe}, Resources: []string{"*"}})
	w.User("ana")
	key := w.Key("ana", "ide", time.Time{})
	index := w.Index(1)
	holder := caller(t, index, key)
	for uri, want := range map[string]bool{
		"git+repo://acme/x": true, "git+repo://acme/secret": false, "git+repo://else/x": false, "git+other://x": true, "git+third://x": false,
	} {
		e := find(t, index, policy.Resource, nil, uri)
		if got := index.Decide(holder, e, policy.MethodRead, nil); got.Allowed() != want {
			t.Errorf("%s: %+v", uri, got)
		}
		if got := index.Decide(holder, e, policy.MethodSubscribe, nil); got.Allowed() {
			t.Errorf("subscription to %s: %+v", uri, got)
		}
	}
	if names, _ := listed(t, index.Profile(holder), gate.Templates, nil); len(names) > 0 {
		t.Errorf("a template is listed by a rule about some of it: %v", names)
	}
}

func TestTemplatesAreFoundByTheirText(t *testing.T) {
	index, key := library(t)
	git, _ := index.Server("git")
	for name, scope := range map[string]*gate.Server{"repo://{owner}/{name}": git, "git+repo://{owner}/{name}": nil, "https://git.example/{name}": nil} {
		e, own, ok := index.ResolveTemplate(scope, name)
		if !ok || !e.Template || own != strings.TrimPrefix(name, "git+") || !index.Decide(key, e, policy.MethodComplete, nil).Allowed() {
			t.Errorf("%s: %v, %s, %+v", name, ok, own, e)
		}
	}
	for name, scope := range map[string]*gate.Server{"repo://{owner}/{name}": nil, "repo://secret/{name}": git, "repo://acme/x": git} {
		if e, _, ok := index.ResolveTemplate(scope, name); ok {
			t.Errorf("%s is found: %+v", name, e)
		}
	}
}

// P-13: a look-up asks no more of a node than a few milliseconds. What would take longer, or might be withheld by a template
// that is not asked, does not exist.
func TestAResourceThatIsTooMuchWorkToLookUpDoesNotExist(t *testing.T) {
	w, key := world(t)
	w.Template("git", "doc://{a}")
	for i := range 500 {
		w.Template("git", fmt.Sprint("slow://", strings.Repeat("{+a}", 16), "!", i))
	}
	for i := range 500 {
		w.Template("git", fmt.Sprint("many://{a}/x", i))
	}
	index := w.Index(1)
	caller(t, index, key)
	git, _ := index.Server("git")
	for name, want := range map[string]bool{
		"doc://fine": true, "many://a/x499": true, "many://" + strings.Repeat("a", 8000) + "/x499": true,
		"slow://" + strings.Repeat("a", 1000) + "!7": true, "slow://" + strings.Repeat("a", 8000) + "!7": false,
	} {
		start := time.Now()
		if e, _, ok := index.Resolve(policy.Resource, git, name); ok != want || ok && !e.Template {
			t.Errorf("%.20s, %d bytes: found %v, want %v", name, len(name), ok, want)
		}
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("%.20s took %v", name, took)
		}
	}
}

// A web address that templates of two servers name is neither's on the aggregate, whichever was first: a server cannot
// take over what clients read of another. At the endpoint of each it is there.
func TestAWebAddressThatTwoServersNameIsNobodysOnTheAggregate(t *testing.T) {
	w, key := world(t)
	w.Server("aaa")
	w.Template("aaa", "https://docs.example/{+any}")
	w.Server("docs")
	w.Template("docs", "https://docs.example/pages/{name}")
	w.Resource("docs", "https://docs.example/pages/listed")
	index := w.Index(1)
	caller(t, index, key)
	for name, want := range map[string]string{
		"https://docs.example/pages/one": "", "https://docs.example/other": "aaa", "https://docs.example/pages/listed": "docs",
	} {
		e, _, ok := index.Resolve(policy.Resource, nil, name)
		if ok != (want != "") || ok && e.Server.Name() != want {
			t.Errorf("%s: found %v, want that of %q", name, ok, want)
		}
	}
	for _, slug := range []string{"aaa", "docs"} {
		server, _ := index.Server(slug)
		if e, _, ok := index.Resolve(policy.Resource, server, "https://docs.example/pages/one"); !ok || !e.Template {
			t.Errorf("%s does not have it at its own endpoint", slug)
		}
	}
}
