package gate_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func TestWhatIsWrongWithAnEntrySetsItAside(t *testing.T) {
	tests := []struct {
		name string
		make func(*gatetest.World)
		want string // key of the item that is set aside
	}{
		{"tool without a server", func(w *gatetest.World) { w.Tool("none", "t", read) }, "tool/none/t"},
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
		{"prompt without a server", func(w *gatetest.World) { w.Prompt("none", "p") }, "prompt/none/p"},
		{"prompt with the exposed name of another", func(w *gatetest.World) { w.Prompt("git", "p"); w.Prompt("git", "q").ExposedName = "git__p" }, "prompt/git/q"},
		{"definition of another prompt", func(w *gatetest.World) { w.Prompt("git", "p").Definition = []byte(`{"name":"q"}`) }, "prompt/git/p"},
		{"risk of a prompt of a later version", func(w *gatetest.World) { w.Prompt("git", "p").Risk = 99 }, "prompt/git/p"},
		{"definition of another resource", func(w *gatetest.World) { w.Resource("git", "x://a").Definition = []byte(`{"uri":"x://b"}`) }, "resource/git/x://a"},
		{"definition without a URI", func(w *gatetest.World) { w.Resource("git", "x://a").Definition = []byte(`{"name":"x://a"}`) }, "resource/git/x://a"},
		{"withheld resource without a server", func(w *gatetest.World) { w.Resource("none", "x://a").Withheld = true }, "resource/none/x://a"},
		{"template that cannot be read", func(w *gatetest.World) { w.Template("git", "x://{a") }, "template/git/x://{a"},
		{"definition of another template", func(w *gatetest.World) { w.Template("git", "x://{a}").Definition = []byte(`{"uriTemplate":"x://{b}"}`) }, "template/git/x://{a}"},
		{"user with a role that is not there", func(w *gatetest.World) { w.User("eve", "all", "ghost") }, "user/eve"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, key := world(t)
			test.make(w)
			index := w.Index(1)
			if !slices.ContainsFunc(index.Unusable(), func(u gate.Unusable) bool { return u.Key == test.want && u.Why != "" }) {
				t.Errorf("set aside are %v; want %s", index.Unusable(), test.want)
			}
			names, _ := listed(t, index.Profile(caller(t, index, key)), gate.Tools, nil)
			if !slices.Contains(names, "git__put") {
				t.Errorf("the rest suffers: %v", names)
			}
			for _, what := range []gate.ListKind{gate.Resources, gate.Templates} {
				if names, _ := listed(t, index.Profile(caller(t, index, key)), what, nil); len(names) > 0 {
					t.Errorf("listed all the same: %v", names)
				}
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

func lastServer(w *gatetest.World) *snapshotv1.Server {
	return w.Items[len(w.Items)-1].GetServer()
}

func TestParamsAreFoundAtAnyDepth(t *testing.T) {
	w := gatetest.New(t)
	w.Server("git")
	w.Tool("git", "t", 1).Definition = []byte(`{"name":"t","inputSchema":{"properties":{
		"x-mcp-header":{"type":"string"}, "any":true,
		"city":{"type":"string","x-mcp-header":"City"},
		"at":{"type":"object","properties":{"zone":{"type":"integer","x-mcp-header":"tz"}}}}}}`)
	tool := find(t, w.Index(1), policy.Tool, nil, "git__t")
	want := []mcp.Param{{Header: "Mcp-Param-City", Path: []string{"city"}}, {Header: "Mcp-Param-Tz", Path: []string{"at", "zone"}}}
	if diff := cmp.Diff(want, tool.Params); diff != "" {
		t.Error(diff)
	}
}

func TestClaimantsOfOneExposedNameAreBothOut(t *testing.T) {
	w := gatetest.New(t)
	w.Server("git", "get", "put")
	w.Tool("git", "fake", read).ExposedName = "git__get"
	index := w.Index(1)
	if _, _, ok := index.Resolve(policy.Tool, nil, "git__get"); ok {
		t.Error("an ambiguous name resolves")
	}
	server, _ := index.Server("git")
	if _, _, ok := index.Resolve(policy.Tool, server, "get"); ok {
		t.Error("a tool is callable on its server's endpoint and not listed")
	}
}

// What is set aside must not come back as something that its server does not
// list.
func TestAResourceThatIsSetAsideDoesNotExist(t *testing.T) {
	w, _ := world(t)
	w.Resource("git", "x://a/1").Definition = []byte(`{}`)
	w.Template("git", "x://b/{id}").Definition = []byte(`{}`)
	w.Template("git", "x://c/{id")
	index := w.Index(1)
	server, _ := index.Server("git")
	for name, want := range map[string]bool{"x://a/1": false, "x://b/1": false, "x://c/1": false, "x://a/2": true, "x://d": true} {
		if _, _, ok := index.Resolve(policy.Resource, server, name); ok != want {
			t.Errorf("%s exists: %v; want %v", name, ok, want)
		}
	}
}
