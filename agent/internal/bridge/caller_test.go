package bridge

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/agent/internal/wire"
	wardermcp "github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// as connects a modern client for whom requests come with a caller, by a way of its own.
func (f *fixture) as(t *testing.T, caller string) *mcp.ClientSession {
	t.Helper()
	front := httptest.NewServer(overHTTP(handlerFunc(func(ctx context.Context, r *tunnel.Incoming, w tunnel.Answer) {
		r.Caller = []byte(caller)
		f.Serve(ctx, r, w)
	})))
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	session, err := connect(t, front.URL, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

type handlerFunc func(context.Context, *tunnel.Incoming, tunnel.Answer)

func (f handlerFunc) Serve(ctx context.Context, r *tunnel.Incoming, w tunnel.Answer) { f(ctx, r, w) }

func TestEachCallerOfAModernServerHasAProcessOfHisOwnUnlessShared(t *testing.T) {
	t.Parallel()
	for shared, want := range map[bool]struct {
		found     []string
		processes int
	}{
		false: {[]string{"<nil>", "<nil>", "ana's", "bo's"}, 2},
		true:  {[]string{"<nil>", "ana's", "bo's", "ana's"}, 1},
	} {
		f := start(t, Config{Spec: own("both"), Era: wardermcp.Modern, Shared: shared})
		var found []string
		for _, caller := range []string{"ana", "bo", "ana", "bo"} {
			before, err := call(t, f.as(t, caller), "store", text{caller + "'s"})
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, strings.NewReplacer(`{"text":"`, "", `"}`, "", `\u003c`, "<", `\u003e`, ">").Replace(before))
		}
		if n := f.Status().Processes; !slices.Equal(found, want.found) || n != want.processes {
			t.Errorf("shared %v: %d processes run, and what was stored before is %q; want %v", shared, n, found, want)
		}
	}
}

// crew is a server of which each process is scripted: it answers all but what hangs.
type crew struct {
	*fixture
	mu  sync.Mutex
	all []*scripted
}

// man runs a test with a crew, in the time of synctest.
func man(t *testing.T, config Config, test func(t *testing.T, c *crew)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newCrew(t, config)) })
}

