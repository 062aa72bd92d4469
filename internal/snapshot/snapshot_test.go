package snapshot_test

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

func user(name string, roles ...string) *snapshotv1.Item {
	return &snapshotv1.Item{Kind: &snapshotv1.Item_User{User: &snapshotv1.User{Name: name, Roles: roles}}}
}

func tool(server, name string) *snapshotv1.Item {
	return &snapshotv1.Item{Kind: &snapshotv1.Item_Tool{Tool: &snapshotv1.Tool{
		Server: server, Name: name, ExposedName: server + "__" + name,
		Definition: []byte(`{"name":"` + name + `"}`), DefinitionHash: make([]byte, 32),
		Risk: snapshotv1.Risk_RISK_READ,
	}}}
}

func prompt(server, name string) *snapshotv1.Item {
	return &snapshotv1.Item{Kind: &snapshotv1.Item_Prompt{Prompt: &snapshotv1.Prompt{Server: server, Name: name}}}
}

func resource(server, uri string) *snapshotv1.Item {
	return &snapshotv1.Item{Kind: &snapshotv1.Item_Resource{Resource: &snapshotv1.Resource{Server: server, Uri: uri}}}
}

func template(server, text string) *snapshotv1.Item {
	return &snapshotv1.Item{Kind: &snapshotv1.Item_Template{Template: &snapshotv1.Template{Server: server, UriTemplate: text}}}
}

func key(id string) *snapshotv1.Item {
	return &snapshotv1.Item{Kind: &snapshotv1.Item_Key{Key: &snapshotv1.Key{
		Id: id, Hash: make([]byte, 32), User: "ana", Application: "cursor", ExpiresAt: timestamppb.New(timestamppb.Now().AsTime()),
	}}}
}

func deny(kind snapshotv1.DenyKind, name string) *snapshotv1.Item {
	return &snapshotv1.Item{Kind: &snapshotv1.Item_Deny{Deny: &snapshotv1.Deny{Kind: kind, Name: name}}}
}

