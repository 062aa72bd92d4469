package compiler_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/controlplane/internal/compiler"
	"github.com/warder-gateway/warder/controlplane/internal/header"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/seal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func secrets(t *testing.T) compiler.Secrets {
	t.Helper()
	keys, err := seal.NewVault(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return compiler.Secrets{Keys: keys, Pepper: []byte("pepper"), DigestKey: []byte("digest")}
}

// entry returns a row of an approved entry of github.
func entry(kind, name, definition string) db.ListEntryItemsRow {
	row := db.ListEntryItemsRow{
		Server: "github", Kind: kind, Name: name, Risk: "read", ApprovedHash: bytes.Repeat([]byte{2}, 32), Position: 3,
		Definition: []byte(definition),
	}
	if kind == "tool" || kind == "prompt" {
		row.ExposedName = "github__" + name
	}
	return row
}

// rows returns rows with one of each.
func rows(t *testing.T, s compiler.Secrets) *store.Rows {
	t.Helper()
	sealed, err := header.Seal(s.Keys, "github", []*snapshotv1.Header{{Name: "Authorization", Value: "Bearer x"}})
	if err != nil {
		t.Fatal(err)
	}
	return &store.Rows{
		Epoch: "e1", Revision: 7,
		Servers: []db.ListServerItemsRow{{Name: "github", URL: "https://x/mcp", HeadersSealed: sealed, ProtocolVersion: "2026-07-28",
			Capabilities: []byte(`{"tools":{}}`), CaCertificates: "PEM", CallTimeoutMs: 1500, MaxInFlight: 4}},
		Entries: []db.ListEntryItemsRow{
			entry("tool", "get_me", `{"name":"get_me"}`), entry("prompt", "review", `{"name":"review"}`),
			entry("resource", "repo://x/y", `{"uri":"repo://x/y"}`), entry("template", "repo://{a}", `{"uriTemplate":"repo://{a}"}`),
			entry("instructions", "instructions", `{"instructions":"Be \"kind\"."}`),
		},
		Withheld: []db.ListWithheldItemsRow{
			{Server: "github", Kind: "resource", Name: "repo://secret", Position: 1},
			{Server: "github", Kind: "template", Name: "secret://{a}", Position: 2},
		},
		Roles:  []db.Role{{Name: "viewer", BuiltIn: true}},
		Grants: []db.RoleGrant{{Role: "viewer", Tools: []string{}, Risks: []string{"read"}}},
		Users:  []db.ListUserItemsRow{{Name: "ana", Roles: []string{"viewer"}}},
		Keys: []db.ListKeyItemsRow{{
			ID: "abcdefghijkl", Hash: bytes.Repeat([]byte{3}, 32), UserName: "ana", Application: "cursor",
			ExpiresAt: new(time.Unix(1_900_000_000, 0)),
		}},
		Denies: []db.Deny{{Kind: "key", Name: "mnopqrstuvwx", Reason: "lost"}, {Kind: "all"}},
		Policy: &db.PolicyVersion{Version: 1, Document: "rules:\n  - name: no-deletes\n    effect: deny\n    reason: no\n    tools: [\"github/delete_*\"]\n"},
	}
}

func TestEveryRowHasItsItem(t *testing.T) {
	s := secrets(t)
	set, err := compiler.Compile(rows(t, s), s)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for key := range set.All() {
		keys = append(keys, key)
	}
	want := []string{
		"deny/all", "deny/key/mnopqrstuvwx", "key/abcdefghijkl", "prompt/github/review", "resource/github/repo://secret",
		"resource/github/repo://x/y", "role/viewer", "rule/no-deletes", "server/github", "settings",
		"template/github/repo://{a}", "template/github/secret://{a}", "tool/github/get_me", "user/ana",
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Error(diff)
	}
	server, _ := set.Get("server/github")
	if h := server.GetServer().GetHeaders(); len(h) != 1 || h[0].GetValue() != "Bearer x" {
		t.Errorf("headers: %v", h)
	}
	if g := server.GetServer(); g.GetInstructions() != `Be "kind".` || string(g.GetCapabilities()) != `{"tools":{}}` ||
		string(g.GetCaCertificates()) != "PEM" || g.GetCallTimeout().AsDuration() != 1500*time.Millisecond || g.GetMaxInFlight() != 4 {
		t.Errorf("server: %v", g)
	}
	for key, withheld := range map[string]bool{"resource/github/repo://secret": true, "resource/github/repo://x/y": false} {
		item, _ := set.Get(key)
		if r := item.GetResource(); r.GetWithheld() != withheld || (len(r.GetDefinition()) == 0) != withheld {
			t.Errorf("%s: %v", key, r)
		}
	}
	settings, _ := set.Get("settings")
	if string(settings.GetSettings().GetKeyPepper()) != "pepper" || string(settings.GetSettings().GetDigestKey()) != "digest" {
		t.Error("settings lack a secret")
	}
	tool, _ := set.Get("tool/github/get_me")
	if tool.GetTool().GetRisk() != snapshotv1.Risk_RISK_READ || tool.GetTool().GetPosition() != 3 {
		t.Errorf("tool: %v", tool)
	}
}

func TestTheSameRowsGiveTheSameDigest(t *testing.T) {
	s := secrets(t)
	first, err := compiler.Compile(rows(t, s), s)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		// Sealing is random: the same headers are other bytes in the row.
		next, err := compiler.Compile(rows(t, s), s)
		if err != nil {
			t.Fatal(err)
		}
		if next.Digest() != first.Digest() {
			t.Fatal("digests differ")
		}
	}
}

