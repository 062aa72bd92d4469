package calls

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// client takes what the handler answers.
type client struct {
	status int
	body   strings.Builder
	reset  tunnelv1.ResetCode
	gone   error
}

func (c *client) Head(status int, _ []tunnel.Field) error { c.status = status; return c.gone }
func (c *client) Write(piece []byte) (int, error)         { c.body.Write(piece); return len(piece), c.gone }
func (c *client) Reply(status int, _ []tunnel.Field, body []byte) error {
	c.status = status
	c.body.Write(body)
	return c.gone
}
func (c *client) Reset(code tunnelv1.ResetCode, _ string) { c.reset = code }

type handler func(ctx context.Context, r *tunnel.Incoming, w tunnel.Answer)

func (h handler) Serve(ctx context.Context, r *tunnel.Incoming, w tunnel.Answer) { h(ctx, r, w) }

var (
	asJSON   = []tunnel.Field{{Name: "content-type", Value: "application/json"}}
	asEvents = []tunnel.Field{{Name: "Content-Type", Value: "text/event-stream"}}
)

const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"secret":"s3cr3t"}}}`

func TestACallIsKeptWithWhatItAskedAndHowItEnded(t *testing.T) {
	large := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"x":"` + strings.Repeat("x", maxLooked) + `"}}}`
	reply := func(body string) handler {
		return func(_ context.Context, _ *tunnel.Incoming, w tunnel.Answer) { _ = w.Reply(200, asJSON, []byte(body)) }
	}
	for name, c := range map[string]struct {
		method, body string
		header       []tunnel.Field
		answer       handler
		want         Call
	}{
		"a tool": {"POST", call, nil, reply(`{"jsonrpc":"2.0","id":1,"result":{}}`), Call{Method: "tools/call", Subject: "echo", Outcome: "ok"}},
		"an error": {"POST", call, nil, reply(`{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no such tool"}}`),
			Call{Method: "tools/call", Subject: "echo", Outcome: "error -32602: no such tool", Failed: true}},
		"a tool that failed": {"POST", call, nil, reply(`{"jsonrpc":"2.0","id":1,"result":{"isError":true,"content":[]}}`),
			Call{Method: "tools/call", Subject: "echo", Outcome: "tool error", Failed: true}},
		"a stream": {"POST", call, nil, func(_ context.Context, _ *tunnel.Incoming, w tunnel.Answer) {
			_ = w.Head(200, asEvents)
			_, _ = w.Write([]byte("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n"))
			_, _ = w.Write([]byte("event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":7,\"message\":\"late\"}}\n\n"))
		}, Call{Method: "tools/call", Subject: "echo", Outcome: "error 7: late", Failed: true}},
		"a large one": {"POST", large, []tunnel.Field{{Name: "mcp-method", Value: "tools/call"}, {Name: "mcp-name", Value: "echo"}}, reply(`{}`),
			Call{Method: "tools/call", Subject: "echo", Outcome: "ok"}},
		"nonsense": {"POST", "{", nil, func(_ context.Context, _ *tunnel.Incoming, w tunnel.Answer) { _ = w.Head(400, nil) },
			Call{Method: "(unknown)", Outcome: "HTTP 400 Bad Request", Failed: true}},
		"a reset": {"POST", call, nil, func(_ context.Context, _ *tunnel.Incoming, w tunnel.Answer) {
			w.Reset(tunnelv1.ResetCode_RESET_CODE_FAILED, "it crashed")
		}, Call{Method: "tools/call", Subject: "echo", Outcome: "failed: it crashed", Failed: true}},
		"silence": {"POST", call, nil, func(context.Context, *tunnel.Incoming, tunnel.Answer) {},
			Call{Method: "tools/call", Subject: "echo", Outcome: "failed: no answer", Failed: true}},
		"a listener": {"GET", "", nil, func(_ context.Context, _ *tunnel.Incoming, w tunnel.Answer) { _ = w.Head(200, asEvents) },
			Call{Method: "(listens)", Outcome: "ok"}},
		"an end": {"DELETE", "", nil, func(_ context.Context, _ *tunnel.Incoming, w tunnel.Answer) { _ = w.Head(200, nil) },
			Call{Method: "(ends session)", Outcome: "ok"}},
	} {
		t.Run(name, func(t *testing.T) {
			log, got := NewLog(), ""
			log.Watch(handler(func(ctx context.Context, r *tunnel.Incoming, w tunnel.Answer) {
				body, _ := io.ReadAll(r.Body)
				got = string(body)
				if running, _ := log.Calls(0); !running[0].Running || running[0].Method != c.want.Method {
					t.Errorf("while it ran it was %+v", running[0])
				}
				c.answer(ctx, r, w)
			})).Serve(t.Context(), &tunnel.Incoming{Server: "wiki", Method: c.method, Header: c.header, Body: strings.NewReader(c.body)}, &client{})
			if got != c.body {
				t.Error("the server got another body")
			}
			calls, _ := log.Calls(0)
			c.want.Number, c.want.Server = 1, "wiki"
			if diff := cmp.Diff([]Call{c.want}, calls, cmpopts.IgnoreFields(Call{}, "Began", "Took")); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			if calls[0].Began.IsZero() || calls[0].Took <= 0 || strings.Contains(fmt.Sprint(calls), "s3cr3t") {
				t.Errorf("it is %+v", calls[0])
			}
		})
	}
}