func newCrew(t *testing.T, config Config) *crew {
	c := new(crew)
	config.Era = wardermcp.Modern
	config.Dial = func(ears wire.Hearer) (Peer, error) {
		s := &scripted{dead: make(chan struct{}), script: func(s *scripted, m *wardermcp.Request, body string) {
			if strings.Contains(body, "shout") {
				s.says(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"a shout"}}`)
			}
			if !strings.Contains(body, "hang") {
				s.says(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID.Of([]byte(body)))
			}
		}}
		s.Conn = wire.New(sender{s}, ears, nil)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all = append(c.all, s)
		return s, nil
	}
	c.fixture = &fixture{Server: New(config)}
	t.Cleanup(c.Close)
	return c
}

// calls makes a modern call of a tool and returns the status of its answer.
func (c *crew) calls(ctx context.Context, caller, tool string) int {
	var a status
	c.post(ctx, caller, tool, "", &a)
	return int(a)
}

// post makes a modern call of a tool, with more members of _meta.
func (c *crew) post(ctx context.Context, caller, tool, meta string, w tunnel.Answer) {
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}` + meta + `}}}`
	header := []tunnel.Field{{Name: "mcp-protocol-version", Value: "2026-07-28"}, {Name: "mcp-method", Value: "tools/call"}, {Name: "mcp-name", Value: tool}}
	c.Serve(ctx, &tunnel.Incoming{Caller: []byte(caller), Method: http.MethodPost, Header: header, Body: strings.NewReader(body)}, w)
}

// status is an answer of which only that matters.
type status int

func (a *status) Head(code int, _ []tunnel.Field) error { *a = status(code); return nil }
func (a *status) Write(p []byte) (int, error)           { return len(p), nil }
func (a *status) Reset(tunnelv1.ResetCode, string)      {}
func (a *status) Reply(code int, _ []tunnel.Field, _ []byte) error {
	*a = status(code)
	return nil
}

// runs says for whom processes run.
func (c *crew) runs() (callers []string) {
	c.Server.mu.Lock()
	defer c.Server.mu.Unlock()
	for w := range c.workers {
		callers = append(callers, w.caller)
	}
	slices.Sort(callers)
	return callers
}

// Of the default number a caller may have many, for each window of an editor wants one, and
// leaves some to others.
func TestTheShareOfACallerIsMostOfTheProcessesAndNeverAll(t *testing.T) {
	for processes, want := range map[int]int{0: 24, 1: 1, 2: 1, 8: 6} {
		if got := (Config{Processes: processes}).withDefaults().Share; got != want {
			t.Errorf("of %d one caller gets %d, not %d", processes, got, want)
		}
	}
}

func TestOneCallerGetsHisShareOfTheProcesses(t *testing.T) {
	man(t, Config{Processes: 8, Share: 2}, func(t *testing.T, c *crew) {
		for range 3 { // Sessions of the legacy era are started so.
			w, err := c.start(silence{}, "ana")
			if err == nil {
				c.served(w)
			}
			if got := c.runs(); len(got) > 2 || err != nil && (err != errShare || len(got) != 2) {
				t.Fatalf("%v, and processes run for %q", err, got)
			}
		}
		if code := c.calls(t.Context(), "ana", "echo"); code != http.StatusServiceUnavailable {
			t.Errorf("one who has his share is answered with HTTP %d", code)
		}
		if code := c.calls(t.Context(), "bo", "echo"); code != http.StatusOK {
			t.Errorf("another one is answered with HTTP %d", code)
		}
		for range 5 { // The gateway's own are no user's share.
			if _, err := c.start(silence{}, nobody); err != nil {
				t.Fatal(err)
			}
		}
		if code := c.calls(t.Context(), "cy", "echo"); code != http.StatusServiceUnavailable {
			t.Errorf("one who finds no room is answered with HTTP %d", code)
		}
	})
}

func TestQuietProcessesMakeRoomTheCallersOwnFirst(t *testing.T) {
	man(t, Config{Processes: 4, Share: 1}, func(t *testing.T, c *crew) {
		for _, caller := range []string{"bo", "ana", "cy"} {
			if code := c.calls(t.Context(), caller, "echo"); code != http.StatusOK {
				t.Fatalf("%s: HTTP %d", caller, code)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(quiet)
		// The share is one: ana's makes room for ana, though bo's has been quiet for longer.
		w, err := c.start(silence{}, "ana")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.runs(); !slices.Equal(got, []string{"ana", "bo", "cy"}) {
			t.Errorf("processes run for %q", got)
		}
		w.Stop()
		<-w.followed
		for _, caller := range []string{"dee", "eve", "fay"} {
			if code := c.calls(t.Context(), caller, "echo"); code != http.StatusOK {
				t.Fatalf("%s: HTTP %d", caller, code)
			}
		}
		if got := c.runs(); !slices.Equal(got, []string{"cy", "dee", "eve", "fay"}) {
			t.Errorf("processes run for %q", got)
		}
	})
}

func TestAProcessInUseMakesNoRoom(t *testing.T) {
	man(t, Config{Processes: 1}, func(t *testing.T, c *crew) {
		ctx, cancel := context.WithCancel(t.Context())
		go c.calls(ctx, "ana", "hang")
		time.Sleep(2 * quiet)
		if code := c.calls(t.Context(), "bo", "echo"); code != http.StatusServiceUnavailable {
			t.Errorf("HTTP %d", code)
		}
		cancel()
		synctest.Wait()
		time.Sleep(2 * quiet)
		if code := c.calls(t.Context(), "bo", "echo"); code != http.StatusOK || !slices.Equal(c.runs(), []string{"bo"}) {
			t.Errorf("HTTP %d, and processes run for %q", code, c.runs())
		}
	})
}

func TestProcessesOfCallersEndWhenIdleAndNothingIsKeptOfThem(t *testing.T) {
	man(t, Config{}, func(t *testing.T, c *crew) {
		for i := range 5 {
			c.calls(t.Context(), fmt.Sprint("user", i), "echo")
		}
		if n := c.Status().Processes; n != 5 {
			t.Errorf("%d processes run", n)
		}
		time.Sleep(c.config.IdleTime + 2*time.Minute)
		synctest.Wait()
		if n := c.Status().Processes; n != 0 || len(c.modern) != 0 || len(c.starting) != 0 {
			t.Errorf("%d processes run, %d slots and %d starts are kept", n, len(c.modern), len(c.starting))
		}
		if code := c.calls(t.Context(), "user1", "echo"); code != http.StatusOK {
			t.Errorf("one who comes back is answered with HTTP %d", code)
		}
	})
}

func TestOneWhoComesWhileHisProcessEndsGetsAnother(t *testing.T) {
	man(t, Config{}, func(t *testing.T, c *crew) {
		c.calls(t.Context(), "ana", "echo")
		ending, err := c.modernWorker(t.Context(), "ana")
		if err != nil || !ending.retire() {
			t.Fatal("her process is in use", err)
		}
		answered := make(chan int, 1)
		go func() { answered <- c.calls(t.Context(), "ana", "echo") }()
		synctest.Wait()
		ending.Stop()
		if code := <-answered; code != http.StatusOK || len(c.all) != 2 {
			t.Errorf("HTTP %d, and %d processes were started", code, len(c.all))
		}
	})
}

func TestServersOfAnAgentShareItsPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places := NewPlaces(2)
		one, two := newCrew(t, Config{Name: "one", Places: places}), newCrew(t, Config{Name: "two", Places: places})
		one.calls(t.Context(), "ana", "echo")
		time.Sleep(time.Second)
		one.calls(t.Context(), "bo", "echo")
		if code := two.calls(t.Context(), "ana", "echo"); code != http.StatusServiceUnavailable {
			t.Errorf("one more is answered with HTTP %d", code)
		}
		time.Sleep(quiet)
		if code := two.calls(t.Context(), "ana", "echo"); code != http.StatusOK || !slices.Equal(one.runs(), []string{"bo"}) {
			t.Errorf("HTTP %d, and processes of the other server run for %q", code, one.runs())
		}
		one.Close()
		if code := two.calls(t.Context(), "bo", "echo"); code != http.StatusOK {
			t.Errorf("after the other one has closed: HTTP %d", code)
		}
	})
}

// What a call causes is told to nobody else, also while the only call that wants log messages is another user's.
func TestALogMessageOfOneCallerReachesNoOther(t *testing.T) {
	const wanted = `,"io.modelcontextprotocol/logLevel":"debug"`
	man(t, Config{}, func(t *testing.T, c *crew) {
		bo, over := &audition{t: t}, make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(over)
			c.post(ctx, "bo", "hang", wanted, bo)
		}()
		synctest.Wait()
		c.calls(t.Context(), "ana", "shout")
		synctest.Wait()
		if heard := bo.all(); heard != "" {
			t.Errorf("bo heard %q", heard)
		}
		ana := &audition{t: t}
		if c.post(t.Context(), "ana", "shout", wanted, ana); !strings.Contains(ana.all(), "a shout") {
			t.Errorf("ana heard %q", ana.all())
		}
		cancel()
		<-over
	})
}