// P-07, P-09: what is not understood stops the compile; nothing is guessed and
// nothing that forbids is left out.
func TestWhatIsNotUnderstoodIsAnError(t *testing.T) {
	s := secrets(t)
	for name, tt := range map[string]struct {
		spoil func(*store.Rows)
		says  string
	}{
		"risk of a tool":      {func(r *store.Rows) { r.Entries[0].Risk = "harmless" }, "github/get_me"},
		"risk of a grant":     {func(r *store.Rows) { r.Grants[0].Risks = []string{"all"} }, "role viewer"},
		"kind of a deny":      {func(r *store.Rows) { r.Denies[0].Kind = "planet" }, `kind "planet"`},
		"policy document":     {func(r *store.Rows) { r.Policy.Document = "rules:\n  - name: x\n    effect: maybe\n" }, "policy version 1"},
		"headers of another":  {func(r *store.Rows) { r.Servers[0].Name = "other" }, "headers of server other"},
		"two of one":          {func(r *store.Rows) { r.Users = append(r.Users, r.Users[0]) }, "user/ana"},
		"hash of a tool":      {func(r *store.Rows) { r.Entries[0].ApprovedHash = nil }, "github/get_me"},
		"kind of an entry":    {func(r *store.Rows) { r.Entries[0].Kind = "task" }, `kind "task"`},
		"kind withheld":       {func(r *store.Rows) { r.Withheld[0].Kind = "prompt" }, `kind "prompt"`},
		"instructions":        {func(r *store.Rows) { r.Entries[4].Definition = []byte(`{"instructions":7}`) }, "instructions of github"},
		"deny without a name": {func(r *store.Rows) { r.Denies[0].Name = "" }, "deny"},
	} {
		t.Run(name, func(t *testing.T) {
			r := rows(t, s)
			tt.spoil(r)
			set, err := compiler.Compile(r, s)
			if err == nil || set != nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want an error that says %q", err, tt.says)
			}
		})
	}
}

// The gate is in the query: only approved, enabled and present entries are read,
// and of resources and templates those that are withheld, by name.
func TestOnlyGovernedEntriesAreInASnapshot(t *testing.T) {
	st, s := storetest.New(t), secrets(t)
	_, err := st.Change(t.Context(), "test", func(tx *store.Tx) error {
		return seedEntries(t, tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := st.ReadConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	set, err := compiler.Compile(r, s)
	if err != nil {
		t.Fatal(err)
	}
	var served, withheld []string
	for key, item := range set.All() {
		switch {
		case item.GetResource().GetWithheld() || item.GetTemplate().GetWithheld():
			withheld = append(withheld, key)
		case item.GetTool() != nil, item.GetPrompt() != nil, item.GetResource() != nil, item.GetTemplate() != nil:
			served = append(served, key)
		}
	}
	want := []string{"prompt/github/approved", "resource/github/a:approved", "template/github/a:approved", "tool/github/approved"}
	if diff := cmp.Diff(want, served); diff != "" {
		t.Error(diff)
	}
	// What is missing is not listed any more, and so is like any other that is not
	// listed, unless a person said no to it.
	var kept []string
	for _, kind := range []string{"resource", "template"} {
		for _, name := range []string{"changed", "disabled", "pending", "rejected", "rejected-missing"} {
			kept = append(kept, kind+"/github/a:"+name)
		}
	}
	if diff := cmp.Diff(kept, withheld); diff != "" {
		t.Error(diff)
	}
}

// seedEntries makes one entry of each kind in each condition.
func seedEntries(t *testing.T, tx *store.Tx) error {
	ctx := t.Context()
	tx.Record("server.add", "github", nil)
	server, err := tx.InsertServer(ctx, db.InsertServerParams{Name: "github", URL: "https://x/mcp"})
	if err != nil {
		return err
	}
	one, two := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	for _, hash := range [][]byte{one, two} {
		if err := tx.PutDefinition(ctx, db.PutDefinitionParams{Hash: hash, Content: []byte("{}")}); err != nil {
			return err
		}
	}
	for _, kind := range []string{"tool", "prompt", "resource", "template"} {
		for _, condition := range []string{"approved", "pending", "rejected", "changed", "disabled", "missing", "rejected-missing"} {
			insert := db.InsertEntryParams{ServerID: server.ID, Kind: kind, Name: "a:" + condition, Risk: "read", OfferedHash: one}
			if kind == "tool" || kind == "prompt" {
				insert.Name, insert.ExposedName = condition, "github__"+condition
			}
			id, err := tx.InsertEntry(ctx, insert)
			if err == nil {
				err = bring(ctx, tx, id, condition, one, two)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// bring brings an entry, which offers one, into a condition.
func bring(ctx context.Context, tx *store.Tx, id int64, condition string, one, two []byte) (err error) {
	if condition != "pending" {
		if _, err := tx.ApproveEntry(ctx, db.ApproveEntryParams{ID: id, Hash: one}); err != nil {
			return err
		}
	}
	switch condition {
	case "rejected":
		_, err = tx.RejectEntry(ctx, id)
	case "changed":
		err = tx.UpdateOffer(ctx, db.UpdateOfferParams{ID: id, OfferedHash: two, Risk: "read", State: "changed"})
	case "disabled":
		_, err = tx.SetEntryDisabled(ctx, db.SetEntryDisabledParams{ID: id, Disabled: true})
	case "missing":
		err = tx.MarkEntriesMissing(ctx, []int64{id})
	case "rejected-missing":
		if _, err = tx.RejectEntry(ctx, id); err == nil {
			err = tx.MarkEntriesMissing(ctx, []int64{id})
		}
	}
	return err
}