func TestWhatTheClientGetsIsWhatTheServerSaid(t *testing.T) {
	to := &client{}
	NewLog().Watch(handler(func(_ context.Context, _ *tunnel.Incoming, w tunnel.Answer) {
		_ = w.Head(202, nil)
		_, _ = w.Write([]byte("one "))
		_, _ = w.Write([]byte("two"))
	})).Serve(t.Context(), &tunnel.Incoming{Server: "s", Method: "GET"}, to)
	if to.status != 202 || to.body.String() != "one two" {
		t.Errorf("it got %d %q", to.status, to.body.String())
	}
}

func TestACallThatNobodyWaitsForIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	log := NewLog()
	log.Watch(handler(func(context.Context, *tunnel.Incoming, tunnel.Answer) { cancel() })).
		Serve(ctx, &tunnel.Incoming{Server: "s", Method: "GET"}, &client{})
	log.Watch(handler(func(_ context.Context, _ *tunnel.Incoming, w tunnel.Answer) { _, _ = w.Write(nil) })).
		Serve(t.Context(), &tunnel.Incoming{Server: "s", Method: "GET"}, &client{gone: io.ErrClosedPipe})
	calls, _ := log.Calls(0)
	for _, c := range calls {
		if c.Outcome != "cancelled" || c.Failed {
			t.Errorf("it is %+v", c)
		}
	}
}

func TestOnlyTheLastCallsAreKept(t *testing.T) {
	log := NewLog()
	watched := log.Watch(handler(func(_ context.Context, r *tunnel.Incoming, w tunnel.Answer) {
		_, _ = io.ReadAll(r.Body)
		_ = w.Reply(200, asJSON, []byte(`{"jsonrpc":"2.0","id":1,"result":{}}`))
	}))
	name := strings.Repeat("n", 10*maxText)
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `"}}`
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range Kept {
				watched.Serve(t.Context(), &tunnel.Incoming{Server: name, Method: "POST", Body: strings.NewReader(body)}, &client{})
			}
		})
	}
	all.Wait()
	calls, mark := log.Calls(0)
	if len(calls) != Kept || calls[0].Number != 3*Kept+1 || calls[Kept-1].Number != 4*Kept {
		t.Errorf("%d are kept, from %d to %d", len(calls), calls[0].Number, calls[len(calls)-1].Number)
	}
	if n := len(calls[0].Server) + len(calls[0].Subject); n > 2*maxText+10 {
		t.Errorf("the names are %d bytes", n)
	}
	if again, _ := log.Calls(mark); again != nil {
		t.Error("nothing has changed, and yet they are told again")
	}
}

func TestAnAnswerIsLookedAtWhereItEnds(t *testing.T) {
	a := &answer{to: &client{}}
	for range 100 {
		_, _ = a.Write([]byte(strings.Repeat("x", maxLooked/3)))
	}
	_, _ = a.Write([]byte("end"))
	if len(a.last) != maxLooked || !strings.HasSuffix(string(a.last), "xend") {
		t.Errorf("%d bytes are kept", len(a.last))
	}
}
