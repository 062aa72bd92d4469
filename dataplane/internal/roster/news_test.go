package roster

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warder-gateway/warder/internal/tunnel"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// newsroom is a roster that two agents with a server each are attached to, and what it tells.
type newsroom struct {
	roster  *Roster
	agents  map[string]*attachment // by server
	since   map[string]time.Time   // of what was not told yet, by server: since when it is so
	told    int
	longest map[string]time.Duration // that something was not told, by server
}

// underTest runs one with virtual time, when all that begins is told and forgotten.
func underTest(t *testing.T, test func(n *newsroom)) {
	synctest.Test(t, func(t *testing.T) {
		n := &newsroom{agents: make(map[string]*attachment), since: make(map[string]time.Time), longest: make(map[string]time.Duration)}
		n.roster = New(Config{Node: "one", Changed: func() {
			n.told++
			for server, since := range n.since {
				n.longest[server] = max(n.longest[server], time.Since(since))
			}
			clear(n.since)
		}})
		n.roster.Retain([]*snapshotv1.Server{{Name: "files", Agent: "laptop"}, {Name: "mail", Agent: "desk"}}, nil, nil)
		for server, agent := range map[string]string{"files": "laptop", "mail": "desk"} {
			n.agents[server] = &attachment{agent: agent, tunnel: tunnel.New(nil, tunnel.Config{}), end: func(error) {}}
			n.roster.enter(n.agents[server])
		}
		n.announce("files", true)
		n.announce("mail", true)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go n.roster.Run(ctx)
		time.Sleep(2 * quietTime)
		synctest.Wait()
		n.told = 0
		clear(n.longest)
		test(n)
		cancel()
		synctest.Wait()
	})
}

// announce has the agent of a server say whether that is ready. Nothing else of the test runs meanwhile.
func (n *newsroom) announce(server string, ready bool) {
	if _, waits := n.since[server]; !waits {
		n.since[server] = time.Now()
	}
	n.roster.announced(n.agents[server], []*tunnelv1.ServerState{{Name: server, Ready: ready}})
}

// flap has a server come and go for a time, so often in a second.
func (n *newsroom) flap(server string, perSecond int, lasts time.Duration) {
	end := time.Now().Add(lasts)
	for ready := false; time.Now().Before(end); ready = !ready {
		n.announce(server, ready)
		time.Sleep(time.Second / time.Duration(perSecond))
		synctest.Wait()
	}
}

func TestAnAgentThatFlapsIsToldOfAFewTimesInASecondAndNeverLate(t *testing.T) {
	for _, perSecond := range []int{3, 20, 1000} {
		underTest(t, func(n *newsroom) {
			n.flap("files", perSecond, time.Minute)
			t.Logf("%d changes in a second for a minute are told %d times, and wait for %v at the most", perSecond, n.told, n.longest["files"])
			if n.told > 60*int(time.Second/longestPause)+60/2+5 {
				t.Errorf("%d changes in a second for a minute were told %d times", perSecond, n.told)
			}
			if n.longest["files"] > longestPause {
				t.Errorf("a change was told after %v", n.longest["files"])
			}
		})
	}
}

func TestTheFirstChangeIsToldAtOnceAndAgainAfterQuiet(t *testing.T) {
	underTest(t, func(n *newsroom) {
		for range 2 {
			n.told = 0
			n.announce("files", false)
			if synctest.Wait(); n.told != 1 || n.longest["files"] != 0 {
				t.Errorf("told %d times, after %v", n.told, n.longest["files"])
			}
			n.flap("files", 100, 10*time.Second)
			time.Sleep(longestPause + quietTime)
			synctest.Wait()
			if len(n.since) > 0 {
				t.Error("the last change was never told")
			}
			clear(n.longest)
		}
		if len(n.roster.news.paces) > 2 {
			t.Error("paces are kept without end")
		}
	})
}

func TestAnAgentThatFlapsDelaysNoOther(t *testing.T) {
	underTest(t, func(n *newsroom) {
		flapping := make(chan struct{})
		go func() {
			defer close(flapping)
			for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				ready := time.Now().UnixMilli()/10%2 == 0
				n.roster.announced(n.agents["files"], []*tunnelv1.ServerState{{Name: "files", Ready: ready}})
			}
		}()
		time.Sleep(5*time.Second + 5*time.Millisecond)
		synctest.Wait()
		n.announce("mail", false)
		<-flapping
		synctest.Wait()
		if n.longest["mail"] > settleTime {
			t.Errorf("the server of another agent was withdrawn after %v", n.longest["mail"])
		}
		if _, waits := n.since["mail"]; waits {
			t.Error("it never was")
		}
	})
}

func TestWhatAnAgentRepeatsIsNoNews(t *testing.T) {
	underTest(t, func(n *newsroom) {
		for range 1000 {
			n.announce("files", true)
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		if n.told != 0 {
			t.Errorf("it was told %d times", n.told)
		}
	})
}
