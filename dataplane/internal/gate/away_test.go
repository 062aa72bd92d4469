package gate_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func TestAServerThatIsAwayIsNotListedAndDecidedOnAsEver(t *testing.T) {
	w := gatetest.New(t)
	w.Role("all", "git/*", "mail/*")
	w.Server("git", "get")
	w.Server("mail", "send")
	w.User("ana", "all")
	key := w.Key("ana", "cursor", time.Time{})
	present := w.Index(1)
	away := present.Without(map[string]struct{}{"mail": {}})
	names := func(x *gate.Index) (n int, view gate.View) {
		caller := caller(t, x, key)
		profile := x.Profile(caller)
		mail, _ := x.Server("mail")
		if !profile.Sees(mail) {
			t.Error("the endpoint of the server is gone")
		}
		entry, _, ok := x.Resolve(policy.Tool, nil, mcp.ExposedName("mail", "send"))
		if !ok || !x.Decide(caller, entry, mcp.MethodToolsCall, nil).Allowed() {
			t.Error("a call is not let through")
		}
		page, _ := profile.List(gate.Tools, nil, mcp.Modern).Page(nil)
		var scan int
		mcp.Elements(page.Items, func(mcp.Span) error { scan++; return nil })
		return scan, profile.View(nil)
	}
	all, before := names(present)
	some, meanwhile := names(away)
	again, after := names(away.Without(nil))
	if all != 2 || some != 1 || again != 2 {
		t.Errorf("%d, %d and %d tools are listed, want 2, 1 and 2", all, some, again)
	}
	if before == meanwhile || before != after {
		t.Error("clients would not be told that the list changed, or told without a change")
	}
	revoked := time.Unix(1_800_000_000, 0)
	denied, err := away.Deny([]*snapshotv1.Deny{{Kind: snapshotv1.DenyKind_DENY_KIND_AGENT, Name: "laptop", Reason: "lost", IssuedBefore: timestamppb.New(revoked)}}, w.Set(1))
	if err != nil || denied.DeniedAgents()["laptop"] != (identity.Denial{Reason: "lost", Before: revoked.UTC()}) {
		t.Errorf("a denied agent: %v, %v", denied.DeniedAgents(), err)
	}
	if dressed := denied.Without(map[string]struct{}{"mail": {}}); dressed.DeniedAgents()["laptop"].Reason != "lost" {
		t.Error("what is away covers what is denied")
	}
}
