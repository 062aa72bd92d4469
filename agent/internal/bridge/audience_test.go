package bridge

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// audition is a client that listens. All of them have chosen the same id.
type audition struct {
	t    *testing.T
	quit func()
	over chan struct{} // closed when the listen has ended

	mu     sync.Mutex
	status int
	text   string
	reset  bool
}

func (c *audition) Head(status int, _ []tunnel.Field) error { return c.Reply(status, nil, nil) }

func (c *audition) Reply(status int, _ []tunnel.Field, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status, c.text = status, c.text+string(body)
	return nil
}

func (c *audition) Write(piece []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text += string(piece)
	return len(piece), nil
}

func (c *audition) Reset(tunnelv1.ResetCode, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset = true
}

// heard counts what the client has been told that has this text in it.
func (c *audition) heard(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Count(c.text, what)
}

func (c *audition) all() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text
}

// hears waits until the client has been told so often.
func (c *audition) hears(what string, times int) {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); c.heard(what) < times; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: not heard %d times in\n%s", what, times, c.all())
		}
	}
}

// listen has a client listen until the test ends, or it quits.
func (f *fixture) listen(t *testing.T, filter string) *audition {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &audition{t: t, over: make(chan struct{})}
	c.quit = func() { cancel(); <-c.over }
	body := `{"jsonrpc":"2.0","id":"same","method":"subscriptions/listen","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}},"notifications":` + filter + `}}`
	header := []tunnel.Field{{Name: "mcp-protocol-version", Value: "2026-07-28"}, {Name: "mcp-method", Value: "subscriptions/listen"}}
	go func() {
		defer close(c.over)
		f.Serve(ctx, &tunnel.Incoming{Method: http.MethodPost, Header: header, Body: strings.NewReader(body)}, c)
	}()
	t.Cleanup(c.quit)
	return c
}

// listens is listen that returns when it is acknowledged.
func (f *fixture) listens(t *testing.T, filter string) *audition {
	t.Helper()
	c := f.listen(t, filter)
	c.hears(acked, 1)
	return c
}

const (
	acked     = `"method":"notifications/subscriptions/acknowledged"`
	toolNews  = `"method":"notifications/tools/list_changed"`
	otherNews = `"method":"notifications/prompts/list_changed"`
	stamped   = `"io.modelcontextprotocol/subscriptionId":"same"`
)

// shared starts a modern server, and a client that calls it.
func shared(t *testing.T, rest time.Duration) (f *fixture, does func(tool, argument string)) {
	t.Helper()
	f = start(t, Config{Spec: own("both"), listenRest: rest})
	session, err := connect(t, f.url, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return f, func(tool, argument string) {
		t.Helper()
		if _, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: text{argument}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryListenerHearsWhatItAskedForWhileOthersComeAndGo(t *testing.T) {
	t.Parallel()
	f, does := shared(t, time.Millisecond)
	one := f.listens(t, `{"toolsListChanged":true,"resourceSubscriptions":["note:///a"]}`)
	two := f.listens(t, `{"toolsListChanged":true,"promptsListChanged":true}`)
	three := f.listens(t, `{"resourceSubscriptions":["note:///a","note:///b"]}`)
	one.hears("note:///a", 2) // It was acknowledged, and told of the gap that the third made.
	if ack := two.all(); strings.Contains(ack, "promptsListChanged") || !strings.Contains(ack, `{"toolsListChanged":true}`) {
		t.Errorf("a server without prompts acknowledged %s", ack)
	}
	if busy := f.latestBusy(); busy != 1 {
		t.Errorf("%d listens are open at the process", busy)
	}
	before := []int{one.heard(toolNews), two.heard(toolNews), one.heard("note:///a"), three.heard("note:///a")}
	does("grow", "")
	one.hears(toolNews, before[0]+1)
	two.hears(toolNews, before[1]+1)
	does("update", "note:///a")
	one.hears("note:///a", before[2]+1)
	three.hears("note:///a", before[3]+1)

	three.quit() // Which ends nobody else's.
	two.quit()
	does("grow", "")
	one.hears(toolNews, before[0]+2)
	does("update", "note:///a")
	one.hears("note:///a", before[2]+2)

	four := f.listens(t, `{"resourceSubscriptions":["note:///d"]}`)
	one.hears(toolNews, before[0]+3)
	one.hears("note:///a", before[2]+3)
	does("update", "note:///d")
	four.hears("note:///d", 2)
	for i, c := range []*audition{one, two, three, four} {
		told := c.all()
		if n, stamps := strings.Count(told, `"jsonrpc"`), strings.Count(told, stamped); n != stamps {
			t.Errorf("of %d messages to %d, %d have its name:\n%s", n, i, stamps, told)
		}
		if strings.Contains(told, otherNews) || strings.Contains(told, "note:///a") && c != one && c != three || strings.Contains(told, toolNews) && c != one && c != two {
			t.Errorf("%d heard what it did not ask for:\n%s", i, told)
		}
	}
}

// TestNothingIsLostWhileListensAreReplaced has one client hear of each change, whoever else comes and goes at the moment.
func TestNothingIsLostWhileListensAreReplaced(t *testing.T) {
	t.Parallel()
	f, does := shared(t, time.Millisecond)
	steady := f.listens(t, `{"toolsListChanged":true,"resourceSubscriptions":["note:///a"]}`)
	done := make(chan struct{})
	var others sync.WaitGroup
	for i := range 3 {
		others.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				c := f.listens(t, fmt.Sprintf(`{"toolsListChanged":true,"resourceSubscriptions":["note:///%d/%d"]}`, i, n))
				if n%2 == 0 {
					c.quit()
				}
			}
		})
	}
	for range 50 {
		updates, changes := steady.heard("note:///a"), steady.heard(toolNews)
		does("update", "note:///a")
		does("grow", "")
		steady.hears("note:///a", updates+1)
		steady.hears(toolNews, changes+1)
	}
	close(done)
	others.Wait()
}

