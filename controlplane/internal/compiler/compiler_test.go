package compiler_test

import (
	"bytes"
	"slices"
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
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return compiler.Secrets{Keys: keys, Pepper: []byte("pepper"), DigestKey: []byte("digest")}
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
		Servers: []db.ListServerItemsRow{{Name: "github", URL: "https://x/mcp", HeadersSealed: sealed, ProtocolVersion: "2026-07-28"}},
		Tools: []db.ListToolItemsRow{{
			Server: "github", Name: "get_me", ExposedName: "github__get_me", Risk: "read",
			ApprovedHash: bytes.Repeat([]byte{2}, 32), Position: 3, Definition: []byte(`{"name":"get_me"}`),
		}},
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
		"deny/all", "deny/key/mnopqrstuvwx", "key/abcdefghijkl", "role/viewer", "rule/no-deletes", "server/github",
		"settings", "tool/github/get_me", "user/ana",
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Error(diff)
	}
	server, _ := set.Get("server/github")
	if h := server.GetServer().GetHeaders(); len(h) != 1 || h[0].GetValue() != "Bearer x" {
		t.Errorf("headers: %v", h)
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
		"risk of a tool":      {func(r *store.Rows) { r.Tools[0].Risk = "harmless" }, "github/get_me"},
		"risk of a grant":     {func(r *store.Rows) { r.Grants[0].Risks = []string{"all"} }, "role viewer"},
		"kind of a deny":      {func(r *store.Rows) { r.Denies[0].Kind = "agent" }, `kind "agent"`},
		"policy document":     {func(r *store.Rows) { r.Policy.Document = "rules:\n  - name: x\n    effect: maybe\n" }, "policy version 1"},
		"headers of another":  {func(r *store.Rows) { r.Servers[0].Name = "other" }, "headers of server other"},
		"two of one":          {func(r *store.Rows) { r.Users = append(r.Users, r.Users[0]) }, "user/ana"},
		"hash of a tool":      {func(r *store.Rows) { r.Tools[0].ApprovedHash = nil }, "github/get_me"},
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

// The gate is in the query: only approved, enabled and present tools are read.
func TestOnlyGovernedToolsAreInASnapshot(t *testing.T) {
	st, s := storetest.New(t), secrets(t)
	_, err := st.Change(t.Context(), "test", func(tx *store.Tx) error {
		return seedTools(t, tx)
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
	var tools []string
	for key, item := range set.All() {
		if item.GetTool() != nil {
			tools = append(tools, key)
		}
	}
	if !slices.Equal(tools, []string{"tool/github/approved"}) {
		t.Errorf("tools: %v", tools)
	}
}

// seedTools makes one tool in each condition.
func seedTools(t *testing.T, tx *store.Tx) error {
	ctx := t.Context()
	tx.Record("server.add", "github", nil)
	server, err := tx.InsertServer(ctx, db.InsertServerParams{Name: "github", URL: "https://x/mcp"})
	if err != nil {
		return err
	}
	one, two := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	for _, hash := range [][]byte{one, two} {
		if err := tx.PutToolDefinition(ctx, db.PutToolDefinitionParams{Hash: hash, Definition: []byte("{}")}); err != nil {
			return err
		}
	}
	for _, name := range []string{"approved", "pending", "rejected", "changed", "disabled", "missing"} {
		id, err := tx.InsertTool(ctx, db.InsertToolParams{
			ServerID: server.ID, Name: name, ExposedName: "github__" + name, Risk: "read", OfferedHash: one,
		})
		if err != nil {
			return err
		}
		if name != "pending" {
			if _, err := tx.ApproveTool(ctx, db.ApproveToolParams{ID: id, Hash: one}); err != nil {
				return err
			}
		}
		switch name {
		case "rejected":
			_, err = tx.RejectTool(ctx, id)
		case "changed":
			err = tx.UpdateOffer(ctx, db.UpdateOfferParams{ID: id, OfferedHash: two, Risk: "read", State: "changed"})
		case "disabled":
			_, err = tx.SetToolDisabled(ctx, db.SetToolDisabledParams{ID: id, Disabled: true})
		case "missing":
			err = tx.MarkToolsMissing(ctx, []int64{id})
		}
		if err != nil {
			return err
		}
	}
	return nil
}
