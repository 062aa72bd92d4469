package gate_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func TestCapabilitiesAreThoseOfTheServersThatAreSeen(t *testing.T) {
	const everything = `{"tools":{},"prompts":{"listChanged":false},"resources":{"subscribe":true},"completions":{},"logging":{},
		"experimental":{"x":{}},"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html"]},"vendor/x":{}}}`
	w := gatetest.New(t)
	w.Server("all", "t")
	lastServerOf(w, "all").Capabilities = []byte(everything)
	w.Server("docs")
	lastServerOf(w, "docs").Capabilities = []byte(`{"resources":{},"prompts":{}}`)
	w.Resource("docs", "x://a")
	w.Server("unknown", "t")
	w.Template("unknown", "x://{a}")
	w.Server("broken", "t")
	lastServerOf(w, "broken").Capabilities = []byte(`{"logging":7`)
	for user, globs := range map[string][]string{"ana": nil, "bob": {"unknown/*", "broken/*"}, "cyd": {"none/*"}} {
		w.Role(user, globs...)
		w.User(user, user)
	}
	ana, bob, cyd := w.Key("ana", "", time.Time{}), w.Key("bob", "", time.Time{}), w.Key("cyd", "", time.Time{})
	index := w.Index(1)
	const carried = `"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"completions":{},"logging":{}`
	for _, test := range []struct {
		who   apikey.Key
		scope string
		era   mcp.Era
		want  string
	}{
		{ana, "all", mcp.Legacy, `{` + carried + `}`},
		{ana, "all", mcp.Modern, `{` + carried + `,"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html"]}}}`},
		{ana, "docs", mcp.Modern, `{"prompts":{"listChanged":true},"resources":{"listChanged":true}}`},
		{ana, "unknown", mcp.Modern, `{"tools":{"listChanged":true},"resources":{"listChanged":true}}`},
		{ana, "broken", mcp.Modern, `{"tools":{"listChanged":true}}`},
		{ana, "", mcp.Legacy, `{` + carried + `}`},
		{bob, "", mcp.Legacy, `{"tools":{"listChanged":true}}`},
		{bob, "unknown", mcp.Legacy, `{"tools":{"listChanged":true}}`},
		{bob, "all", mcp.Legacy, `{}`},
		{cyd, "", mcp.Modern, `{}`},
	} {
		var scope *gate.Server
		if test.scope != "" {
			scope, _ = index.Server(test.scope)
		}
		if got := string(index.Profile(caller(t, index, test.who)).Capabilities(scope, test.era)); got != test.want {
			t.Errorf("%s at %q: %s; want %s", test.era, test.scope, got, test.want)
		}
	}
}

// lastServerOf returns the server of a name.
func lastServerOf(w *gatetest.World, slug string) *snapshotv1.Server {
	for _, item := range w.Items {
		if item.GetServer().GetName() == slug {
			return item.GetServer()
		}
	}
	panic("no server " + slug)
}

func TestServersOfAScopeAreThoseThatAreSeen(t *testing.T) {
	w := gatetest.New(t)
	w.Server("mail")
	w.Prompt("mail", "ask")
	w.Server("git", "get")
	w.Server("none", "get")
	w.Server("bare")
	w.Rule(&snapshotv1.Rule{Id: "r", Effect: deny, Tools: []string{"none/*"}})
	w.Role("all")
	w.User("ana", "all")
	key := w.Key("ana", "", time.Time{})
	index := w.Index(1)
	profile := index.Profile(caller(t, index, key))
	var seen []string
	for _, server := range profile.Servers(nil) {
		seen = append(seen, server.Name())
	}
	if diff := cmp.Diff([]string{"git", "mail"}, seen); diff != "" {
		t.Error(diff)
	}
	for slug, want := range map[string]bool{"git": true, "mail": true, "none": false, "bare": false} {
		server, _ := index.Server(slug)
		if one := profile.Servers(server); profile.Sees(server) != want || (len(one) == 1) != want {
			t.Errorf("%s: seen %v, scope %v", slug, profile.Sees(server), one)
		}
	}
}

func TestEraOfAServerFollowsFromItsVersion(t *testing.T) {
	w := gatetest.New(t)
	for slug, version := range map[string]string{"none": "", "sse": "2024-11-05", "old": "2025-11-25", "new": "2026-07-28", "later": "2027-01-01"} {
		w.Server(slug)
		lastServerOf(w, slug).ProtocolVersion = version
	}
	index := w.Index(1)
	for slug, want := range map[string]mcp.Era{"none": 0, "sse": mcp.Legacy, "old": mcp.Legacy, "new": mcp.Modern, "later": mcp.Modern} {
		if server, _ := index.Server(slug); server.Era() != want {
			t.Errorf("%s is %s", slug, server.Era())
		}
	}
}

func TestInstructionsAreThoseOfTheServersThatAreSeen(t *testing.T) {
	w := gatetest.New(t)
	for slug, text := range map[string]string{"a": "First.", "b": "", "c": "Third.", "d": "Hidden."} {
		w.Server(slug, "t")
		lastServerOf(w, slug).Instructions = text
	}
	w.Role("most", "a/*", "b/*", "c/*", "long/*")
	w.User("ana", "most")
	key := w.Key("ana", "", time.Time{})
	index := w.Index(1)
	profile := index.Profile(caller(t, index, key))
	if got, want := profile.Instructions(nil), "# a\n\nFirst.\n\n# c\n\nThird."; got != want {
		t.Errorf("aggregate: %q; want %q", got, want)
	}
	for slug, want := range map[string]string{"a": "First.", "b": "", "d": ""} {
		if server, _ := index.Server(slug); profile.Instructions(server) != want {
			t.Errorf("%s: %q", slug, profile.Instructions(server))
		}
	}
	w.Server("long", "t")
	lastServerOf(w, "long").Instructions = strings.Repeat("ü", 5000)
	lastServerOf(w, "c").Instructions = strings.Repeat("c", 3000)
	index = w.Index(2)
	got := index.Profile(caller(t, index, key)).Instructions(nil)
	if len(got) > 8<<10 || len(got) < 8<<10-1 || !utf8.ValidString(got) || !strings.Contains(got, "\n\n# long\n\nü") {
		t.Errorf("%d bytes that end in %q", len(got), got[len(got)-5:])
	}
}
