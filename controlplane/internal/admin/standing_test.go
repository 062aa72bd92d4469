package admin

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// What a node does not look up, because it is too much work, is not explained as if it did.
func TestWhatIsTooMuchWorkToLookUpIsSaidNotToExist(t *testing.T) {
	items := []*snapshotv1.Item{{Kind: &snapshotv1.Item_Server{Server: &snapshotv1.Server{Name: "git", Capabilities: []byte(`{"resources":{}}`)}}}}
	for i := range 20 {
		items = append(items, &snapshotv1.Item{Kind: &snapshotv1.Item_Template{Template: &snapshotv1.Template{
			Server: "git", UriTemplate: fmt.Sprint("slow://", strings.Repeat("{+a}", 15), "{+x", i, "}"), Risk: snapshotv1.Risk_RISK_READ,
		}}})
	}
	set, err := snapshot.New("epoch", 1, items)
	if err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]bool{"slow://" + strings.Repeat("a", 20): true, "slow://" + strings.Repeat("a", 8000): false} {
		got := asked{kind: catalog.Resource, server: "git", name: uri}.in(set)
		if got.served != want || !want && !strings.Contains(got.detail, "too much work") {
			t.Errorf("%d bytes: %+v", len(uri), got)
		}
	}
}
