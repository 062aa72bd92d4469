package gate_test

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// town is a world of which anything may be denied, with its keys in the clear.
func town(t testing.TB) (*gatetest.World, []apikey.Key) {
	w := gatetest.New(t)
	w.Role("all")
	w.Role("git", "git/*")
	for _, server := range []string{"git", "mail"} {
		w.Server(server, "get", "put")
		w.Prompt(server, "ask")
		w.Resource(server, "x://a")
	}
	w.Rule(&snapshotv1.Rule{Id: "1", Name: "no-put", Effect: deny, Tools: []string{"mail/put"}, Applications: []string{"cursor"}})
	var keys []apikey.Key
	for user, role := range map[string]string{"ana": "all", "bob": "git"} {
		w.User(user, role)
		for _, application := range []string{"cursor", "code"} {
			keys = append(keys, w.Key(user, application, time.Time{}))
		}
	}
	return w, keys
}

// randomChange denies and lifts things, and forgets keys.
func randomChange(random *rand.Rand, set *snapshot.Set, keys []apikey.Key) (upserts []*snapshotv1.Item, removals []string) {
	names := map[snapshotv1.DenyKind][]string{
		snapshotv1.DenyKind_DENY_KIND_USER:        {"ana", "bob"},
		snapshotv1.DenyKind_DENY_KIND_APPLICATION: {"cursor", "code"},
		snapshotv1.DenyKind_DENY_KIND_SERVER:      {"git", "mail"},
		snapshotv1.DenyKind_DENY_KIND_TOOL:        {"git/get", "mail/get", "mail/ask"},
		snapshotv1.DenyKind_DENY_KIND_ALL:         {""},
	}
	for _, key := range keys {
		names[snapshotv1.DenyKind_DENY_KIND_KEY] = append(names[snapshotv1.DenyKind_DENY_KIND_KEY], key.ID)
	}
	for kind, all := range names {
		for _, name := range all {
			item := &snapshotv1.Item{Kind: &snapshotv1.Item_Deny{Deny: &snapshotv1.Deny{Kind: kind, Name: name, Reason: fmt.Sprint(kind, name, random.IntN(2))}}}
			key, _ := snapshot.Key(item)
			switch _, there := set.Get(key); {
			case there && random.IntN(3) > 0:
				removals = append(removals, key)
			case random.IntN(12) == 0:
				upserts = append(upserts, item)
			}
		}
	}
	for _, key := range keys {
		if _, there := set.Get("key/" + key.ID); there && random.IntN(20) == 0 {
			removals = append(removals, "key/"+key.ID)
		}
	}
	return upserts, removals
}

// What is worked out by a look at the overlay alone is what an index of the whole
// snapshot says.
func TestAnAmendedIndexDecidesAsOneThatWasBuilt(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		w, keys := town(t)
		set := w.Set(1)
		index, err := gate.Build(set)
		if err != nil {
			t.Fatal(err)
		}
		for step := range 6 {
			upserts, removals := randomChange(random, set, keys)
			next, err := set.With(uint64(step)+2, upserts, removals)
			if err != nil {
				t.Fatal(err)
			}
			amended, ok, err := index.Amend(next, upserts, removals)
			if err != nil || !ok {
				t.Fatalf("seed %d: amend: %t, %v", seed, ok, err)
			}
			built, err := gate.Build(next)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(saidOf(built, keys), saidOf(amended, keys)); diff != "" {
				t.Fatalf("seed %d, step %d: built and amended differ (-built +amended):\n%s", seed, step, diff)
			}
			set, index = next, amended
		}
	}
}

// saidOf is all that an index says to each key.
func saidOf(x *gate.Index, keys []apikey.Key) map[string]any {
	said := map[string]any{"revision": x.Revision()}
	for _, key := range keys {
		request := httptest.NewRequest("POST", "/mcp", nil)
		request.Header.Set("Authorization", "Bearer "+key.String())
		holder, refusal := x.Credentials().Authenticate(request, nil, time.Now())
		if refusal != nil {
			said[key.ID] = refusal.Reason
			if x.Credentials().Key(key.ID) != nil {
				said[key.ID] = "refused, and there all the same"
			}
			continue
		}
		profile := x.Profile(holder)
		said[key.ID+" refused"] = profile.Refused()
		for _, scope := range []string{"", "git", "mail"} {
			server, _ := x.Server(scope)
			page, _ := profile.List(gate.Tools, server, mcp.Modern).Page(nil)
			said[key.ID+" list "+scope] = string(page.Items)
			said[key.ID+" view "+scope] = profile.View(server)
			for kind, name := range map[policy.Kind]string{policy.Tool: "get", policy.Prompt: "ask", policy.Resource: "x://a"} {
				if server == nil {
					continue
				}
				e, _, _ := x.Resolve(kind, server, name)
				for _, method := range []string{kind.Method(), policy.MethodSample} {
					said[fmt.Sprint(key.ID, scope, kind, method)] = x.Decide(holder, e, method, nil)
				}
				unlisted, _, ok := x.Resolve(policy.Resource, server, "x://other")
				if ok {
					said[key.ID+scope+" unlisted"] = x.Decide(holder, unlisted, policy.Resource.Method(), nil)
				}
			}
		}
	}
	return said
}

