package main

import (
	"bytes"
	"strings"
	"testing"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func TestAJoinTokenComesWithTheCommandThatUsesIt(t *testing.T) {
	for _, c := range []struct {
		kind, at string
		reveal   bool
		want     string
	}{
		{"agent", "control.corp:8444", true, "WARDER_JOIN_TOKEN=wdj_a_b_c warder agent run --control-plane control.corp:8444"},
		{"node", "[fd00::1]:8444", true, "WARDER_JOIN_TOKEN=wdj_a_b_c warder dataplane --control-plane [fd00::1]:8444"},
		{"agent", ":8444", false, "warder agent run --control-plane HOST:8444 --join-token-file FILE"},
		{"node", "", false, "warder dataplane --control-plane HOST:PORT --join-token-file FILE"},
	} {
		m := &adminv1.CreateJoinTokenResponse{Token: "wdj_a_b_c", ControlPlane: c.at, JoinToken: &adminv1.JoinToken{Kind: c.kind}}
		if got := joinCommand(m, c.reveal); got != c.want {
			t.Errorf("%s at %q: %s\nwant %s", c.kind, c.at, got, c.want)
		}
	}
}

func TestAJoinTokenForThisMachineAloneSaysSo(t *testing.T) {
	for at, warned := range map[string]bool{"127.0.0.1:41234": true, "control.corp:8444": false, ":8444": false} {
		var errs bytes.Buffer
		c := &cli{stdout: new(bytes.Buffer), stderr: &errs}
		c.adviseJoin(&adminv1.CreateJoinTokenResponse{Token: "wdj_a_b_c", ControlPlane: at, JoinToken: &adminv1.JoinToken{Kind: "agent"}})
		if got := strings.Contains(errs.String(), "Only this machine reaches"); got != warned || strings.Contains(errs.String(), "wdj_") {
			t.Errorf("%s:\n%s", at, &errs)
		}
	}
}
