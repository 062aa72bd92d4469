package bridge

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/budget"
	"github.com/warder-gateway/warder/internal/mcp"
)

// scripted is a modern server that answers as its script says.
type scripted struct {
	*wire.Conn
	script func(s *scripted, m *mcp.Request, body string)
	dead   chan struct{}
	stop   sync.Once

	mu    sync.Mutex
	asked []string // all that it was sent
}

func (s *scripted) Send(_ context.Context, message []byte) error {
	s.TrySend(message)
	return nil
}

func (s *scripted) TrySend(message []byte) bool {
	var m mcp.Request
	if err := mcp.ScanRequest(message, mcp.Limits{}, &m); err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, string(message))
	if m.Method == mcp.MethodDiscover {
		go s.says(`{"jsonrpc":"2.0","id":%s,"result":{"supportedVersions":["2026-07-28"]}}`, m.ID.Of(message))
	} else {
		go s.script(s, &m, string(message))
	}
	return true
}

// says has the server say something.
func (s *scripted) says(format string, args ...any) {
	if err := s.Receive(fmt.Appendf(nil, format, args...)); err != nil {
		panic(err)
	}
}

// acknowledges has it acknowledge what it was asked for.
func (s *scripted) acknowledges(m *mcp.Request, body string) {
	_, filter, _ := strings.Cut(body, `"notifications":`)
	s.says(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s},"notifications":%s`, m.ID.Of([]byte(body)), filter)
}

// sent counts what it was sent that has this text in it.
func (s *scripted) sent(what string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, message := range s.asked {
		n += strings.Count(message, what)
	}
	return n
}

func (s *scripted) Dead() <-chan struct{}  { return s.dead }
func (s *scripted) Err() error             { return wire.ErrStopped }
func (s *scripted) Stop()                  { s.stop.Do(func() { s.Fail(wire.ErrStopped); close(s.dead) }) }
func (s *scripted) Started() time.Time     { return time.Time{} }
func (s *scripted) PID() int               { return os.Getpid() }
func (s *scripted) Redact(t string) string { return t }
func (s *scripted) LastWords() string      { return "" }

// play runs a test with a scripted server, in the time of synctest.
func play(t *testing.T, budget *budget.Budget, script func(s *scripted, m *mcp.Request, body string), test func(*testing.T, *fixture, *scripted)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{script: script, dead: make(chan struct{})}
		f := &fixture{Server: New(Config{Era: mcp.Modern, Budget: budget, Dial: func(ears wire.Hearer) (Peer, error) {
			s.Conn = wire.New(sender{s}, ears, budget)
			return s, nil
		}})}
		t.Cleanup(f.Close)
		test(t, f, s)
	})
}

// sender is the server's side of its connection.
type sender struct{ *scripted }

func TestAServerThatDoesNotAnswerWhatWasCancelledIsAskedAnewAllTheSame(t *testing.T) {
	play(t, nil, func(s *scripted, m *mcp.Request, body string) {
		if m.Method == mcp.MethodListen {
			s.acknowledges(m, body)
		}
	}, func(t *testing.T, f *fixture, s *scripted) {
		first := f.listens(t, `{"toolsListChanged":true,"resourceSubscriptions":["a"]}`)
		began := time.Now()
		f.listens(t, `{"resourceSubscriptions":["b"]}`)
		if took := time.Since(began); took > restTime+endTime+10*time.Millisecond {
			t.Errorf("that took %v", took)
		}
		first.hears(`"uri":"a"`, 1)
		first.hears(toolNews, 1)
		if s.sent(`["a","b"]`)+s.sent(`["b","a"]`) != 1 || s.sent("notifications/cancelled") == 0 {
			t.Errorf("it was sent %q", s.asked)
		}
	})
}

func TestManyWhoComeAtOnceAreOneReplacement(t *testing.T) {
	play(t, nil, func(s *scripted, m *mcp.Request, body string) {
		if m.Method == mcp.MethodListen {
			s.acknowledges(m, body)
		}
	}, func(t *testing.T, f *fixture, s *scripted) {
		f.listens(t, `{"toolsListChanged":true}`)
		var all []*audition
		for i := range 50 {
			all = append(all, f.listen(t, fmt.Sprintf(`{"resourceSubscriptions":["r%d"]}`, i)))
		}
		for _, c := range all {
			c.hears(acked, 1)
		}
		if n := s.sent(`"subscriptions/listen"`); n != 2 {
			t.Errorf("it was asked %d times", n)
		}
	})
}

func TestAServerThatRefusesListsNobodyWantsIsNotAskedForThem(t *testing.T) {
	play(t, nil, func(s *scripted, m *mcp.Request, body string) {
		switch {
		case m.Method == mcp.MethodListen && strings.Contains(body, "promptsListChanged"):
			s.says(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no prompts here"}}`, m.ID.Of([]byte(body)))
		case m.Method == mcp.MethodListen:
			s.acknowledges(m, body)
		}
	}, func(t *testing.T, f *fixture, s *scripted) {
		f.listens(t, `{"toolsListChanged":true}`)
		greedy := f.listen(t, `{"promptsListChanged":true}`)
		<-greedy.over
		if greedy.status != 400 || !strings.Contains(greedy.all(), "no prompts here") {
			t.Errorf("it was answered with %d %q", greedy.status, greedy.all())
		}
	})
}

func TestAServerThatDoesNotAcknowledgeFailsWhoWaits(t *testing.T) {
	play(t, nil, func(*scripted, *mcp.Request, string) {}, func(t *testing.T, f *fixture, s *scripted) {
		began := time.Now()
		c := f.listen(t, `{"toolsListChanged":true}`)
		<-c.over
		if took := time.Since(began); !c.reset || took < f.config.WaitTime || took > f.config.WaitTime+2*endTime {
			t.Errorf("it ended after %v with %d %q", took, c.status, c.all())
		}
	})
}

// TestNewsThatFoundNoRoomIsMadeUpFor spends all that messages may hold, so that what the server says then is dropped.
func TestNewsThatFoundNoRoomIsMadeUpFor(t *testing.T) {
	all := budget.New(1 << 20)
	play(t, all, func(s *scripted, m *mcp.Request, body string) {
		if m.Method != mcp.MethodListen {
			return
		}
		s.acknowledges(m, body)
		synctest.Wait()
		rest := 1<<20 - all.Held()
		all.Hold(int(rest))
		s.says(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, m.ID.Of([]byte(body)))
		all.Give(int(rest))
	}, func(t *testing.T, f *fixture, s *scripted) {
		f.listens(t, `{"toolsListChanged":true}`).hears(toolNews, 1)
	})
}

func TestAListenThatTheServerEndsEndsForAllInGoodOrder(t *testing.T) {
	play(t, nil, func(s *scripted, m *mcp.Request, body string) {
		if m.Method == mcp.MethodListen {
			id := m.ID.Of([]byte(body))
			s.acknowledges(m, body)
			synctest.Wait()
			s.says(`{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, id, id)
		}
	}, func(t *testing.T, f *fixture, s *scripted) {
		for _, c := range []*audition{f.listens(t, `{"toolsListChanged":true}`), f.listens(t, `{"toolsListChanged":true}`)} {
			<-c.over
			if told := c.all(); c.reset || !strings.Contains(told, `"id":"same","result":{"resultType":"complete",`) || strings.Count(told, stamped) != 2 {
				t.Errorf("it ended with %q", told)
			}
		}
	})
}
