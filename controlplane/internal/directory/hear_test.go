package directory

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
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

// What is left of an agent's earlier stream and tunnel ends after it has come back: neither takes out the later ones, and what
// was said by it counts no more (security.md 6.2, T-43).
func TestTheLateEndOfAStreamOrATunnelLeavesItsSuccessorAlone(t *testing.T) {
	d := New(Config{Log: slog.New(slog.DiscardHandler)})
	states := func(ready bool) []*tunnelv1.ServerState {
		return []*tunnelv1.ServerState{{Name: "files", Ready: ready}}
	}
	var ended []error
	come := func() (*follower, *link) {
		end := func(err error) { ended = append(ended, err) }
		f, l := &follower{name: "laptop", end: end}, &link{end: end}
		if err := errors.Join(d.enter(f), d.tie("laptop", l)); err != nil {
			t.Fatal(err)
		}
		d.announced("laptop", l, states(true))
		return f, l
	}
	first, tunnel := come()
	later, latest := come()
	if len(ended) != 2 || !errors.Is(ended[0], errSuperseded) || !errors.Is(ended[1], errSuperseded) {
		t.Errorf("the first were ended by %v", ended)
	}
	d.announced("laptop", tunnel, states(false))
	d.untie("laptop", tunnel)
	d.leave(first)
	if a := d.agents["laptop"]; a.follower != later || a.link != latest || !a.link.ready["files"] {
		t.Errorf("after the end of the first the agent is %+v", a)
	}
	if here := d.Here(); len(here) != 1 {
		t.Errorf("reached are %v", here)
	}
	d.untie("laptop", latest)
	d.leave(later)
	if here := d.Here(); len(here) != 0 {
		t.Errorf("after the end of all, reached are %v", here)
	}
}