func TestOnlyDenialsAndGoneKeysAmend(t *testing.T) {
	w, keys := town(t)
	index := w.Index(1)
	set := w.Set(1)
	for what, change := range map[string]struct {
		upserts  []*snapshotv1.Item
		removals []string
	}{
		"a role that goes":   {removals: []string{"role/git"}},
		"a user":             {upserts: []*snapshotv1.Item{{Kind: &snapshotv1.Item_User{User: &snapshotv1.User{Name: "ana"}}}}},
		"a key that changes": {upserts: []*snapshotv1.Item{{Kind: &snapshotv1.Item_Key{Key: &snapshotv1.Key{Id: keys[0].ID, User: "ana"}}}}},
	} {
		if _, ok, err := index.Amend(set, change.upserts, change.removals); ok || err != nil {
			t.Errorf("%s: amended %t, %v", what, ok, err)
		}
	}
}

// An amended index takes what callers hold of the one before it: they see one
// revision until they are done.
func TestACallKeepsTheIndexThatItBeganWith(t *testing.T) {
	w, keys := town(t)
	before, set := w.Index(1), w.Set(1)
	holder := caller(t, before, keys[0])
	item := &snapshotv1.Item{Kind: &snapshotv1.Item_Deny{Deny: &snapshotv1.Deny{Kind: snapshotv1.DenyKind_DENY_KIND_ALL}}}
	next, err := set.With(2, []*snapshotv1.Item{item}, nil)
	if err != nil {
		t.Fatal(err)
	}
	after, _, err := before.Amend(next, []*snapshotv1.Item{item}, nil)
	if err != nil {
		t.Fatal(err)
	}
	e, _, _ := before.Resolve(policy.Tool, nil, "git__get")
	if d := before.Decide(holder, e, policy.MethodCall, nil); !d.Allowed() || d.Revision != 1 {
		t.Errorf("by the index that the call holds: %+v", d)
	}
	if d := after.Decide(holder, e, policy.MethodCall, nil); d.Allowed() || d.Revision != 2 || d.Rule != policy.RuleDenyOverlay {
		t.Errorf("by the one after it: %+v", d)
	}
}

func BenchmarkAmend(b *testing.B) {
	w := bigWorld(b, 20_000, 20_000)
	set := w.Set(1)
	index, err := gate.Build(set)
	if err != nil {
		b.Fatal(err)
	}
	var denies []*snapshotv1.Item
	for i := range 1000 {
		denies = append(denies, &snapshotv1.Item{Kind: &snapshotv1.Item_Deny{Deny: &snapshotv1.Deny{
			Kind: snapshotv1.DenyKind_DENY_KIND_USER, Name: fmt.Sprint("gone-", i)}}})
	}
	next, err := set.With(2, denies, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := index.Amend(next, denies[:1], nil); err != nil {
			b.Fatal(err)
		}
	}
}

// A peer that joined anew and is revoked again is denied from the second time on, whichever of the two is heard last.
func TestTheLaterRevocationOfAPeerHolds(t *testing.T) {
	w, _ := town(t)
	first := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	revoked := func(before time.Time) *snapshotv1.Deny {
		return &snapshotv1.Deny{Kind: snapshotv1.DenyKind_DENY_KIND_AGENT, Name: "laptop", IssuedBefore: timestamppb.New(before)}
	}
	for _, c := range []struct{ held, ahead time.Time }{{first, first.Add(time.Hour)}, {first.Add(time.Hour), first}} {
		set, err := w.Set(1).With(2, []*snapshotv1.Item{{Kind: &snapshotv1.Item_Deny{Deny: revoked(c.held)}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		index, err := gate.Build(set)
		if err != nil {
			t.Fatal(err)
		}
		if index, err = index.Deny([]*snapshotv1.Deny{revoked(c.ahead)}, set); err != nil {
			t.Fatal(err)
		}
		if got := index.DeniedAgents()["laptop"].Before; !got.Equal(first.Add(time.Hour)) {
			t.Errorf("denied up to %v, and ahead up to %v, it is up to %v", c.held, c.ahead, got)
		}
	}
}
