package uplink

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/warder-gateway/warder/internal/tunnel"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// stand is an inventory: its servers answer with their name and what they were asked.
type stand struct {
	changed chan struct{}
	began   chan struct{} // a call to "slow" has come
	hold    chan struct{} // calls to "slow" wait for it
	left    chan struct{} // a call to "slow" ended because nobody waits for it any more

	mu      sync.Mutex
	servers map[string]bool
}

func newStand(servers ...string) *stand {
	s := &stand{changed: make(chan struct{}, 1), began: make(chan struct{}, 1), hold: make(chan struct{}), left: make(chan struct{}, 1), servers: map[string]bool{}}
	for _, name := range servers {
		s.servers[name] = true
	}
	return s
}

func (s *stand) set(name string, ready bool) {
	s.mu.Lock()
	s.servers[name] = ready
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *stand) Changed() <-chan struct{} { return s.changed }

func (s *stand) States() (states []*tunnelv1.ServerState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, ready := range s.servers {
		states = append(states, &tunnelv1.ServerState{Name: name, Ready: ready})
	}
	slices.SortFunc(states, func(a, b *tunnelv1.ServerState) int { return strings.Compare(a.GetName(), b.GetName()) })
	return states
}

func (s *stand) Reports() (reports []*enrollv1.ServerReport) {
	for _, state := range s.States() {
		reports = append(reports, &enrollv1.ServerReport{Name: state.GetName()})
	}
	return reports
}

func (s *stand) Serve(ctx context.Context, r *tunnel.Incoming, w tunnel.Answer) {
	body, err := r.ReadAll(1000)
	if err != nil {
		return
	}
	if r.Server == "slow" {
		s.began <- struct{}{}
		_ = w.Head(200, nil)
		select {
		case <-s.hold:
		case <-ctx.Done():
			s.left <- struct{}{}
		}
		_, _ = w.Write([]byte("slow"))
		return
	}
	_ = w.Reply(200, nil, []byte(r.Server+" got "+string(body)))
}
