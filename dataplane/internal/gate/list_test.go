package gate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func TestListHasDefinitionsVerbatimButForTheExposedName(t *testing.T) {
	w, key := world(t)
	index := w.Index(1)
	profile := index.Profile(caller(t, index, key))

	_, aggregate := listed(t, profile, gate.Tools, nil)
	renamed := func(name string) string {
		return strings.Replace(string(gatetest.Definition(name)), `"name":"`+name+`"`, `"name":"git__`+name+`"`, 1)
	}
	if diff := cmp.Diff("["+renamed("get")+","+renamed("put")+"]", aggregate); diff != "" {
		t.Errorf("aggregate: %s", diff)
	}
	server, _ := index.Server("git")
	_, own := listed(t, profile, gate.Tools, server)
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
	names, _ := listed(t, index.Profile(caller(t, index, key)), gate.Tools, nil)
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
	if names, text := listed(t, profile, gate.Tools, nil); len(names) > 0 || text != "[]" {
		t.Errorf("got %s; want []", text)
	}
	if server, _ := index.Server("git"); profile.Sees(server) {
		t.Error("a server without a callable tool is seen")
	}
}

func TestAnOversizedDefinitionStillHasAPage(t *testing.T) {
	w := gatetest.New(t)
	w.Server("big", "a")
	w.Tool("big", "b", read).Definition = fmt.Appendf(nil, `{"name":"b","x":"%s"}`, strings.Repeat("x", 3<<20))
	w.Role("all")
	w.User("ana", "all")
	key := w.Key("ana", "", time.Time{})
	index := w.Index(1)
	if names, _ := listed(t, index.Profile(caller(t, index, key)), gate.Tools, nil); len(names) != 2 {
		t.Errorf("listed %v", names)
	}
}

func TestEachListNamesThingsForItsEndpoint(t *testing.T) {
	w, key := world(t)
	w.Prompt("git", "ask me")
	w.Resource("git", "file:///a\"b")
	w.Resource("git", "https://git.example/x")
	w.Template("git", "repo://{owner}/{name}")
	w.Template("git", "https://git.example/{name}")
	index := w.Index(1)
	profile := index.Profile(caller(t, index, key))
	server, _ := index.Server("git")
	for _, test := range []struct {
		what           gate.ListKind
		aggregate, own []string
	}{
		{gate.Tools, []string{"git__get", "git__put"}, []string{"get", "put"}},
		{gate.Prompts, []string{mcp.ExposedName("git", "ask me")}, []string{"ask me"}},
		{gate.Resources, []string{"git+file:///a\"b", "https://git.example/x"}, []string{"file:///a\"b", "https://git.example/x"}},
		{gate.Templates, []string{"https://git.example/{name}", "git+repo://{owner}/{name}"}, []string{"https://git.example/{name}", "repo://{owner}/{name}"}},
	} {
		names, text := listed(t, profile, test.what, nil)
		if diff := cmp.Diff(test.aggregate, names); diff != "" || !strings.Contains(text, "12345678901234567890") {
			t.Errorf("%s of the aggregate: %s in %s", test.what, diff, text)
		}
		if names, _ := listed(t, profile, test.what, server); cmp.Diff(test.own, names) != "" {
			t.Errorf("%s of the server: %v", test.what, names)
		}
	}
}

func TestPagesOfAppsAreNamedForTheAggregate(t *testing.T) {
	w, key := world(t)
	const own = `{"_meta":{"ui":{"visibility":["app"],"resourceUri":"ui://a"},"ui/resourceUri" : "ui://a","x":1},"name":"t"}`
	w.Tool("git", "t", read).Definition = []byte(own)
	w.Tool("git", "u", read).Definition = []byte(`{"_meta":[],"name":"u"}`)
	index := w.Index(1)
	profile := index.Profile(caller(t, index, key))
	_, text := listed(t, profile, gate.Tools, nil)
	if want := strings.NewReplacer("ui://a", "ui://git/a", `"name":"t"`, `"name":"git__t"`).Replace(own); !strings.Contains(text, want) {
		t.Errorf("the aggregate lists %s; want %s in it", text, want)
	}
	server, _ := index.Server("git")
	if _, text := listed(t, profile, gate.Tools, server); !strings.Contains(text, own) {
		t.Errorf("the server lists %s", text)
	}
}

