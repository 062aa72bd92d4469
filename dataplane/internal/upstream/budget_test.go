package upstream

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// padded is an answer of about n bytes.
func padded(id string, n int) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"result":{"content":[],"pad":"` + strings.Repeat("x", n) + `"}}`
}

// taken returns what the messages of a server hold.
func taken(t *testing.T, p *Pool, server *snapshotv1.Server) int64 {
	t.Helper()
	e, err := p.endpoint(server)
	if err != nil {
		t.Fatal(err)
	}
	return e.budget.taken.Load()
}

// waysToAnswer are what a server can wrap an answer in, by the version that it speaks.
func waysToAnswer(t *testing.T, size int) map[string]*snapshotv1.Server {
	asJSON := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, id string) { reply(w, padded(id, size)) }}
	asStream := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, id string) {
		stream(w)("data: " + padded(id, size) + "\n\n")
	}}
	onLine := &sseFake{t: t, endpoint: "/message?session=1", call: func(send func(string), id string) { send("data: " + padded(id, size) + "\n\n") }}
	return map[string]*snapshotv1.Server{
		"JSON":       versioned(listen(t, asJSON), mcp.Version20251125),
		"stream":     versioned(listen(t, asStream), mcp.Version20251125),
		"2024-11-05": versioned(listen(t, onLine), mcp.Version20241105),
	}
}

// P-13: what the answers of one server hold is bounded until their clients have taken them. A call whose answer finds no
// room fails, and says of whom and why; the server is not taken for dead, small answers pass, and room comes back.
func TestP13_LargeAnswersOfAServerHoldNoMoreThanItsBudget(t *testing.T) {
	const size = 3 << 20
	for name, server := range waysToAnswer(t, size) {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, Config{AnswerBytes: 16 << 20})
			var kept []*Answer
			for i := range 10 * breakerFailures {
				answer := do(t, p, callTo(t, server, mcp.Legacy, fmt.Sprint(i), "echo", `{}`))
				if held := taken(t, p, server); held > 16<<20 {
					t.Fatalf("%d bytes are held", held)
				}
				if answer.Outcome == outcomeOK {
					kept = append(kept, answer)
					continue
				}
				wantFailure(t, answer, mcp.CodeUnavailable, "hold as many bytes as they may (16777216)")
			}
			if len(kept) < 2 || len(kept) > 5 {
				t.Errorf("%d answers of %d bytes at a time", len(kept), size)
			}
			for _, answer := range kept {
				answer.Release()
				answer.Release()
			}
			await(t, "room again", func() bool { return taken(t, p, server) == 0 })
			if answer := do(t, p, callTo(t, server, mcp.Legacy, "1000", "echo", `{}`)); answer.Outcome != outcomeOK {
				t.Error("after all were released:", show(answer)[:200])
			} else {
				answer.Release()
			}
		})
	}
}

// What passes through a stream needs no budget beyond the message at hand: a server may send more than the budget in one
// call, as long as the client takes it.
func TestMessagesThatPassThroughDoNotAddUp(t *testing.T) {
	const messages, size = 12, 1 << 20
	f := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, id string) {
		send := stream(w)
		for range messages {
			send(`data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"` + strings.Repeat("x", size) + "\"}}\n\n")
		}
		send("data: " + ok(id) + "\n\n")
	}}
	p := newPool(t, Config{AnswerBytes: 4 << 20})
	server := versioned(listen(t, f), mcp.Version20251125)
	sink := &collector{}
	answer, err := p.Do(t.Context(), callTo(t, server, mcp.Legacy, "1", "echo", `{}`), sink)
	if err != nil || answer.Outcome != outcomeOK || len(sink.messages) != messages {
		t.Errorf("%d messages, %s, %v", len(sink.messages), show(answer), err)
	}
	if held := taken(t, p, server); held != 0 {
		t.Errorf("%d bytes are held by a small answer", held)
	}
}

// TestABudgetIsDerivedFromTheCallsAtATime: with room for the largest message, whatever the server.
func TestABudgetIsDerivedFromTheCallsAtATime(t *testing.T) {
	config := Config{}.withDefaults()
	for calls, want := range map[int64]int64{1: 64 << 20, 512: 256 << 20, 1 << 40: 1 << 30} {
		if got := newBudget(&config, calls).size; got != want {
			t.Errorf("%d calls: %d bytes, want %d", calls, got, want)
		}
	}
	for name, server := range waysToAnswer(t, config.MessageBytes-200) {
		server.MaxInFlight = 1
		answer := do(t, newPool(t, Config{}), callTo(t, server, mcp.Legacy, "1", "echo", `{}`))
		if answer.Outcome != outcomeOK {
			t.Errorf("%s: the largest message: %s", name, answer.Error)
		}
	}
}

