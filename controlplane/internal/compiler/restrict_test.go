package compiler_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/controlplane/internal/compiler"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/snapshot"
)

func keysOf(set *snapshot.Set) (keys []string) {
	for key := range set.All() {
		keys = append(keys, key)
	}
	return keys
}

// What the rows take away is gone, what they add is not there: only denies are.
func TestRestrictTakesAwayAndGivesNothing(t *testing.T) {
	s := secrets(t)
	last, err := compiler.Compile(rows(t, s), s)
	if err != nil {
		t.Fatal(err)
	}
	all := keysOf(last)
	for name, tt := range map[string]struct {
		change     func(*store.Rows)
		gone, come string
	}{
		"nothing":         {change: func(*store.Rows) {}},
		"a key revoked":   {change: func(r *store.Rows) { r.Keys = nil }, gone: "key/abcdefghijkl"},
		"a tool withheld": {change: func(r *store.Rows) { r.Entries = r.Entries[1:] }, gone: "tool/github/get_me"},
		"a tool approved anew": {change: func(r *store.Rows) {
			r.Entries[0].ApprovedHash = slices.Repeat([]byte{9}, 32)
		}, gone: "tool/github/get_me"},
		"a prompt withheld": {change: func(r *store.Rows) { r.Entries = slices.Delete(r.Entries, 1, 2) }, gone: "prompt/github/review"},
		"a resource gone":   {change: func(r *store.Rows) { r.Entries = slices.Delete(r.Entries, 2, 3) }, gone: "resource/github/repo://x/y"},
		"a template approved anew": {change: func(r *store.Rows) {
			r.Entries[3].ApprovedHash = slices.Repeat([]byte{9}, 32)
		}, gone: "template/github/repo://{a}"},
		"a resource withheld": {change: func(r *store.Rows) {
			r.Withheld = append(r.Withheld, db.ListWithheldItemsRow{Server: "github", Kind: "resource", Name: "repo://z"})
		}, come: "resource/github/repo://z"},
		"nothing withheld any more": {change: func(r *store.Rows) { r.Withheld = nil }},
		"a key made":                {change: func(r *store.Rows) { r.Keys = append(r.Keys, db.ListKeyItemsRow{ID: "zzzzzzzzzzzz"}) }},
		"a deny":                    {change: func(r *store.Rows) { r.Denies = append(r.Denies, db.Deny{Kind: "user", Name: "ana"}) }, come: "deny/user/ana"},
		"a deny ended":              {change: func(r *store.Rows) { r.Denies = nil }},
		"a bad policy":              {change: func(r *store.Rows) { r.Policy.Document = "no" }},
	} {
		t.Run(name, func(t *testing.T) {
			r := rows(t, s)
			r.Revision = 9
			tt.change(r)
			got, err := compiler.Restrict(last, r, s)
			if err != nil {
				t.Fatal(err)
			}
			want := slices.DeleteFunc(slices.Clone(all), func(key string) bool { return key == tt.gone })
			if tt.come != "" {
				want = append(want, tt.come)
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, keysOf(got)); diff != "" || got.Revision() != last.Revision() {
				t.Errorf("revision %d: %s", got.Revision(), diff)
			}
		})
	}
}

// What was withheld since is withheld, rather than gone: a resource that is not
// named at all would be one that its server does not list.
func TestRestrictWithholdsAndSilences(t *testing.T) {
	s := secrets(t)
	last, err := compiler.Compile(rows(t, s), s)
	if err != nil {
		t.Fatal(err)
	}
	r := rows(t, s)
	r.Entries = r.Entries[:2] // Without resource, template and instructions.
	r.Withheld = append(r.Withheld, db.ListWithheldItemsRow{Server: "github", Kind: "resource", Name: "repo://x/y"})
	got, err := compiler.Restrict(last, r, s)
	if err != nil {
		t.Fatal(err)
	}
	item, found := got.Get("resource/github/repo://x/y")
	if !found || !item.GetResource().GetWithheld() || len(item.GetResource().GetDefinition()) > 0 {
		t.Errorf("resource: %v", item)
	}
	if server, _ := got.Get("server/github"); server.GetServer().GetInstructions() != "" {
		t.Errorf("server: %v", server)
	}
	if server, _ := last.Get("server/github"); server.GetServer().GetInstructions() == "" {
		t.Error("the last set was changed")
	}
}
