package admin

import (
	"strings"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func TestSealKeysAreRotatedByHandAndNeverShown(t *testing.T) {
	r := newRig(t)
	rotate := func(m *adminv1.RotateSealKeysRequest) (*connect.Response[adminv1.RotateSealKeysResponse], error) {
		return r.local.sealKeys.RotateSealKeys(t.Context(), connect.NewRequest(m))
	}
	first := must(rotate(&adminv1.RotateSealKeysRequest{Now: true})).or(t).GetKeys()
	if len(first) != 1 || !first[0].GetSeals() {
		t.Fatalf("first key: %v", first)
	}
	both := must(rotate(&adminv1.RotateSealKeysRequest{})).or(t).GetKeys()
	if len(both) != 2 || !both[0].GetSeals() || both[1].GetSeals() || !both[1].GetSealsFrom().AsTime().After(both[1].GetCreatedAt().AsTime()) {
		t.Errorf("a second one waits for its time: %v", both)
	}
	sent := func() (keys []*snapshotv1.SealKey) {
		for _, item := range r.CurrentSet().All() {
			keys = append(keys, item.GetSettings().GetSealKeys()...)
		}
		return keys
	}
	settings := sent()
	if len(settings) != 2 || len(settings[0].GetKey()) != 32 || !settings[1].GetSealsFrom().AsTime().Equal(both[1].GetSealsFrom().AsTime()) {
		t.Errorf("nodes get %d keys", len(settings))
	}
	must(rotate(&adminv1.RotateSealKeysRequest{Forget: true})).refused(t, connect.CodeInvalidArgument, "every session ends at once")
	must(rotate(&adminv1.RotateSealKeysRequest{})).refused(t, connect.CodeAborted, "takes over already")
	only := must(rotate(&adminv1.RotateSealKeysRequest{Now: true, Forget: true})).or(t).GetKeys()
	if len(only) != 1 || only[0].GetName() == both[0].GetName() || only[0].GetName() == both[1].GetName() {
		t.Errorf("forgetting left %v", only)
	}
	listed := must(r.local.sealKeys.ListSealKeys(t.Context(), connect.NewRequest(&adminv1.ListSealKeysRequest{}))).or(t)
	if text := listed.String(); strings.Contains(text, string(sent()[0].GetKey())) || len(listed.GetKeys()) != 1 {
		t.Errorf("listed: %s", text)
	}
}
