package controlplane

import (
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

// Who is revoked at one replica of the control plane loses the streams that he has at
// another.
func TestARevocationEndsStreamsAtEveryReplica(t *testing.T) {
	config := testConfig(t)
	first, second := replica(t, config, kek(1)), replica(t, config, kek(1))
	f := follow(t, second.dial(t, "edge"))
	f.apply()
	nodes := adminv1connect.NewNodeServiceClient(first.local.Client(), first.local.URL)
	if _, err := nodes.RevokeNode(t.Context(), connect.NewRequest(&adminv1.RevokeNodeRequest{Name: "edge", Reason: "stolen"})); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil { // The denial itself may come first.
		_, err = f.stream.Recv()
	}
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "was revoked") {
		t.Errorf("the stream ended with %v", err)
	}
}
