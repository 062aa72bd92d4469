package gate

import (
	"testing"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func conditional(t *testing.T) *policy.Profile {
	t.Helper()
	set, err := policy.Compile(1, []*snapshotv1.Rule{{
		Id: "1", Name: "open", Effect: snapshotv1.Effect_EFFECT_ALLOW, Tools: []string{"git/*"}, When: "arguments.n > 2",
	}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return set.Profile(&principal.Principal{User: "ana"})
}

// Entries and profiles share a verdict: 20,000 tools that wait for a condition cost no more than those that do not.
func TestAVerdictIsKeptOnceForAllEntriesAndProfiles(t *testing.T) {
	index := &core{entries: make([]*Entry, 1000)}
	for i := range index.entries {
		index.entries[i] = &Entry{Kind: policy.Tool, Name: "get", Server: &Server{Item: &snapshotv1.Server{Name: "git"}}, number: i}
	}
	said := conditional(t)
	var first *policy.Verdict
	for range 3 {
		profile := &Profile{index: index, policy: said, memos: new(memos)}
		for range 2 {
			for _, e := range index.entries {
				verdict := profile.verdict(e, policy.MethodCall)
				if first == nil {
					first = verdict
				}
				if _, final := verdict.Final(); final || !verdict.Listed() {
					t.Fatalf("entry %d: %+v", e.number, verdict)
				}
			}
		}
		if again := profile.verdict(index.entries[500], policy.MethodCall); again != first {
			t.Error("a profile has a verdict of its own")
		}
	}
	if kept := len(*index.verdicts.all.Load()); kept != 1 {
		t.Errorf("%d verdicts are kept; want 1", kept)
	}
}

// When there is no room for a verdict, it is worked out each time, and says the same.
func TestAVerdictThatIsNotKeptSaysTheSame(t *testing.T) {
	index := &core{entries: []*Entry{{Kind: policy.Tool, Name: "get", Server: &Server{Item: &snapshotv1.Server{Name: "git"}}}}}
	index.verdicts.size = maxVerdicts
	profile := &Profile{index: index, policy: conditional(t), memos: new(memos)}
	one, other := profile.verdict(index.entries[0], policy.MethodCall), profile.verdict(index.entries[0], policy.MethodCall)
	if one == other || one.Key() != other.Key() || index.verdicts.all.Load() != nil || !profile.listed(index.entries[0]) {
		t.Errorf("%+v, %+v", one, other)
	}
}

// P-13: profiles of callers by token that the core does not keep must not stay in the
// overlay, however long a denial stands.
func TestP13_AnOverlayKeepsABoundedNumberOfProfiles(t *testing.T) {
	x := &core{keys: credential.NewTable(nil, nil, func() {})}
	index, err := x.withOverlay(1, []*snapshotv1.Deny{{Kind: snapshotv1.DenyKind_DENY_KIND_SERVER, Name: "git"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	caller := &principal.Principal{User: "ana", Issuer: "corp"}
	for range maxTokenProfiles + 500 {
		profile := &Profile{index: x, memos: new(memos)}
		if masked := index.overlay.over(profile, caller); masked == profile || masked.overlay != index.overlay {
			t.Fatal("a profile without the denial")
		}
	}
	kept := 0
	index.overlay.masked.Range(func(any, any) bool { kept++; return true })
	if kept != maxTokenProfiles {
		t.Errorf("%d profiles are kept, want %d", kept, maxTokenProfiles)
	}
}
