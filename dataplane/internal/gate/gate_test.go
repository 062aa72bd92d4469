package gate_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
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

const (
	allow = snapshotv1.Effect_EFFECT_ALLOW
	deny  = snapshotv1.Effect_EFFECT_DENY
)

func caller(t testing.TB, index *gate.Index, key apikey.Key) *credential.Key {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	r.Header.Set("Authorization", "Bearer "+key.String())
	found, refusal := index.Credentials().Authenticate(r, time.Now())
	if refusal != nil {
		t.Fatalf("key is refused: %s", refusal.Reason)
	}
	return found
}

// listed returns the names in a list, and the whole of it.
func listed(t testing.TB, list *gate.List) (names []string, text string) {
	t.Helper()
	for cursor := ""; ; {
		page, ok := list.Page(cursor)
		if !ok {
			t.Fatalf("cursor %q of the list is not of the list", cursor)
		}
		err := mcp.Elements(page.Tools, func(span mcp.Span) error {
			definition := span.Of(page.Tools)
			return mcp.Members(definition, func(name string, value mcp.Span) error {
				if name == "name" {
					decoded, err := mcp.String(value.Of(definition))
					names = append(names, decoded)
					return err
				}
				return nil
			})
		})
		if err != nil {
			t.Fatalf("page is no array of definitions: %v", err)
		}
		text += string(page.Tools)
		if cursor = page.Next; cursor == "" {
			return names, text
		}
	}
}

func TestListHasDefinitionsVerbatimButForTheExposedName(t *testing.T) {
	w := gatetest.New(t)
	w.Server("git", "get", "put")
	w.Role("all")
	w.User("ana", "all")
	key := w.Key("ana", "ide", time.Time{})
	index := w.Index(1)
	profile := index.Profile(caller(t, index, key))

	_, aggregate := listed(t, profile.List(nil))
	renamed := func(name string) string {
		return strings.Replace(string(gatetest.Definition(name)), `"name":"`+name+`"`, `"name":"git__`+name+`"`, 1)
	}
	if diff := cmp.Diff("["+renamed("get")+","+renamed("put")+"]", aggregate); diff != "" {
		t.Errorf("aggregate: %s", diff)
	}
	server, _ := index.Server("git")
	_, own := listed(t, profile.List(server))
	if diff := cmp.Diff("["+string(gatetest.Definition("get"))+","+string(gatetest.Definition("put"))+"]", own); diff != "" {
		t.Errorf("server: %s", diff)
	}
}