// An inbox of a session of 2024-11-05 holds few bytes, be its messages as few as they may: the line waits for room.
func TestAnInboxIsBoundedInBytes(t *testing.T) {
	l := &sseLine{endpoint: &endpoint{name: "github", budget: budget{size: 4 << 20}}, over: make(chan struct{}), asks: map[string]*sseInbox{}, cancel: func() {}}
	in, err := l.expect("1")
	if err != nil {
		t.Fatal(err)
	}
	const messages, size = 8, 400 << 10
	var putting sync.WaitGroup
	putting.Go(func() {
		for range messages {
			in.put(make([]byte, size))
		}
	})
	for range messages {
		message, err := in.next(t.Context())
		if err != nil || len(message) != size {
			t.Fatal(len(message), err)
		}
		in.mu.Lock()
		if in.bytes > inboxBytes {
			t.Errorf("%d bytes wait", in.bytes)
		}
		in.mu.Unlock()
		runtime.Gosched()
	}
	putting.Wait()
	in.put(make([]byte, 3<<20)) // alone, above the inbox's own bound
	if message, err := in.next(t.Context()); err != nil || len(message) != 3<<20 {
		t.Error(len(message), err)
	}
	in.put(make([]byte, 3<<20)) // while the reader still has the other
	if _, err := in.next(t.Context()); err != errOverBudget {
		t.Errorf("beyond the budget: %v", err)
	}
	in.close()
	if held := l.endpoint.budget.taken.Load(); held != 0 {
		t.Errorf("%d bytes are held by an inbox that is closed", held)
	}
	waiting, err := l.expect("2")
	if err != nil {
		t.Fatal(err)
	}
	waiting.put(make([]byte, 2<<20))
	waiting.close()
	if held := l.endpoint.budget.taken.Load(); held != 0 {
		t.Errorf("%d bytes are held by messages that nobody read", held)
	}
}

// What a server asks, and whatever else ends a call, keeps nothing of the budget.
func TestNothingOfABudgetIsLost(t *testing.T) {
	pad := strings.Repeat("x", 1<<20)
	for name, call := range map[string]func(w http.ResponseWriter, r *http.Request, id string){
		"garbage":    func(w http.ResponseWriter, _ *http.Request, _ string) { reply(w, pad) },
		"another id": func(w http.ResponseWriter, _ *http.Request, _ string) { reply(w, padded("77", len(pad))) },
		"too large":  func(w http.ResponseWriter, _ *http.Request, id string) { reply(w, padded(id, 5<<20)) },
		"too large event": func(w http.ResponseWriter, _ *http.Request, id string) {
			stream(w)("data: " + padded(id, 5<<20) + "\n\n")
		},
		"broken off": func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("Content-Length", fmt.Sprint(2<<20))
			io.WriteString(w, pad)
			cut(w)
		},
		"broken stream": func(w http.ResponseWriter, _ *http.Request, _ string) { stream(w)("data: " + pad); cut(w) },
		"an error": func(w http.ResponseWriter, _ *http.Request, id string) {
			w.WriteHeader(500)
			io.WriteString(w, padded(id, 1<<20))
		},
		"a question": func(w http.ResponseWriter, _ *http.Request, id string) {
			send := stream(w)
			send(`data: {"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"pad":"` + pad + "\"}}\n\n")
			send("data: " + ok(id) + "\n\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, Config{MessageBytes: 4 << 20, CallTimeout: 5 * time.Second})
			server := versioned(listen(t, &fake{t: t, call: call}), mcp.Version20251125)
			for _, era := range []mcp.Era{mcp.Legacy, mcp.Modern} {
				request := callTo(t, server, era, "1", "echo", `{}`)
				request.Capabilities = mcp.CapSampling
				request.Permit = func(string, []byte) *mcp.Error { return nil }
				answer, err := p.Do(t.Context(), request, &collector{})
				if err != nil {
					t.Fatal(err)
				}
				answer.Release()
				if held := taken(t, p, server); held != 0 {
					t.Errorf("%d bytes are held after %.100s", held, show(answer))
				}
			}
		})
	}
}
