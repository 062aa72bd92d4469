package gate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// TestNextIsAsIfBuiltAnew changes a world in the ways that concern what is taken over: things change, come, go and are
// set aside, and their places in lists move.
func TestNextIsAsIfBuiltAnew(t *testing.T) {
	for name, change := range map[string]func(w *gatetest.World){
		"nothing":          func(*gatetest.World) {},
		"a tool comes":     func(w *gatetest.World) { w.Tool("git", "a_new_one", snapshotv1.Risk_RISK_READ) },
		"a server comes":   func(w *gatetest.World) { w.Server("a"); w.Resource("a", "https://web.example/1") },
		"things go":        func(w *gatetest.World) { w.Items = append(w.Items[:4:4], w.Items[6:]...) },
		"a name is taken":  func(w *gatetest.World) { w.Tool("mail", "y", snapshotv1.Risk_RISK_READ).ExposedName = "git__get" },
		"a rule comes":     func(w *gatetest.World) { w.Rule(&snapshotv1.Rule{Id: "r", Effect: deny, Tools: []string{"git/get"}}) },
		"a key is revoked": func(w *gatetest.World) { w.Deny(snapshotv1.DenyKind_DENY_KIND_USER, "bob", "gone") },
	} {
		t.Run(name, func(t *testing.T) {
			w := gatetest.New(t)
			w.Role("all", "*")
			w.User("ana", "all")
			w.User("bob", "all")
			for _, server := range []string{"git", "mail"} {
				w.Server(server, "get", "put")
				w.Prompt(server, "ask")
				w.Resource(server, "https://web.example/1")
				w.Template(server, "y://{id}")
			}
			keys := []string{w.Key("ana", "ide", time.Time{}).String(), w.Key("bob", "ide", time.Time{}).String()}
			former := w.Index(1)
			before := seen(t, former, keys)
			change(w)
			set := w.Set(2)
			next, err := former.Next(set, func() {})
			if err != nil {
				t.Fatal(err)
			}
			anew, err := gate.Build(set)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := seen(t, next, keys), seen(t, anew, keys); got != want {
				t.Errorf("callers see:\n%s\nwant:\n%s", got, want)
			}
			if after := seen(t, former, keys); after != before {
				t.Errorf("the former index changed:\n%s\nwas:\n%s", after, before)
			}
		})
	}
}

// seen says what callers see of an index: the lists, and whether what is in them can be used.
func seen(t *testing.T, index *gate.Index, keys []string) (text string) {
	t.Helper()
	for i, presented := range keys {
		key := index.Credentials().Key(presented[4:16])
		if key == nil {
			t.Fatalf("key %d is not there", i)
		}
		profile := index.Profile(key)
		for what := range gate.ListKind(4) {
			for _, era := range []mcp.Era{mcp.Legacy, mcp.Modern} {
				page, _ := profile.List(what, nil, era).Page(nil)
				text += fmt.Sprintf("%d %s: %s\n", i, what, page.Items)
			}
		}
		text += fmt.Sprintf("%x\n", profile.View(nil))
		for _, name := range []string{"git__get", "git__put", "mail__get", "mail__y"} {
			if e, _, ok := index.Resolve(policy.Tool, nil, name); ok {
				text += fmt.Sprintf("%s: %v\n", name, index.Decide(key, e, policy.MethodCall, nil).Allowed())
			}
		}
	}
	return text + fmt.Sprint(len(index.Unusable()))
}

// TestNextReadsOnlyWhatChanged counts what is allocated: reading a definition costs several times as much as taking over
// what was read.
func TestNextReadsOnlyWhatChanged(t *testing.T) {
	w := gatetest.New(t)
	w.Server("git")
	for i := range 500 {
		w.Tool("git", fmt.Sprintf("tool_%d", i), snapshotv1.Risk_RISK_READ)
	}
	former, set := w.Index(1), w.Set(2)
	build := func(former *gate.Index) float64 {
		return testing.AllocsPerRun(5, func() {
			if _, err := former.Next(set, func() {}); err != nil {
				t.Fatal(err)
			}
		})
	}
	if anew, next := build(nil), build(former); next > anew/2 {
		t.Errorf("%v allocations for what did not change, and %v to build it anew", next, anew)
	}
}

// TestNextBreathesAllAlong looks at the longest time between two breaths, by what it has to do: the items of a thousand.
func TestNextBreathesAllAlong(t *testing.T) {
	w := gatetest.New(t)
	w.Server("git")
	w.Role("all", "*")
	for i := range 1000 {
		w.Tool("git", fmt.Sprintf("tool_%d", i), snapshotv1.Risk_RISK_READ)
		w.User(fmt.Sprint("user-", i), "all")
		w.Key(fmt.Sprint("user-", i), "ide", time.Time{})
	}
	set := w.Set(1)
	breaths := 0
	if _, err := (*gate.Index)(nil).Next(set, func() { breaths++ }); err != nil {
		t.Fatal(err)
	}
	// 3000 items are sorted by kind; the tools are read, counted by name, looked at for that, put in order (at least as many
	// comparisons), filed and decided on; the users are filed; the keys get profiles and places.
	if want := 3000 + 6*1000 + 1000 + 2*1000; breaths < want {
		t.Errorf("%d breaths; want %d at least", breaths, want)
	}
}