func TestListIsOrderedByServerThenPosition(t *testing.T) {
	w := gatetest.New(t)
	w.Server("zeta", "b", "a")
	w.Server("alpha", "z", "y")
	w.Role("all")
	w.User("ana", "all")
	key := w.Key("ana", "ide", time.Time{})
	index := w.Index(1)
	names, _ := listed(t, index.Profile(caller(t, index, key)).List(nil))
	if diff := cmp.Diff([]string{"alpha__z", "alpha__y", "zeta__b", "zeta__a"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestEmptyListIsAnEmptyArray(t *testing.T) {
	w := gatetest.New(t)
	w.Server("git", "get")
	w.User("ana")
	key := w.Key("ana", "ide", time.Time{})
	index := w.Index(1)
	profile := index.Profile(caller(t, index, key))
	if names, text := listed(t, profile.List(nil)); len(names) > 0 || text != "[]" {
		t.Errorf("got %s; want []", text)
	}
	if server, _ := index.Server("git"); profile.Sees(server) {
		t.Error("a server without a callable tool is seen")
	}
}

// TestP06 builds random worlds and compares, for every caller and endpoint, the
// list with what Decide says of each tool, and both with policy.Decide for that
// very caller: profiles must not mix callers up.
func TestP06_ListAndCallAgreeForEveryCaller(t *testing.T) {
	listedSome, deniedSome := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		w := gatetest.New(t)
		servers := []string{"git", "mail", "x1"}
		for _, server := range servers {
			w.Server(server)
			for i := range rapid.IntRange(0, 4).Draw(r, "tools") {
				tool := w.Tool(server, fmt.Sprintf("tool_%d", i), drawRisk(r))
				tool.Position = uint32(rapid.IntRange(0, 2).Draw(r, "position"))
			}
		}
		w.Role("dev", "git/*")
		w.Role("reader", rapid.SampledFrom([]string{"*", "mail/*", "*/tool_1"}).Draw(r, "glob"))
		keys := drawCallers(r, w)
		drawRules(r, w)
		set := w.Set(7)
		index, err := gate.Build(set)
		if err != nil {
			r.Fatal(err)
		}
		for _, key := range keys {
			l, d := agree(r, t, index, caller(t, index, key), compiled(t, set))
			listedSome, deniedSome = listedSome+l, deniedSome+d
		}
	})
	if listedSome == 0 || deniedSome == 0 {
		t.Fatalf("worlds are too uniform: %d listed, %d denied", listedSome, deniedSome)
	}
}

func drawRisk(r *rapid.T) snapshotv1.Risk {
	return snapshotv1.Risk(rapid.IntRange(0, 7).Draw(r, "risk"))
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
			Risks:        rapid.SampledFrom([][]snapshotv1.Risk{nil, {snapshotv1.Risk_RISK_READ}}).Draw(r, "risks"),
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

// agree compares lists and calls of one caller; it returns how many tools were
// listed and how many denied.
func agree(r *rapid.T, t *testing.T, index *gate.Index, key *credential.Key, set *policy.Set) (allowed, denied int) {
	names, _ := listed(t, index.Profile(key).List(nil))
	for _, slug := range []string{"git", "mail", "x1"} {
		server, ok := index.Server(slug)
		if !ok {
			r.Fatalf("server %s is gone", slug)
		}
		own, _ := listed(t, index.Profile(key).List(server))
		for i := range 5 {
			name := fmt.Sprintf("tool_%d", i)
			tool, ok := server.Tool(name)
			if !ok {
				if slices.Contains(own, name) {
					r.Fatalf("%s/%s does not exist and is listed", slug, name)
				}
				continue
			}
			want := policy.Decide(set, &policy.Request{
				Principal: key.Principal, Method: "tools/call", Server: slug, Tool: name, Risk: tool.Risk,
			})
			if diff := cmp.Diff(want, index.Decide(key, tool)); diff != "" {
				r.Fatalf("%s/%s for %+v: %s", slug, name, key.Principal, diff)
			}
			exposed := slices.Contains(names, tool.Item.GetExposedName())
			if exposed != want.Allowed() || slices.Contains(own, name) != want.Allowed() || want.Allowed() && !index.Profile(key).Sees(server) {
				r.Fatalf("%s/%s for %+v: decision %v, on the aggregate %v, list %v", slug, name, key.Principal, want, names, own)
			}
			if want.Allowed() {
				allowed++
			} else {
				denied++
			}
		}
	}
	if len(names) != allowed {
		r.Fatalf("aggregate lists %v, %d are allowed", names, allowed)
	}
	return allowed, denied
}

func TestLongListsComeInPagesWithBoundCursors(t *testing.T) {
	w := gatetest.New(t)
	w.Server("big")
	for i := range 30 {
		tool := w.Tool("big", fmt.Sprintf("tool_%02d", i), snapshotv1.Risk_RISK_READ)
		tool.Position = uint32(i)
		tool.Definition = fmt.Appendf(nil, `{"name":"tool_%02d","description":"%s"}`, i, strings.Repeat("x", 100<<10))
	}
	w.Role("all")
	w.Role("some", "big/tool_0*", "big/tool_1*")
	w.User("ana", "all")
	w.User("bob", "some")
	ana, bob := w.Key("ana", "ide", time.Time{}), w.Key("bob", "ide", time.Time{})
	index := w.Index(1)
	list := index.Profile(caller(t, index, ana)).List(nil)

	names, _ := listed(t, list)
	if len(names) != 30 || !slices.IsSorted(names) {
		t.Errorf("pages hold %v", names)
	}
	first, _ := list.Page("")
	if first.Next == "" || len(first.Tools) > 1<<20 {
		t.Fatalf("first page has %d bytes and next %q", len(first.Tools), first.Next)
	}
	if _, ok := index.Profile(caller(t, index, bob)).List(nil).Page(first.Next); ok {
		t.Error("a cursor of another list is taken")
	}
	if _, ok := list.Page(first.Next[1:]); ok {
		t.Error("a cut cursor is taken")
	}
	again := w.Index(2)
	if same, _ := again.Profile(caller(t, again, ana)).List(nil).Page(""); same.Next != first.Next {
		t.Error("the same list has another cursor at another revision")
	}
}

func TestAnOversizedDefinitionStillHasAPage(t *testing.T) {
	w := gatetest.New(t)
	w.Server("big", "a")
	w.Tool("big", "b", snapshotv1.Risk_RISK_READ).Definition = fmt.Appendf(nil, `{"name":"b","x":"%s"}`, strings.Repeat("x", 3<<20))
	w.Role("all")
	w.User("ana", "all")
	key := w.Key("ana", "", time.Time{})
	index := w.Index(1)
	if names, _ := listed(t, index.Profile(caller(t, index, key)).List(nil)); len(names) != 2 {
		t.Errorf("listed %v", names)
	}
}

func TestWhatIsWrongWithAnEntrySetsItAside(t *testing.T) {
	tests := []struct {
		name string
		make func(*gatetest.World)
		want string // key of the item that is set aside
	}{
		{"tool without a server", func(w *gatetest.World) { w.Tool("none", "t", snapshotv1.Risk_RISK_READ) }, "tool/none/t"},
		{"server without a URL", func(w *gatetest.World) { w.Server("bad"); lastServer(w).Url = "" }, "server/bad"},
		{"server with another scheme", func(w *gatetest.World) { w.Server("bad"); lastServer(w).Url = "file:///etc" }, "server/bad"},
		{"server with a wild name", func(w *gatetest.World) { w.Server("Bad_Name") }, "server/Bad_Name"},
		{"definition is no object", func(w *gatetest.World) { w.Tool("git", "t", 1).Definition = []byte(`["t"]`) }, "tool/git/t"},
		{"definition has trailing bytes", func(w *gatetest.World) { w.Tool("git", "t", 1).Definition = []byte(`{"name":"t"}{}`) }, "tool/git/t"},
		{"definition has two names", func(w *gatetest.World) { w.Tool("git", "t", 1).Definition = []byte(`{"name":"t","name":"t"}`) }, "tool/git/t"},
		{"definition of another tool", func(w *gatetest.World) { w.Tool("git", "t", 1).Definition = []byte(`{"name":"get"}`) }, "tool/git/t"},
		{"definition without a name", func(w *gatetest.World) { w.Tool("git", "t", 1).Definition = []byte(`{}`) }, "tool/git/t"},
		{"risk of a later version", func(w *gatetest.World) { w.Tool("git", "t", 99) }, "tool/git/t"},
		{"no exposed name", func(w *gatetest.World) { w.Tool("git", "t", 1).ExposedName = "" }, "tool/git/t"},
		{"exposed name with a dot", func(w *gatetest.World) { w.Tool("git", "t", 1).ExposedName = "a.b" }, "tool/git/t"},
		{"exposed name too long", func(w *gatetest.World) { w.Tool("git", "t", 1).ExposedName = strings.Repeat("a", 65) }, "tool/git/t"},
		{"exposed name twice", func(w *gatetest.World) { w.Tool("git", "t", 1).ExposedName = "git__get" }, "tool/git/t"},
		{"header on an object", annotate(`{"a":{"type":"object","x-mcp-header":"A"}}`), "tool/git/t"},
		{"header with a space", annotate(`{"a":{"type":"string","x-mcp-header":"A b"}}`), "tool/git/t"},
		{"header without a name", annotate(`{"a":{"type":"string","x-mcp-header":""}}`), "tool/git/t"},
		{"header twice", annotate(`{"a":{"type":"string","x-mcp-header":"A"},"b":{"properties":{"c":{"type":"string","x-mcp-header":"a"}}}}`), "tool/git/t"},
		{"properties are no object", annotate(`["x-mcp-header"]`), "tool/git/t"},
		{"user with a role that is not there", func(w *gatetest.World) { w.User("eve", "all", "ghost") }, "user/eve"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := gatetest.New(t)
			w.Server("git", "get", "put")
			w.Role("all")
			w.User("ana", "all")
			key := w.Key("ana", "ide", time.Time{})
			test.make(w)
			index := w.Index(1)
			if !slices.ContainsFunc(index.Unusable(), func(u gate.Unusable) bool { return u.Key == test.want && u.Why != "" }) {
				t.Errorf("set aside are %v; want %s", index.Unusable(), test.want)
			}
			names, _ := listed(t, index.Profile(caller(t, index, key)).List(nil))
			if !slices.Contains(names, "git__put") {
				t.Errorf("the rest suffers: %v", names)
			}
			if slices.ContainsFunc(names, func(name string) bool { return name != "git__put" && name != "git__get" }) {
				t.Errorf("listed all the same: %v", names)
			}
		})
	}
}

func annotate(properties string) func(*gatetest.World) {
	return func(w *gatetest.World) {
		w.Tool("git", "t", 1).Definition = []byte(`{"name":"t","inputSchema":{"properties":` + properties + `}}`)
	}
}

func TestParamsAreFoundAtAnyDepth(t *testing.T) {
	w := gatetest.New(t)
	w.Server("git")
	w.Tool("git", "t", 1).Definition = []byte(`{"name":"t","inputSchema":{"properties":{
		"x-mcp-header":{"type":"string"}, "any":true,
		"city":{"type":"string","x-mcp-header":"City"},
		"at":{"type":"object","properties":{"zone":{"type":"integer","x-mcp-header":"tz"}}}}}}`)
	tool, ok := w.Index(1).Exposed("git__t")
	if !ok {
		t.Fatal("the tool is set aside")
	}
	want := []gate.Param{{Header: "Mcp-Param-City", Path: []string{"city"}}, {Header: "Mcp-Param-Tz", Path: []string{"at", "zone"}}}
	if diff := cmp.Diff(want, tool.Params); diff != "" {
		t.Error(diff)
	}
}

func lastServer(w *gatetest.World) *snapshotv1.Server {
	return w.Items[len(w.Items)-1].GetServer()
}

func TestClaimantsOfOneExposedNameAreBothOut(t *testing.T) {
	w := gatetest.New(t)
	w.Server("git", "get", "put")
	w.Tool("git", "fake", snapshotv1.Risk_RISK_READ).ExposedName = "git__get"
	index := w.Index(1)
	if _, ok := index.Exposed("git__get"); ok {
		t.Error("an ambiguous name resolves")
	}
	server, _ := index.Server("git")
	if _, ok := server.Tool("get"); ok {
		t.Error("a tool is callable on its server's endpoint and not listed")
	}
}

func TestKeysThatAreNotGoodAreUnknown(t *testing.T) {
	w := gatetest.New(t)
	w.Role("all")
	w.User("ana", "all")
	w.User("eve", "ghost")
	orphan := w.Key("nobody", "ide", time.Time{})
	ghost := w.Key("eve", "ide", time.Time{})
	short := w.Key("ana", "ide", time.Time{})
	w.Items[len(w.Items)-1].GetKey().Hash = []byte("short")
	revoked := w.Key("ana", "ide", time.Time{})
	w.Deny(snapshotv1.DenyKind_DENY_KIND_KEY, revoked.ID, "lost")
	good := w.Key("ana", "ide", time.Time{})
	index := w.Index(1)
	caller(t, index, good)
	for name, key := range map[string]apikey.Key{"orphan": orphan, "ghost role": ghost, "short hash": short, "revoked": revoked} {
		r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
		r.Header.Set("Authorization", "Bearer "+key.String())
		if _, refusal := index.Credentials().Authenticate(r, time.Now()); refusal == nil || refusal.Reason != credential.ReasonUnknown {
			t.Errorf("%s: got %+v; want %s", name, refusal, credential.ReasonUnknown)
		}
	}
}

func TestP09_SnapshotsThatSayNothingSureAreRefused(t *testing.T) {
	tests := map[string]func(*gatetest.World){
		"no settings":    func(w *gatetest.World) { w.Items = nil },
		"no pepper":      func(w *gatetest.World) { w.Items[0].GetSettings().KeyPepper = nil },
		"no digest key":  func(w *gatetest.World) { w.Items[0].GetSettings().DigestKey = nil },
		"unknown effect": func(w *gatetest.World) { w.Rule(&snapshotv1.Rule{Id: "r", Name: "r", Effect: 9}) },
		"no effect":      func(w *gatetest.World) { w.Rule(&snapshotv1.Rule{Id: "r", Name: "r"}) },
		"broken glob": func(w *gatetest.World) {
			w.Rule(&snapshotv1.Rule{Id: "r", Name: "r", Effect: allow, Tools: []string{"[git/*"}})
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			w := gatetest.New(t)
			w.Server("git", "get")
			spoil(w)
			if index, err := gate.Build(w.Set(1)); err == nil {
				t.Errorf("built %d tools", index.Tools())
			}
		})
	}
}