func TestLegacyClientsGetTheSameBytesWhereTheyCan(t *testing.T) {
	w, key := world(t)
	w.Server("new")
	w.Tool("new", "n", read).Definition = []byte(`{"outputSchema":{"type":"array"},"name":"n"}`)
	index := w.Index(1)
	profile := index.Profile(caller(t, index, key))
	git, _ := index.Server("git")
	if profile.List(gate.Tools, git, mcp.Legacy) != profile.List(gate.Tools, git, mcp.Modern) {
		t.Error("a list without differences is there twice")
	}
	if profile.List(gate.Prompts, nil, mcp.Legacy) != profile.List(gate.Prompts, nil, mcp.Modern) {
		t.Error("a list of prompts is there twice")
	}
	names, modern := walked(t, profile.List(gate.Tools, nil, mcp.Modern), "name")
	same, legacy := walked(t, profile.List(gate.Tools, nil, mcp.Legacy), "name")
	if !strings.Contains(modern, `"array"`) || strings.Contains(legacy, "outputSchema") || !strings.Contains(legacy, `"name":"new__n"`) {
		t.Errorf("modern clients get %s, legacy ones %s", modern, legacy)
	}
	if diff := cmp.Diff(names, same); diff != "" || len(names) != 3 {
		t.Errorf("other tools: %s", diff)
	}
}

// long adds a server with tools of about 100 KiB each, at positions that leave
// room between them.
func long(w *gatetest.World, tools int) {
	w.Server("big")
	for i := range tools {
		tool := w.Tool("big", fmt.Sprintf("tool_%02d", i), read)
		tool.Position = uint32(10 * i)
		tool.Definition = fmt.Appendf(nil, `{"name":"tool_%02d","description":"%s"}`, i, strings.Repeat("x", 100<<10))
	}
}

func TestLongListsComeInPages(t *testing.T) {
	w := gatetest.New(t)
	long(w, 30)
	w.Role("all")
	w.User("ana", "all")
	key := w.Key("ana", "ide", time.Time{})
	index := w.Index(1)
	list := index.Profile(caller(t, index, key)).List(gate.Tools, nil, mcp.Legacy)
	names, _ := walked(t, list, "name")
	if len(names) != 30 || !slices.IsSorted(names) {
		t.Errorf("pages hold %v", names)
	}
	first, _ := list.Page(nil)
	if first.Next == nil || len(first.Items) > 1<<20 {
		t.Fatalf("first page has %d bytes and next %v", len(first.Items), first.Next)
	}
	again := w.Index(2)
	if same, _ := again.Profile(caller(t, again, key)).List(gate.Tools, nil, mcp.Legacy).Page(nil); *same.Next != *first.Next {
		t.Error("the same list has another cursor at another revision")
	}
	for why, spoil := range map[string]func(*gate.Cursor){
		"a page too far":   func(c *gate.Cursor) { c.Page = 99 },
		"a page before":    func(c *gate.Cursor) { c.Page = -1 },
		"nothing to go by": func(c *gate.Cursor) { c.Digest[0]++; c.Last = "" },
		"a broken place":   func(c *gate.Cursor) { c.Digest[0]++; c.Last = "big/x/tool" },
	} {
		cursor := *first.Next
		spoil(&cursor)
		if _, ok := list.Page(&cursor); ok {
			t.Errorf("%s: taken", why)
		}
	}
}