// future returns an item as a later version might send it: of a kind, or with a
// field, that this build does not have.
func future(t testing.TB, item *snapshotv1.Item, field protowire.Number) *snapshotv1.Item {
	t.Helper()
	encoded, err := proto.Marshal(item)
	if err != nil {
		t.Fatal(err)
	}
	encoded = protowire.AppendTag(encoded, field, protowire.BytesType)
	encoded = protowire.AppendBytes(encoded, nil)
	out := &snapshotv1.Item{}
	if err := proto.Unmarshal(encoded, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func mustNew(t testing.TB, revision uint64, items ...*snapshotv1.Item) *snapshot.Set {
	t.Helper()
	set, err := snapshot.New("epoch", revision, items)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// wire sends an update through its encoding, as the stream does.
func wire(t testing.TB, update *syncv1.Update) *syncv1.Update {
	t.Helper()
	encoded, err := proto.Marshal(update)
	if err != nil {
		t.Fatal(err)
	}
	out := &syncv1.Update{}
	if err := proto.Unmarshal(encoded, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestKeyNamesEachKind(t *testing.T) {
	for want, item := range map[string]*snapshotv1.Item{
		"server/github":           {Kind: &snapshotv1.Item_Server{Server: &snapshotv1.Server{Name: "github"}}},
		"tool/github/repos/get":   tool("github", "repos/get"),
		"prompt/github/a/b":       prompt("github", "a/b"),
		"resource/github/x://a/b": resource("github", "x://a/b"),
		"template/github/x://{a}": template("github", "x://{a}"),
		"rule/no-deletes":         {Kind: &snapshotv1.Item_Rule{Rule: &snapshotv1.Rule{Id: "no-deletes", Name: "x"}}},
		"role/viewer":             {Kind: &snapshotv1.Item_Role{Role: &snapshotv1.Role{Name: "viewer"}}},
		"user/ana":                user("ana"),
		"key/abc":                 key("abc"),
		"settings":                {Kind: &snapshotv1.Item_Settings{Settings: &snapshotv1.Settings{}}},
		"deny/key/abc":            deny(snapshotv1.DenyKind_DENY_KIND_KEY, "abc"),
		"deny/user/ana":           deny(snapshotv1.DenyKind_DENY_KIND_USER, "ana"),
		"deny/application/cursor": deny(snapshotv1.DenyKind_DENY_KIND_APPLICATION, "cursor"),
		"deny/server/github":      deny(snapshotv1.DenyKind_DENY_KIND_SERVER, "github"),
		"deny/tool/github/x":      deny(snapshotv1.DenyKind_DENY_KIND_TOOL, "github/x"),
		"deny/all":                deny(snapshotv1.DenyKind_DENY_KIND_ALL, ""),
	} {
		if got, err := snapshot.Key(item); got != want || err != nil {
			t.Errorf("key %q (%v), want %q", got, err, want)
		}
	}
}

func TestUnknownOrNamelessItemIsRefused(t *testing.T) {
	for why, item := range map[string]*snapshotv1.Item{
		"no kind":                   {},
		"nil":                       nil,
		"unknown kind":              future(t, &snapshotv1.Item{}, 99),
		"unknown kind beside one":   future(t, user("ana"), 99),
		"user without a name":       user(""),
		"tool without a server":     tool("", "x"),
		"tool without a name":       tool("github", ""),
		"slug that forges a key":    tool("github/x", "y"),
		"prompt without a server":   prompt("", "x"),
		"prompt without a name":     prompt("github", ""),
		"resource without a URI":    resource("github", ""),
		"resource of a forged slug": resource("github/x", "y"),
		"template without a text":   template("github", ""),
		"unknown deny kind":         deny(77, "x"),
		"unset deny kind":           deny(0, "x"),
		"deny of a nameless user":   deny(snapshotv1.DenyKind_DENY_KIND_USER, ""),
		"deny of all with a name":   deny(snapshotv1.DenyKind_DENY_KIND_ALL, "x"),
		"text that is no UTF-8":     user("\xff"),
		"unknown field of a rule":   futureRule(t),
		"unknown field of a header": futureHeader(t),
	} {
		if set, err := snapshot.New("epoch", 1, []*snapshotv1.Item{item}); err == nil || set != nil {
			t.Errorf("%s: accepted", why)
		}
	}
}

func futureRule(t *testing.T) *snapshotv1.Item {
	rule := &snapshotv1.Rule{Id: "r"}
	rule.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	return &snapshotv1.Item{Kind: &snapshotv1.Item_Rule{Rule: rule}}
}

func futureHeader(t *testing.T) *snapshotv1.Item {
	header := &snapshotv1.Header{Name: "a"}
	header.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	return &snapshotv1.Item{Kind: &snapshotv1.Item_Server{Server: &snapshotv1.Server{Name: "s", Headers: []*snapshotv1.Header{header}}}}
}

func TestSetIsTheSameInWhateverOrderItWasGiven(t *testing.T) {
	a := mustNew(t, 1, user("ana"), user("bo"), tool("github", "x"))
	b := mustNew(t, 9, tool("github", "x"), user("bo"), user("ana"))
	if a.Digest() != b.Digest() {
		t.Error("order changes the digest")
	}
	if c := mustNew(t, 1, user("ana", "viewer"), user("bo"), tool("github", "x")); c.Digest() == a.Digest() {
		t.Error("another role does not change the digest")
	}
	var keys []string
	for key, item := range a.All() {
		keys = append(keys, key)
		if got, found := a.Get(key); !found || got != item {
			t.Errorf("%s is not found", key)
		}
	}
	if want := []string{"tool/github/x", "user/ana", "user/bo"}; !slices.Equal(keys, want) {
		t.Errorf("keys %v, want %v", keys, want)
	}
	if _, found := a.Get("user/an"); found {
		t.Error("found what is not there")
	}
}

// The digest is a promise between builds: both ends of a stream compute it.
func TestDigestIsReproducible(t *testing.T) {
	set := mustNew(t, 1, user("ana", "viewer"), deny(snapshotv1.DenyKind_DENY_KIND_ALL, ""))
	const want = "e8c925c2cb315da8cb47908339c8e2bbe2da62057da0f0d015d1d9155b2c5a62"
	if got := fmt.Sprintf("%x", set.Digest()); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestTwoItemsOfOneKeyAreRefused(t *testing.T) {
	if _, err := snapshot.New("epoch", 1, []*snapshotv1.Item{user("ana"), user("ana", "owner")}); err == nil {
		t.Error("accepted")
	}
}

func TestApplyRefusesWhatDoesNotFit(t *testing.T) {
	from := mustNew(t, 5, user("ana"), user("bo"))
	to := mustNew(t, 6, user("ana", "viewer"), tool("github", "x"))
	other := mustNew(t, 5, user("ana"))
	delta := func(change func(u *syncv1.Update, d *syncv1.Delta)) *syncv1.Update {
		u := wire(t, snapshot.DeltaUpdate(from, to))
		change(u, u.GetDelta())
		return u
	}
	full := func(set *snapshot.Set, change func(u *syncv1.Update)) *syncv1.Update {
		u := wire(t, snapshot.FullUpdate(set))
		change(u)
		return u
	}
	for why, test := range map[string]struct {
		set    *snapshot.Set
		update *syncv1.Update
		want   string
	}{
		"nil update":          {from, nil, "neither"},
		"no kind":             {from, delta(func(u *syncv1.Update, _ *syncv1.Delta) { u.Kind = nil }), "neither"},
		"delta first":         {nil, delta(func(*syncv1.Update, *syncv1.Delta) {}), "cannot come first"},
		"other epoch":         {from, delta(func(u *syncv1.Update, _ *syncv1.Delta) { u.Epoch = "x" }), "epoch"},
		"other from revision": {from, delta(func(_ *syncv1.Update, d *syncv1.Delta) { d.FromRevision = 4 }), "revision 4"},
		"other from digest":   {other, delta(func(*syncv1.Update, *syncv1.Delta) {}), "digest"},
		"other digest":        {from, delta(func(u *syncv1.Update, _ *syncv1.Delta) { u.Digest[0]++ }), "announced"},
		"no digest":           {from, delta(func(u *syncv1.Update, _ *syncv1.Delta) { u.Digest = nil }), "announced"},
		"an item left out":    {from, delta(func(_ *syncv1.Update, d *syncv1.Delta) { d.Upserts = d.Upserts[1:] }), "announced"},
		"removal of nothing":  {from, delta(func(_ *syncv1.Update, d *syncv1.Delta) { d.Removals = append(d.Removals, "user/zoe") }), "user/zoe"},
		"removal twice":       {from, delta(func(_ *syncv1.Update, d *syncv1.Delta) { d.Removals = append(d.Removals, d.Removals...) }), "twice"},
		"upsert and removal":  {from, delta(func(_ *syncv1.Update, d *syncv1.Delta) { d.Removals = append(d.Removals, "user/ana") }), "user/ana"},
		"upsert twice":        {from, delta(func(_ *syncv1.Update, d *syncv1.Delta) { d.Upserts = append(d.Upserts, user("ana")) }), "twice"},
		"unknown item": {from, delta(func(_ *syncv1.Update, d *syncv1.Delta) {
			d.Upserts = append(d.Upserts, future(t, &snapshotv1.Item{}, 99))
		}), "does not know"},
		"delta going back":    {from, delta(func(u *syncv1.Update, _ *syncv1.Delta) { u.Revision = 4 }), "never goes back"},
		"snapshot going back": {to, full(from, func(*syncv1.Update) {}), "never goes back"},
		"snapshot, no epoch":  {nil, full(from, func(u *syncv1.Update) { u.Epoch = "" }), "epoch"},
		"snapshot, bad sum":   {nil, full(from, func(u *syncv1.Update) { u.Digest[31]++ }), "announced"},
	} {
		t.Run(why, func(t *testing.T) {
			got, err := test.set.Apply(test.update)
			if err == nil || got != nil {
				t.Fatalf("accepted: %v", got)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q does not say %q", err, test.want)
			}
		})
	}
}

// An upgraded control plane compiles the same rows to other bytes: what it says
// counts, as a snapshot and as a delta.
func TestTheSameRevisionMayComeWithOtherContent(t *testing.T) {
	before, after := mustNew(t, 5, user("ana")), mustNew(t, 5, user("ana", "viewer"))
	for _, update := range []*syncv1.Update{snapshot.FullUpdate(after), snapshot.DeltaUpdate(before, after)} {
		got, err := before.Apply(wire(t, update))
		if err != nil || got.Revision() != 5 || got.Digest() != after.Digest() {
			t.Errorf("%v, %v", got, err)
		}
	}
}

func TestSnapshotOfANewEpochMayStartAnywhere(t *testing.T) {
	old := mustNew(t, 500, user("ana"))
	restored, err := snapshot.New("another epoch", 3, []*snapshotv1.Item{user("bo")})
	if err != nil {
		t.Fatal(err)
	}
	got, err := old.Apply(wire(t, snapshot.FullUpdate(restored)))
	if err != nil || got.Epoch() != "another epoch" || got.Revision() != 3 {
		t.Errorf("%v, %v", got, err)
	}
}

func drawItems(t *rapid.T, label string) []*snapshotv1.Item {
	item := rapid.Custom(func(t *rapid.T) *snapshotv1.Item {
		name := rapid.SampledFrom([]string{"a", "b", "c", "d", "a/b", "a-b", "é", "zz"}).Draw(t, "name")
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			return user(name, rapid.SliceOfN(rapid.SampledFrom([]string{"viewer", "owner"}), 0, 2).Draw(t, "roles")...)
		case 1:
			return tool("s", name)
		case 2:
			return deny(snapshotv1.DenyKind(rapid.Int32Range(1, 5).Draw(t, "deny")), name)
		default:
			return &snapshotv1.Item{Kind: &snapshotv1.Item_Settings{Settings: &snapshotv1.Settings{KeyPepper: []byte(name)}}}
		}
	})
	return rapid.SliceOfNDistinct(item, 0, 12, func(item *snapshotv1.Item) string {
		key, err := snapshot.Key(item)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}).Draw(t, label)
}

// P-09: what is applied is what was published, by whichever way it came; and the
// set it was applied to is as before.
func TestP09ApplyOfDeltaGivesThePublishedSet(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		a, b := mustNew(t, 1, drawItems(r, "a")...), mustNew(t, 2, drawItems(r, "b")...)
		before, size := a.Digest(), a.Len()

		delta, err := a.Apply(wire(t, snapshot.DeltaUpdate(a, b)))
		if err != nil {
			r.Fatal(err)
		}
		full, err := a.Apply(wire(t, snapshot.FullUpdate(b)))
		if err != nil {
			r.Fatal(err)
		}
		for _, got := range []*snapshot.Set{delta, full} {
			if got.Digest() != b.Digest() || got.Revision() != 2 || got.Len() != b.Len() {
				r.Fatalf("digest %x at %d, want %x", got.Digest(), got.Revision(), b.Digest())
			}
		}
		if rebuilt := mustNew(t, 1, slices.Collect(items(a))...); rebuilt.Digest() != before || a.Len() != size {
			r.Fatal("applying changed the old set")
		}
	})
}

func items(set *snapshot.Set) func(yield func(*snapshotv1.Item) bool) {
	return func(yield func(*snapshotv1.Item) bool) {
		for _, item := range set.All() {
			if !yield(item) {
				return
			}
		}
	}
}

func TestSignatureCoversWhatTheSetBecomes(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	strange, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(key ed25519.PrivateKey, change func(*syncv1.Update)) *syncv1.Update {
		update := snapshot.FullUpdate(mustNew(t, 7, user("ana")))
		snapshot.Sign(update, key)
		change(update)
		return update
	}
	untouched := func(*syncv1.Update) {}
	if err := snapshot.Verify(sign(private, untouched), public); err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Verify(sign(private, func(u *syncv1.Update) { u.Nonce = "n" }), public); err != nil {
		t.Errorf("the nonce is the publisher's own: %v", err)
	}
	for why, update := range map[string]*syncv1.Update{
		"epoch":        sign(private, func(u *syncv1.Update) { u.Epoch += "x" }),
		"revision":     sign(private, func(u *syncv1.Update) { u.Revision++ }),
		"digest":       sign(private, func(u *syncv1.Update) { u.Digest[5] ^= 1 }),
		"signature":    sign(private, func(u *syncv1.Update) { u.Signature[5] ^= 1 }),
		"no signature": sign(private, func(u *syncv1.Update) { u.Signature = nil }),
		"another key":  sign(stranger, untouched),
		"another key that says it is the pinned one": sign(stranger, func(u *syncv1.Update) { u.PublicKey = public }),
	} {
		if err := snapshot.Verify(update, public); err == nil {
			t.Errorf("%s: verified", why)
		}
	}
	for _, pinned := range []ed25519.PublicKey{nil, public[:31], strange} {
		if err := snapshot.Verify(sign(private, untouched), pinned); err == nil {
			t.Errorf("verified with pinned key %x", pinned)
		}
	}
}

// What two sets hold in common is in memory once, and nothing else of a set changes.
func TestAdoptSharesWhatIsTheSame(t *testing.T) {
	old := mustNew(t, 1, tool("s", "a"), tool("s", "b"), user("bob"))
	next := mustNew(t, 2, tool("s", "a"), tool("s", "c"), user("bob"), user("ana"))
	got := old.Adopt(next)
	if got.Digest() != next.Digest() || got.Revision() != 2 || got.Len() != next.Len() {
		t.Errorf("revision %d, %d items, digest %x", got.Revision(), got.Len(), got.Digest())
	}
	for name, item := range got.All() {
		before, there := old.Get(name)
		if there && before != item {
			t.Errorf("%s is in memory twice", name)
		}
		if given, _ := next.Get(name); !there && given != item {
			t.Errorf("%s is another one", name)
		}
	}
	if again := got.Adopt(got); again != got {
		t.Error("a set that shares all is copied")
	}
}

func BenchmarkApply20000ToolsAnd20000Keys(b *testing.B) {
	all := make([]*snapshotv1.Item, 0, 40_000)
	for i := range 20_000 {
		all = append(all, tool("server", fmt.Sprintf("tool_%05d", i)), key(fmt.Sprintf("%012d", i)))
	}
	from := mustNew(b, 1, all...)
	to := mustNew(b, 2, append(slices.Clone(all[1:]), user("ana"))...)
	full, delta := snapshot.FullUpdate(from), snapshot.DeltaUpdate(from, to)

	b.Run("snapshot", func(b *testing.B) {
		for b.Loop() {
			if _, err := (*snapshot.Set)(nil).Apply(full); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("delta", func(b *testing.B) {
		for b.Loop() {
			if _, err := from.Apply(delta); err != nil {
				b.Fatal(err)
			}
		}
	})
}