func TestDecideRefusesToMixRevisions(t *testing.T) {
	w := gatetest.New(t)
	w.Server("git", "get")
	w.Role("all")
	w.User("ana", "all")
	key := w.Key("ana", "ide", time.Time{})
	old, fresh := w.Index(1), w.Index(2)
	tool, _ := fresh.Exposed("git__get")
	if decision := old.Decide(caller(t, old, key), tool); decision.Allowed() {
		t.Errorf("tool of another index: %+v", decision)
	}
	if decision := fresh.Decide(caller(t, old, key), tool); decision.Allowed() {
		t.Errorf("key of another index: %+v", decision)
	}
	if names, _ := listed(t, fresh.Profile(caller(t, old, key)).List(nil)); len(names) > 0 {
		t.Errorf("key of another index sees %v", names)
	}
}

func TestDigestIsKeyedAndRepeatable(t *testing.T) {
	index := gatetest.New(t).Index(1)
	one, two := index.Digest(nil, []byte("x")), index.Digest(nil, []byte("x"))
	if !bytes.Equal(one, two) || len(one) != 32 || bytes.Equal(one, index.Digest(nil, []byte("y"))) {
		t.Errorf("digests %x, %x", one, two)
	}
	other := gatetest.New(t)
	other.Items[0].GetSettings().DigestKey = []byte("another digest key, long enough")
	if bytes.Equal(one, other.Index(1).Digest(nil, []byte("x"))) {
		t.Error("the digest does not depend on the key")
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	w := gatetest.New(t)
	w.Server("git", "get")
	w.Role("all")
	w.User("ana", "all")
	key := w.Key("ana", "ide", time.Time{})
	index := w.Index(1)
	holder := caller(t, index, key)
	allocs := testing.AllocsPerRun(100, func() {
		tool, _ := index.Exposed("git__get")
		if !index.Decide(holder, tool).Allowed() {
			t.Fatal("denied")
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations; want 0", allocs)
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, size := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("tools-and-rules-%d", size), func(b *testing.B) {
			index, key := bigIndex(b, size, 10)
			holder := caller(b, index, key)
			tool, _ := index.Exposed("big__tool_7")
			b.ReportAllocs()
			for b.Loop() {
				index.Decide(holder, tool)
			}
		})
	}
}

// BenchmarkBuild has 20,000 tools and 20,000 keys: performance.md gives it one
// second.
func BenchmarkBuild(b *testing.B) {
	w := bigWorld(b, 20_000, 20_000)
	set := w.Set(1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gate.Build(set); err != nil {
			b.Fatal(err)
		}
	}
}

func bigIndex(b *testing.B, tools, keys int) (*gate.Index, apikey.Key) {
	w := bigWorld(b, tools, keys)
	for i := range tools {
		w.Rule(&snapshotv1.Rule{Id: fmt.Sprint(i), Name: fmt.Sprint("r", i), Effect: deny, Tools: []string{fmt.Sprintf("*/none_%d", i)}})
	}
	key := w.Key("user_0", "ide", time.Time{})
	return w.Index(1), key
}

func bigWorld(b *testing.B, tools, keys int) *gatetest.World {
	w := gatetest.New(b)
	w.Server("big")
	filler := strings.Repeat("A tool that does this and that. ", 24)
	for i := range tools {
		tool := w.Tool("big", fmt.Sprintf("tool_%d", i), snapshotv1.Risk_RISK_READ)
		tool.Definition = fmt.Appendf(nil, `{"name":"tool_%d","description":"%s","inputSchema":{"type":"object"}}`, i, filler)
	}
	w.Role("all")
	w.Role("some", "big/tool_1*")
	random := rand.New(rand.NewPCG(1, 2))
	for i := range keys {
		user := fmt.Sprintf("user_%d", i)
		w.User(user, []string{"all", "some"}[random.IntN(2)])
		w.Key(user, "ide", time.Time{})
	}
	return w
}
