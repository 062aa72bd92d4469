package directory

import (
	"context"
	"io"
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
