package directory

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// talkative is an agent that says something without end.
type talkative struct {
	enrollv1.AgentService_FollowServer
	said, most int
}

func (s *talkative) Recv() (*enrollv1.FollowRequest, error) {
	if s.said++; s.said > s.most {
		return nil, io.EOF
	}
	return &enrollv1.FollowRequest{Report: &enrollv1.AgentReport{Version: "1"}}, nil
}

// TestAnAgentIsHeardNoFasterThanItHasReasonToSpeak: what each says takes a lock that all share.
func TestAnAgentIsHeardNoFasterThanItHasReasonToSpeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Config{})
		f := &follower{name: "laptop", end: func(error) {}, wake: make(chan struct{}, 1), news: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		f.end = func(error) { cancel() }
		began := time.Now()
		d.hear(ctx, f, &talkative{most: 1000})
		if took := time.Since(began); took < 1000*hearPause || took > 2*1000*hearPause {
			t.Errorf("1,000 messages took %v", took)
		}
		if f.report.GetVersion() != "1" {
			t.Errorf("the report is %v", f.report)
		}
	})
}

// Who waits for a server that is starting hears so, and not that what it said last is why.
func TestWhyAServerIsNotReadyIsSaidAsItsAgentReportsIt(t *testing.T) {
	for want, report := range map[string]*enrollv1.ServerReport{
		"it has no such server":                         nil,
		"no such program":                               {LastError: "no such program", LastLine: "npm warn"},
		"it is still starting; its last line: npm warn": {Phase: enrollv1.ServerPhase_SERVER_PHASE_STARTING, LastLine: "npm warn"},
		"it does not say why":                           {Phase: enrollv1.ServerPhase_SERVER_PHASE_STARTING},
	} {
		if got := unready(report); !strings.HasPrefix(got, want) {
			t.Errorf("%v: %q; want %q", report, got, want)
		}
	}
}