// A client that walks through a list while it changes gets what it had not got,
// and nothing twice.
func TestACursorOutlivesTheList(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := gatetest.New(t)
		tools := rapid.IntRange(12, 25).Draw(r, "tools")
		long(w, tools)
		w.Role("all")
		w.User("ana", "all")
		key := w.Key("ana", "ide", time.Time{})
		before := w.Index(1)
		page, _ := before.Profile(caller(t, before, key)).List(gate.Tools, nil, mcp.Modern).Page(nil)
		got := decode(t, page.Items, "name")

		gone := rapid.SliceOfDistinct(rapid.IntRange(0, tools-1), rapid.ID[int]).Draw(r, "gone")
		w.Items = slices.DeleteFunc(w.Items, func(item *snapshotv1.Item) bool {
			tool := item.GetTool()
			return tool != nil && slices.Contains(gone, int(tool.GetPosition())/10)
		})
		for _, i := range rapid.SliceOfDistinct(rapid.IntRange(0, tools), rapid.ID[int]).Draw(r, "added") {
			w.Tool("big", fmt.Sprintf("new_%02d", i), read).Position = uint32(10*i + 5)
		}
		after := w.Index(2)
		list := after.Profile(caller(t, after, key)).List(gate.Tools, nil, mcp.Modern)
		want, _ := walked(t, list, "name")
		last := got[len(got)-1]
		want = slices.DeleteFunc(want, func(name string) bool { return order(name) <= order(last) })

		var rest []string
		for cursor := page.Next; cursor != nil; {
			page, ok := list.Page(cursor)
			if !ok {
				r.Fatalf("cursor %v is refused", cursor)
			}
			rest = append(rest, decode(t, page.Items, "name")...)
			cursor = page.Next
		}
		if diff := cmp.Diff(want, rest, cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("after %s: %s", last, diff)
		}
	})
}

// order is the place of a tool of a long list, or of one added to it.
func order(name string) int {
	var n int
	if _, err := fmt.Sscanf(name, "big__tool_%d", &n); err == nil {
		return 10 * n
	}
	if _, err := fmt.Sscanf(name, "big__new_%d", &n); err != nil {
		panic(name)
	}
	return 10*n + 5
}

func TestViewChangesExactlyWithWhatIsSeen(t *testing.T) {
	type change func(*gatetest.World)
	build := func(changes ...change) (*gate.Profile, *gate.Server) {
		w := gatetest.New(t)
		w.Server("git", "get", "put")
		w.Server("mail", "send")
		w.Prompt("git", "ask")
		w.Resource("git", "x://a")
		w.Template("git", "x://{b}")
		w.Role("all")
		w.User("ana", "all")
		for _, c := range changes {
			c(w)
		}
		key := w.Key("ana", "ide", time.Time{})
		index := w.Index(uint64(7 + len(changes)))
		server, _ := index.Server("git")
		return index.Profile(caller(t, index, key)), server
	}
	profile, git := build()
	aggregate, own := profile.View(nil), profile.View(git)
	for why, test := range map[string]struct {
		change         change
		aggregate, own []gate.ListKind // that change
	}{
		"nothing": {change: func(*gatetest.World) {}},
		"a rule about others": {change: func(w *gatetest.World) {
			w.Rule(&snapshotv1.Rule{Id: "r", Effect: deny, Users: []string{"bob"}})
		}},
		"a tool of another server": {func(w *gatetest.World) { w.Tool("mail", "list", read) }, []gate.ListKind{gate.Tools}, nil},
		"a tool":                   {func(w *gatetest.World) { w.Tool("git", "more", read) }, []gate.ListKind{gate.Tools}, []gate.ListKind{gate.Tools}},
		"a definition": {func(w *gatetest.World) {
			w.Items[1+1].GetTool().Definition = []byte(`{"name":"get","description":"new"}`)
		}, []gate.ListKind{gate.Tools}, []gate.ListKind{gate.Tools}},
		"a rule": {func(w *gatetest.World) {
			w.Rule(&snapshotv1.Rule{Id: "r", Effect: deny, Prompts: []string{"git/*"}, Resources: []string{"git/x://a"}})
		}, []gate.ListKind{gate.Prompts, gate.Resources}, []gate.ListKind{gate.Prompts, gate.Resources}},
		"a template": {func(w *gatetest.World) { w.Template("git", "y://{c}") }, []gate.ListKind{gate.Templates}, []gate.ListKind{gate.Templates}},
	} {
		profile, git := build(test.change)
		for scope, views := range map[string][2]gate.View{"aggregate": {aggregate, profile.View(nil)}, "own": {own, profile.View(git)}} {
			var changed []gate.ListKind
			for what := range views[0] {
				if views[0][what] != views[1][what] {
					changed = append(changed, gate.ListKind(what))
				}
			}
			want := map[string][]gate.ListKind{"aggregate": test.aggregate, "own": test.own}[scope]
			if diff := cmp.Diff(want, changed); diff != "" {
				t.Errorf("%s, %s: %s", why, scope, diff)
			}
			if same := views[0] == views[1]; same != (len(want) == 0) {
				t.Errorf("%s, %s: equal %v", why, scope, same)
			}
		}
	}
}
