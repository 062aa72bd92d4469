package gate_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

const (
	allow = snapshotv1.Effect_EFFECT_ALLOW
	deny  = snapshotv1.Effect_EFFECT_DENY

	read = snapshotv1.Risk_RISK_READ
)

func caller(t testing.TB, index *gate.Index, key apikey.Key) *credential.Caller {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	r.Header.Set("Authorization", "Bearer "+key.String())
	found, refusal := index.Credentials().Authenticate(r, nil, time.Now())
	if refusal != nil {
		t.Fatalf("key is refused: %s", refusal.Reason)
	}
	return found
}

// decode returns the members of definitions that name them.
func decode(t testing.TB, items []byte, member string) (names []string) {
	t.Helper()
	err := mcp.Elements(items, func(span mcp.Span) error {
		definition := span.Of(items)
		return mcp.Members(definition, func(name string, value mcp.Span) error {
			if name == member {
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
	return names
}

// members has what names the definitions of each list.
var members = map[gate.ListKind]string{
	gate.Tools: "name", gate.Prompts: "name", gate.Resources: "uri", gate.Templates: "uriTemplate",
}

// listed returns the names in a list of the modern era, and the whole of it.
func listed(t testing.TB, profile *gate.Profile, what gate.ListKind, server *gate.Server) (names []string, text string) {
	t.Helper()
	return walked(t, profile.List(what, server, mcp.Modern), members[what])
}

// walked walks through the pages of a list.
func walked(t testing.TB, list *gate.List, member string) (names []string, text string) {
	t.Helper()
	for cursor := (*gate.Cursor)(nil); ; {
		page, ok := list.Page(cursor)
		if !ok {
			t.Fatalf("cursor %v of the list is not of the list", cursor)
		}
		names = append(names, decode(t, page.Items, member)...)
		text += string(page.Items)
		if cursor = page.Next; cursor == nil {
			return names, text
		}
	}
}

// find resolves what must exist.
func find(t testing.TB, index *gate.Index, kind policy.Kind, server *gate.Server, name string) *gate.Entry {
	t.Helper()
	e, own, ok := index.Resolve(kind, server, name)
	if !ok || own != e.Name {
		t.Fatalf("%s %s does not exist, or is sent as %q", kind, name, own)
	}
	return e
}

// world has a server with everything, a role that grants everything, and ana, who
// holds it.
func world(t testing.TB) (*gatetest.World, apikey.Key) {
	w := gatetest.New(t)
	w.Server("git", "get", "put")
	w.Role("all")
	w.User("ana", "all")
	return w, w.Key("ana", "ide", time.Time{})
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
		if _, refusal := index.Credentials().Authenticate(r, nil, time.Now()); refusal == nil || refusal.Reason != credential.ReasonUnknown {
			t.Errorf("%s: got %+v; want %s", name, refusal, credential.ReasonUnknown)
		}
	}
}

func TestP09_SnapshotsThatSayNothingSureAreRefused(t *testing.T) {
	tests := map[string]func(*gatetest.World){
		"no settings":    func(w *gatetest.World) { w.Items = nil },
		"no pepper":      func(w *gatetest.World) { w.Items[0].GetSettings().KeyPepper = nil },
		"no digest key":  func(w *gatetest.World) { w.Items[0].GetSettings().DigestKey = nil },
		"no seal key":    func(w *gatetest.World) { w.Items[0].GetSettings().SealKeys = nil },
		"short seal key": func(w *gatetest.World) { w.Items[0].GetSettings().SealKeys[0].Key = []byte("short") },
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

func TestSealerIsThatOfTheSnapshotsKeys(t *testing.T) {
	index := gatetest.New(t).Index(1)
	if index.Sealer() == nil || len(index.SealKeys()) != 1 {
		t.Errorf("sealer %v of %d keys", index.Sealer(), len(index.SealKeys()))
	}
}

func TestDecideRefusesToMixRevisions(t *testing.T) {
	w, key := world(t)
	old, fresh := w.Index(1), w.Index(2)
	e := find(t, fresh, policy.Tool, nil, "git__get")
	if decision := old.Decide(caller(t, old, key), e, policy.MethodCall, nil); decision.Allowed() {
		t.Errorf("tool of another index: %+v", decision)
	}
	if decision := fresh.Decide(caller(t, old, key), e, policy.MethodCall, nil); decision.Allowed() {
		t.Errorf("key of another index: %+v", decision)
	}
	if decision := fresh.Decide(caller(t, fresh, key), nil, policy.MethodCall, nil); decision.Allowed() {
		t.Errorf("no tool: %+v", decision)
	}
	stranger := fresh.Profile(caller(t, old, key))
	server, _ := old.Server("git")
	for _, scope := range []*gate.Server{nil, server, e.Server} {
		if names, _ := listed(t, stranger, gate.Tools, scope); len(names) > 0 || len(stranger.Servers(scope)) > 0 {
			t.Errorf("key of another index sees %v", names)
		}
	}
	if names, _ := listed(t, fresh.Profile(caller(t, fresh, key)), gate.Tools, server); len(names) > 0 {
		t.Errorf("a server of another index lists %v", names)
	}
}
