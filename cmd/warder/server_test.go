package main

import (
	"bytes"
	"strings"
	"testing"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// TestT44_WhoAddsAServerIsWarnedOfIt: whether or not it could be discovered.
func TestT44_WhoAddsAServerIsWarnedOfIt(t *testing.T) {
	for _, state := range []adminv1.ServerState{adminv1.ServerState_SERVER_STATE_READY, adminv1.ServerState_SERVER_STATE_FAILED} {
		var out bytes.Buffer
		printAdded(&out, &adminv1.AddServerResponse{Server: &adminv1.Server{Name: "files", State: state, Warnings: []string{"the command fetches \x1b[31m what it likes"}}})
		if !strings.Contains(out.String(), "\nWarning: the command fetches") || strings.ContainsRune(out.String(), 0x1b) {
			t.Errorf("%v: %q", state, out.String())
		}
	}
}