func TestAListenThatAServerRefusesCostsNobodyElseTheirs(t *testing.T) {
	t.Parallel()
	f, does := shared(t, time.Millisecond)
	good := f.listens(t, `{"toolsListChanged":true,"resourceSubscriptions":["note:///a"]}`)
	var bad []*audition
	for i := range 5 {
		bad = append(bad, f.listen(t, fmt.Sprintf(`{"resourceSubscriptions":["bad:///%d"]}`, i)))
	}
	second := f.listens(t, `{"resourceSubscriptions":["note:///b"]}`)
	for _, c := range bad {
		<-c.over
		if !strings.Contains(c.all(), "cannot be subscribed to") || !strings.Contains(c.all(), `"id":"same"`) {
			t.Errorf("it was answered %q", c.all())
		}
	}
	before := good.heard(toolNews)
	does("grow", "")
	good.hears(toolNews, before+1)
	does("update", "note:///b")
	second.hears("note:///b", 2)
	if strings.Contains(good.all()+second.all(), "bad:") {
		t.Error("somebody hears of what others asked for")
	}
}

func TestAProcessThatEndsEndsAllListeners(t *testing.T) {
	t.Parallel()
	f, _ := shared(t, time.Minute)
	var all []*audition
	for range 5 {
		all = append(all, f.listens(t, `{"toolsListChanged":true}`))
	}
	waits := f.listen(t, `{"resourceSubscriptions":["note:///a"]}`)
	session, err := connect(t, f.url, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = call(t, session, "crash", text{})
	for _, c := range append(all, waits) {
		<-c.over
		if !c.reset {
			t.Errorf("it ended with %d %q", c.status, c.all())
		}
	}
	eventually(t, "its return", func() bool { return f.Status().Ready && f.Status().Restarts == 1 })
	again := f.listens(t, `{"toolsListChanged":true}`)
	if _, err := call(t, session, "grow", text{}); err != nil {
		t.Fatal(err)
	}
	again.hears(toolNews, 1)
}

func TestListenersAndWhatTheyAskForAreBounded(t *testing.T) {
	t.Parallel()
	f, does := shared(t, time.Millisecond)
	uris := func(i int) string {
		var list []string
		for n := range 60 {
			list = append(list, fmt.Sprintf(`"note:///%d/%d/%s"`, i, n, strings.Repeat("x", 1000)))
		}
		return `{"resourceSubscriptions":[` + strings.Join(list, ",") + `]}`
	}
	honoured := 0
	for i := range 18 { // Of which 17 and a half fit.
		honoured += f.listens(t, uris(i)).heard("note:///")
	}
	if fits := maxMerged / 1014; honoured < fits-10 || honoured > fits+10 {
		t.Errorf("%d resources were honoured, where %d fit", honoured, fits)
	}
	first := f.listens(t, `{"toolsListChanged":true}`)
	for range maxListeners - 19 {
		if err := f.latest.audience.join(&listener{ready: make(chan struct{}, 1)}); err != nil {
			t.Fatal(err)
		}
	}
	late := f.listen(t, `{"toolsListChanged":true}`)
	<-late.over
	if late.status != http.StatusServiceUnavailable {
		t.Errorf("one more was answered with %d %q", late.status, late.all())
	}
	does("grow", "")
	first.hears(toolNews, 1)
}

func TestASlowListenerHoldsNoMoreThanItAskedFor(t *testing.T) {
	t.Parallel()
	l := &listener{id: []byte("7"), wants: wishes{tools, map[string]bool{"note:///a": true, "note:///dir": true}}, admitted: true, told: true, ready: make(chan struct{}, 1)}
	for i := range 10 * maxNews {
		l.tell(tools, "")
		l.tell(prompts, "")
		l.tell(0, "note:///a")
		l.tell(0, "note:///b")
		l.tell(0, fmt.Sprint("note:///dir/", i))
		l.tell(0, fmt.Sprint("note:///directory/", i))
	}
	l.tell(0, "note:///dir/"+strings.Repeat("x", maxAddress))
	a := &audience{}
	messages, _ := a.take(l)
	if len(messages) != 1+maxNews+1 {
		t.Errorf("%d messages wait", len(messages))
	}
	for _, want := range []string{
		`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7}}}`,
		`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7},"uri":"note:///a"}}`,
		`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7},"uri":"note:///dir"}}`,
	} {
		if !slices.ContainsFunc(messages, func(m []byte) bool { return string(m) == want }) {
			t.Errorf("missing: %s", want)
		}
	}
	if text := string(bytes.Join(messages, nil)); strings.Contains(text, "note:///b") || strings.Contains(text, "directory") || strings.Contains(text, "prompts") {
		t.Error("it heard what it did not ask for")
	}
	if messages, _ = a.take(l); len(messages) != 0 {
		t.Errorf("again: %q", messages)
	}
}
