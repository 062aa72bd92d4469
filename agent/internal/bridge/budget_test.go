package bridge

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/warder-gateway/warder/internal/budget"
	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// stalled is a client that takes no answer before it is released.
type stalled struct {
	release chan struct{}
	waiting *atomic.Int64
	status  int
	whole   atomic.Bool
	reset   atomic.Bool
}

func (a *stalled) Head(status int, _ []tunnel.Field) error { a.status = status; return nil }
func (a *stalled) Write(p []byte) (int, error)             { return 0, errors.New("no answer of one piece") }
func (a *stalled) Reset(tunnelv1.ResetCode, string)        { a.reset.Store(true) }
func (a *stalled) Reply(status int, _ []tunnel.Field, body []byte) error {
	a.status = status
	a.whole.Store(len(body) > 300<<10)
	a.waiting.Add(1)
	<-a.release
	return nil
}

func TestAnswersThatSlowClientsDoNotTakeAreBoundedTogether(t *testing.T) {
	t.Parallel()
	agent := budget.New(2 << 20)
	f := start(t, Config{Spec: own("both"), Budget: agent.Share(1 << 20)})
	session, err := connect(t, f.url, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"big","arguments":{"text":""},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	header := []tunnel.Field{{Name: "mcp-protocol-version", Value: "2026-07-28"}, {Name: "mcp-method", Value: "tools/call"}, {Name: "mcp-name", Value: "big"}}
	release, waiting := make(chan struct{}), &atomic.Int64{}
	answers := make([]*stalled, 10)
	over := make(chan struct{}, len(answers))
	for i := range answers {
		answers[i] = &stalled{release: release, waiting: waiting}
		go func() {
			f.Serve(context.Background(), &tunnel.Incoming{Method: http.MethodPost, Header: header, Body: strings.NewReader(body)}, answers[i])
			over <- struct{}{}
		}()
	}
	for range len(answers) - 3 { // Three fit.
		<-over
	}
	eventually(t, "the answers that fit", func() bool { return waiting.Load() == 3 })
	if held := agent.Held(); held < 3*300<<10 || held > 1<<20 {
		t.Errorf("%d bytes are held", held)
	}
	if got, err := call(t, session, "echo", text{"small"}); err != nil || !strings.Contains(got, "small") {
		t.Errorf("a client that takes its answers got %q, %v", got, err)
	}
	close(release)
	for range 3 {
		<-over
	}
	whole, reset := 0, 0
	for _, a := range answers {
		if a.whole.Load() {
			whole++
		}
		if a.reset.Load() {
			reset++
		}
	}
	if whole != 3 || reset != len(answers)-3 {
		t.Errorf("%d answers came whole, %d calls failed", whole, reset)
	}
	session.Close()
	eventually(t, "the end of all holds", func() bool { return agent.Held() == 0 })
}

func TestARequestThatFindsNoRoomIsRefusedBeforeAnythingIsDone(t *testing.T) {
	t.Parallel()
	f := start(t, Config{Spec: own("both"), Budget: budget.New(1000)})
	response, err := http.Post(f.url, "application/json", strings.NewReader(strings.Repeat(" ", 2000)+"{}"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" || f.Status().Processes != 0 {
		t.Errorf("it was answered with %s, and %d processes run", response.Status, f.Status().Processes)
	}
	eventually(t, "the end of all holds", func() bool { return f.config.Budget.Held() == 0 }) // The answer is there before the handler returns.
}
