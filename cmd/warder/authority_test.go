package main

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func TestTheAuthorityThatSignsIsTheLatestWhoseTimeHasCome(t *testing.T) {
	authority := func(from time.Duration) *adminv1.Authority {
		return &adminv1.Authority{Fingerprint: strings.Repeat("a", 64), SignsFrom: timestamppb.New(time.Now().Add(from))}
	}
	for want, all := range map[string][]*adminv1.Authority{
		"signs":         {authority(-time.Hour)},
		"signs waits":   {authority(-time.Hour), authority(time.Hour)},
		"retires signs": {authority(-2 * time.Hour), authority(-time.Hour)},
		"waits":         {authority(time.Hour)},
	} {
		var b strings.Builder
		printAuthorities(&b, all)
		var states []string
		for _, line := range strings.Split(strings.TrimSpace(b.String()), "\n")[1:] {
			states = append(states, strings.Fields(line)[1])
		}
		if got := strings.Join(states, " "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
