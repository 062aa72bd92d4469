package upstream

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// newPool returns a pool that is closed when the test ends.
func newPool(t testing.TB, config Config) *Pool {
	t.Helper()
	p := New(config)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		p.Close(ctx)
	})
	return p
}

// listen serves a handler on loopback until the test ends, and returns the item that registers it.
func listen(t testing.TB, handler http.Handler) *snapshotv1.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return &snapshotv1.Server{Name: "github", Url: server.URL + "/mcp", Private: true}
}

// versioned returns the same server as discovered with a version.
func versioned(server *snapshotv1.Server, version string) *snapshotv1.Server {
	return &snapshotv1.Server{
		Name: server.Name, Url: server.Url, Private: server.Private, Headers: server.Headers, ProtocolVersion: version,
	}
}

var ana = &principal.Principal{User: "ana", Application: "cursor", KeyID: "anakey"}

// callTo returns a call of tool with a raw id and raw arguments, as a client of the era sends it.
func callTo(t testing.TB, server *snapshotv1.Server, era mcp.Era, id, tool, arguments string) *Call {
	t.Helper()
	meta, version := "", mcp.Version20251125
	if era == mcp.Modern {
		version = mcp.Version20260728
		meta = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"sampling":{}},` +
			`"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"}}`
	}
	return callWith(t, server, era, version, fmt.Sprintf(
		`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"github__%s","arguments":%s%s}}`, id, tool, arguments, meta), tool)
}

func callWith(t testing.TB, server *snapshotv1.Server, era mcp.Era, version, body, tool string) *Call {
	t.Helper()
	call := &Call{
		Server: server, Principal: ana, Era: era, ClientVersion: version, Body: []byte(body),
		Request: new(mcp.Request), Target: tool, Header: http.Header{},
	}
	if err := mcp.ScanRequest(call.Body, mcp.Limits{}, call.Request); err != nil {
		t.Fatalf("scan call: %v", err)
	}
	return call
}

// do makes a call that must come back with an answer.
func do(t testing.TB, p *Pool, call *Call) *Answer {
	t.Helper()
	answer, err := p.Do(t.Context(), call, nil)
	if err != nil {
		t.Fatalf("Do: %v", err)
	}
	return answer
}

// scan reads an answer as a client does.
func scan(t testing.TB, body []byte) *mcp.Response {
	t.Helper()
	response := new(mcp.Response)
	if err := mcp.ScanResponse(body, mcp.Limits{}, response); err != nil {
		t.Fatalf("answer %s: %v", body, err)
	}
	return response
}

// wantAnswer fails the test unless the body is exactly this.
func wantAnswer(t testing.TB, answer *Answer, body string) {
	t.Helper()
	if string(answer.Body) != body {
		t.Errorf("answer is %s, want %s", answer.Body, body)
	}
}

// wantFailure fails the test unless the server failed with this code and a text that has these words.
func wantFailure(t testing.TB, answer *Answer, code int, words string) {
	t.Helper()
	response := scan(t, answer.Body)
	if answer.Outcome != outcomeServerFailed || response.ErrorCode != code || !strings.Contains(answer.Error, words) || response.ErrorText != answer.Error {
		t.Errorf("outcome %v, answer %s, error %q; want code %d and %q", answer.Outcome, answer.Body, answer.Error, code, words)
	}
	if !strings.Contains(answer.Error, `"github"`) {
		t.Errorf("the text does not name the server: %q", answer.Error)
	}
}

// collector is a sink that keeps what it gets. It answers what it is asked with ask.
type collector struct {
	mu       sync.Mutex
	messages []string
	marks    []Mark
	primes   []Mark
	relayed  []string
	sessions []SessionRef // of what was relayed
	asked    []string

	withdrawn []string
	// relay takes a request of the server in a goroutine of its own; nil: nobody does.
	relay func(session SessionRef, id, method string)
	// relaying ends when all of them have returned.
	relaying sync.WaitGroup
	// ask answers; nil: every question is refused.
	ask func(method, params string) (result string, refused *mcp.Error)
}

func (c *collector) Notification(message []byte, at Mark) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.messages = append(c.messages, string(message))
	c.marks = append(c.marks, at)
	return nil
}

func (c *collector) Prime(at Mark) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.primes = append(c.primes, at)
	return nil
}

func (c *collector) Relay(r *ServerRequest, _ Mark) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.relayed = append(c.relayed, string(r.Message))
	c.sessions = append(c.sessions, r.Session)
	if c.relay != nil {
		session, id, method := r.Session, string(r.ID), r.Method // r is the caller's again afterwards
		c.relaying.Go(func() { c.relay(session, id, method) })
	}
	return nil
}

func (c *collector) Withdraw(w *Withdrawal, _ Mark) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.withdrawn = append(c.withdrawn, string(w.Message))
	return nil
}

func (c *collector) Ask(_ context.Context, method string, params []byte) ([]byte, *mcp.Error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, method+" "+string(params))
	if c.ask == nil {
		return nil, &mcp.Error{Code: -1, Text: "no", Offset: -1}, nil
	}
	result, refused := c.ask(method, string(params))
	return []byte(result), refused, nil
}

// await polls until ready, for at most a few seconds.
func await(t testing.TB, what string, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ready(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("ten seconds passed without %s", what)
		}
	}
}

// show prints an answer for people.
func show(answer *Answer) string {
	if answer == nil {
		return "no answer"
	}
	return fmt.Sprintf("%v, %q: %s", answer.Outcome, answer.Error, answer.Body)
}
