package upstream

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

const canary = "CANARY-of-the-server"

// hang holds a request until its client gives up.
func hang(r *http.Request) { <-r.Context().Done() }

// misdeed is something that a server can do wrong with a call, and what is made of it.
type misdeed struct {
	name  string
	call  func(w http.ResponseWriter, r *http.Request, id string)
	code  int
	words string
}

var large = strings.Repeat("x", 1<<20)

// slow servers keep a call waiting.
var slow = []misdeed{
	{"hangs", func(_ http.ResponseWriter, r *http.Request, _ string) { hang(r) }, mcp.CodeTimeout, "did not answer within 500ms"},
	{"hangs after the headers", func(w http.ResponseWriter, r *http.Request, _ string) {
		reply(w, `{"jsonrpc":`)
		w.(http.Flusher).Flush()
		hang(r)
	}, mcp.CodeTimeout, "stopped in the middle of its answer for 300ms"},
	{"stream stalls", func(w http.ResponseWriter, r *http.Request, _ string) {
		stream(w)(": hello\n\n")
		hang(r)
	}, mcp.CodeTimeout, "stopped in the middle"},
	{"stream never ends", func(w http.ResponseWriter, r *http.Request, _ string) {
		send := stream(w)
		for r.Context().Err() == nil {
			send(": still here\n\n")
			time.Sleep(20 * time.Millisecond)
		}
	}, mcp.CodeTimeout, "did not finish the call within 1.5s"},
	{"flood", func(w http.ResponseWriter, r *http.Request, _ string) {
		send := stream(w)
		for r.Context().Err() == nil {
			send(`data: {"jsonrpc":"2.0","method":"notifications/x","params":{"x":"` + large[:1<<14] + `"}}` + "\n\n")
		}
	}, mcp.CodeBadServerAnswer, "bytes that one stream may have"},
}

// garblers answer with something that is no answer.
var garblers = []misdeed{
	{"no JSON", func(w http.ResponseWriter, _ *http.Request, _ string) { reply(w, canary) }, mcp.CodeBadServerAnswer, "not a valid MCP message"},
	{"nothing", func(w http.ResponseWriter, _ *http.Request, _ string) { reply(w, "") }, mcp.CodeBadServerAnswer, "not a valid MCP message"},
	{"two messages", func(w http.ResponseWriter, _ *http.Request, id string) { reply(w, ok(id)+ok(id)) }, mcp.CodeBadServerAnswer, "not a valid MCP message"},
	{"batch", func(w http.ResponseWriter, _ *http.Request, id string) { reply(w, "["+ok(id)+"]") }, mcp.CodeBadServerAnswer, "not a valid MCP message"},
	{"duplicate members", func(w http.ResponseWriter, _ *http.Request, id string) {
		reply(w, `{"jsonrpc":"2.0","id":`+id+`,"id":`+id+`,"result":{}}`)
	}, mcp.CodeBadServerAnswer, "not a valid MCP message"},
	{"another id", func(w http.ResponseWriter, _ *http.Request, id string) { reply(w, ok(id+"0")) }, mcp.CodeBadServerAnswer, "not a valid MCP message"},
	{"the id as a string", func(w http.ResponseWriter, _ *http.Request, id string) { reply(w, ok(`"`+id+`"`)) }, mcp.CodeBadServerAnswer, "not a valid MCP message"},
	{"the id with a fraction", func(w http.ResponseWriter, _ *http.Request, id string) { reply(w, ok(id+".0")) }, mcp.CodeBadServerAnswer, "not a valid MCP message"},
	{"another id in a stream", func(w http.ResponseWriter, _ *http.Request, id string) {
		stream(w)("data: " + ok("0") + "\n\ndata: " + ok(id) + "\n\n")
	}, mcp.CodeBadServerAnswer, "not a valid MCP message"},
	{"a notification for an answer", func(w http.ResponseWriter, _ *http.Request, _ string) {
		reply(w, `{"jsonrpc":"2.0","method":"notifications/message","params":{}}`)
	}, mcp.CodeBadServerAnswer, "not a valid MCP message"},
	{"garbage in a stream", func(w http.ResponseWriter, _ *http.Request, id string) {
		stream(w)("data: " + canary + "\n\n")
	}, mcp.CodeBadServerAnswer, "not a valid MCP message"},
	{"huge JSON with a length", func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.Header().Set("Content-Length", "1048576")
		reply(w, large)
	}, mcp.CodeBadServerAnswer, "more than the 65536 bytes"},
	{"huge JSON in chunks", func(w http.ResponseWriter, _ *http.Request, id string) {
		w.Header().Set("Content-Type", "application/json")
		w.(http.Flusher).Flush()
		reply(w, `{"jsonrpc":"2.0","id":`+id+`,"result":{"x":"`+large+`"}}`)
	}, mcp.CodeBadServerAnswer, "more than the 65536 bytes"},
	{"huge event", func(w http.ResponseWriter, _ *http.Request, _ string) { stream(w)("data: " + large + "\n\n") }, mcp.CodeBadServerAnswer, "more than the 65536 bytes"},
	{"too deep", func(w http.ResponseWriter, _ *http.Request, id string) {
		reply(w, `{"jsonrpc":"2.0","id":`+id+`,"result":{"x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}}`)
	}, mcp.CodeBadServerAnswer, "not a valid MCP message"},
}

// refusers answer with a status or a type that is no answer.
var refusers = []misdeed{
	{"redirect", func(w http.ResponseWriter, r *http.Request, _ string) {
		http.Redirect(w, r, "http://169.254.169.254/"+canary, http.StatusTemporaryRedirect)
	}, mcp.CodeBadServerAnswer, "redirects elsewhere (HTTP 307), which is not followed"},
	{"HTML", func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<p>"+canary)
	}, mcp.CodeBadServerAnswer, "content type that is neither JSON nor an event stream"},
	{"accepted, no answer", func(w http.ResponseWriter, _ *http.Request, _ string) { w.WriteHeader(202) }, mcp.CodeBadServerAnswer, "gave no answer to it (HTTP 202)"},
	{"401", func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.Header().Set("WWW-Authenticate", "Bearer realm="+canary)
		http.Error(w, canary, http.StatusUnauthorized)
	}, mcp.CodeUnavailable, "refused the credentials that Warder has for it (HTTP 401)"},
	{"403", func(w http.ResponseWriter, _ *http.Request, _ string) { http.Error(w, canary, http.StatusForbidden) }, mcp.CodeUnavailable, "refused the credentials"},
	{"429", func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.Header().Set("Retry-After", "7")
		http.Error(w, canary, http.StatusTooManyRequests)
	}, mcp.CodeRateLimited, "asks to slow down"},
	{"500", func(w http.ResponseWriter, _ *http.Request, _ string) { http.Error(w, canary, 500) }, mcp.CodeBadServerAnswer, "answered with HTTP status 500"},
	{"503", func(w http.ResponseWriter, _ *http.Request, _ string) {
		http.Error(w, canary, http.StatusServiceUnavailable)
	}, mcp.CodeUnavailable, "is not available (HTTP 503)"},
	{"404", func(w http.ResponseWriter, _ *http.Request, _ string) { http.Error(w, canary, 404) }, mcp.CodeBadServerAnswer, "has no MCP endpoint"},
	{"500 with another answer's error", func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(500)
		io.WriteString(w, `{"jsonrpc":"2.0","id":0,"error":{"code":1,"message":"`+canary+`"}}`)
	}, mcp.CodeBadServerAnswer, "answered with HTTP status 500"},
}

// quitters go away before the answer is there.
var quitters = []misdeed{
	{"hangs up", func(w http.ResponseWriter, _ *http.Request, _ string) { cut(w) }, mcp.CodeUnavailable, "closed the connection before its answer was complete"},
	{"hangs up in the middle", func(w http.ResponseWriter, _ *http.Request, id string) {
		w.Header().Set("Content-Length", "1000")
		reply(w, ok(id)[:30])
		w.(http.Flusher).Flush()
		cut(w)
	}, mcp.CodeUnavailable, "closed the connection before its answer was complete"},
	{"stream ends without an answer", func(w http.ResponseWriter, _ *http.Request, _ string) {
		stream(w)("event: message\ndata:\n\n")
	}, mcp.CodeUnavailable, "closed the connection before its answer was complete"},
	{"stream ends within an event", func(w http.ResponseWriter, _ *http.Request, id string) { stream(w)("data: " + ok(id)) }, mcp.CodeUnavailable, "closed the connection"},
	{"endless header", func(w http.ResponseWriter, _ *http.Request, id string) {
		w.Header().Set("X-Large", large[:1<<17])
		reply(w, ok(id))
	}, mcp.CodeBadServerAnswer, "something that is not valid HTTP"},
}

// TestAFailingServerGetsATextOfItsOwn covers what a server can do wrong: each way has its own text, which names the
// server and holds none of its bytes, and the client's id is there.
func TestAFailingServerGetsATextOfItsOwn(t *testing.T) {
	config := Config{
		HeaderTimeout: 500 * time.Millisecond, IdleTimeout: 300 * time.Millisecond, CallTimeout: 1500 * time.Millisecond,
		MessageBytes: 64 << 10, StreamBytes: 512 << 10,
	}
	for _, test := range slices.Concat(slow, garblers, refusers, quitters) {
		for _, version := range []string{mcp.Version20251125, mcp.Version20260728} {
			t.Run(test.name+"/"+version, func(t *testing.T) {
				t.Parallel()
				server := versioned(listen(t, &fake{t: t, call: test.call}), version)
				answer := do(t, newPool(t, config), callTo(t, server, mcp.Legacy, `"mine"`, "echo", `{}`))
				wantFailure(t, answer, test.code, test.words)
				if id := scan(t, answer.Body).ID.Of(answer.Body); string(id) != `"mine"` {
					t.Errorf("the answer has id %s", id)
				}
				if strings.Contains(string(answer.Body)+answer.Error, "CANARY") {
					t.Errorf("the server's bytes show: %s", answer.Body)
				}
			})
		}
	}
}

func TestAServerThatCannotBeReachedGetsATextOfItsOwn(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	defer secure.Close()
	tests := []struct {
		name, url string
		code      int
		words     string
	}{
		{"refused", "http://" + closed.Addr().String(), mcp.CodeUnavailable, "refused the connection"},
		{"unknown host", "http://no-such-host.invalid/mcp", mcp.CodeUnavailable, "the host name of server"},
		{"unknown authority", secure.URL, mcp.CodeUnavailable, "signed by an unknown authority"},
		{"no TLS", strings.Replace(plain.URL, "http:", "https:", 1), mcp.CodeUnavailable, "does not speak TLS"},
		{"no URL", "://", mcp.CodeUnavailable, "not an http or https URL"},
		{"another scheme", "file:///etc/passwd", mcp.CodeUnavailable, "not an http or https URL"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := &snapshotv1.Server{Name: "github", Url: test.url, Private: true, ProtocolVersion: mcp.Version20260728}
			answer := do(t, newPool(t, Config{}), callTo(t, server, mcp.Modern, "1", "echo", `{}`))
			wantFailure(t, answer, test.code, test.words)
		})
	}
}

func TestTheRetryHintOf429Passes(t *testing.T) {
	for header, want := range map[string]string{
		"7": `"data":{"retryAfterMs":7000}`, "99999999": `"data":{"retryAfterMs":86400000}`, "": "", "soon": "", "-1": "",
	} {
		f := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(429)
		}}
		server := versioned(listen(t, f), mcp.Version20260728)
		answer := do(t, newPool(t, Config{}), callTo(t, server, mcp.Modern, "1", "echo", `{}`))
		if body := string(answer.Body); !strings.Contains(body, want) || (want == "") == strings.Contains(body, "data") {
			t.Errorf("Retry-After %q: %s", header, body)
		}
	}
}

func TestAJSONRPCErrorPassesWhateverItsHTTPStatus(t *testing.T) {
	tests := []struct {
		status   int
		id, body string
		client   mcp.Era
		want     string
	}{
		{400, "", `{"code":-32602,"message":"bad x","data":{"x":1.10}}`, mcp.Modern, `{"code":-32602,"message":"bad x","data":{"x":1.10}}`},
		{500, "", `{"code":-32000,"message":"oops"}`, mcp.Legacy, `{"code":-32000,"message":"oops"}`},
		{400, "null", `{"code":-32700,"message":"what?"}`, mcp.Legacy, `{"code":-32700,"message":"what?"}`},
		{200, "", `{"code":-32021,"message":"sampling","data":{"requiredCapabilities":{"sampling":{}}}}`, mcp.Modern, `{"code":-32021,"message":"sampling","data":{"requiredCapabilities":{"sampling":{}}}}`},
		{400, "", `{"code":-32021,"message":"sampling"}`, mcp.Legacy, `{"code":-32603,"message":"sampling"}`},
	}
	for _, test := range tests {
		f := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, id string) {
			if test.id != "" {
				id = test.id
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(test.status)
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":%s}`, id, test.body)
		}}
		server := versioned(listen(t, f), mcp.Version20260728)
		answer := do(t, newPool(t, Config{}), callTo(t, server, test.client, `"q"`, "echo", `{}`))
		wantAnswer(t, answer, `{"jsonrpc":"2.0","id":"q","error":`+test.want+`}`)
		if answer.Outcome != outcomeProtocolError || strings.Contains(answer.Error, "oops") {
			t.Errorf("outcome %v, error %q", answer.Outcome, answer.Error)
		}
	}
}

func TestStrangeStreamsAreRead(t *testing.T) {
	tests := map[string]func(send func(string), id string){
		"byte by byte": func(send func(string), id string) {
			for _, c := range []byte("event: message\ndata: " + ok(id) + "\n\n") {
				send(string(c))
			}
		},
		"CRLF": func(send func(string), id string) { send("event: message\r\ndata: " + ok(id) + "\r\n\r\n") },
		"CR":   func(send func(string), id string) { send("data: " + ok(id) + "\r\r") },
		"CRLF split": func(send func(string), id string) {
			send("data: " + ok(id) + "\r")
			send("\n\r")
			send("\n")
		},
		"priming event, comments, retry": func(send func(string), id string) {
			send("id: 1\ndata:\n\nretry: 3\n\n: hello\n\nevent: other\ndata: {}\n\nid: 2\ndata:" + ok(id) + "\n\n")
		},
		"two responses": func(send func(string), id string) {
			send("data: " + ok(id) + "\n\ndata: " + strings.Replace(ok(id), "fine", "second", 1) + "\n\n")
		},
		"answer in two lines": func(send func(string), id string) {
			send("data: " + strings.Replace(ok(id), `,"result"`, "\ndata: ,\"result\"", 1) + "\n\n")
		},
		"BOM": func(send func(string), id string) { send("\xef\xbb\xbfdata: " + ok(id) + "\n\n") },
	}
	for name, write := range tests {
		t.Run(name, func(t *testing.T) {
			f := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, id string) { write(stream(w), id) }}
			server := versioned(listen(t, f), mcp.Version20260728)
			answer := do(t, newPool(t, Config{}), callTo(t, server, mcp.Modern, `"q"`, "echo", `{}`))
			got := strings.ReplaceAll(string(answer.Body), "\n", "")
			if want := ok(`"q"`); got != want {
				t.Errorf("answer %s, want %s", got, want)
			}
		})
	}
}

func TestNotificationsPassByteForByteAndOnlyThoseForTheClient(t *testing.T) {
	const message = `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":{"n":1.10,"big":12345678901234567890}},"new":null}`
	f := &fake{t: t, call: func(w http.ResponseWriter, r *http.Request, id string) {
		send := stream(w)
		for _, m := range []string{
			message,
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":0.10,"progressToken":` + id + `,"_meta":{"x":1}}}`,
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1,"progressToken":"of another call"}}`,
			`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`,
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`,
			`{"jsonrpc":"2.0","id":5,"method":"sampling/createMessage","params":{}}`,
			ok(id),
		} {
			send("data: " + m + "\n\n")
		}
	}}
	const progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":0.10,"progressToken":1e0,"_meta":{"x":1}}}`
	tests := []struct {
		name   string
		client mcp.Era
		meta   string
		want   []string
	}{
		{"legacy", mcp.Legacy, `"progressToken":1e0`, []string{message, progress}},
		{"legacy without a token", mcp.Legacy, `"x":1`, []string{message}},
		{"modern", mcp.Modern, `"progressToken":1e0`, []string{progress}},
		{"modern that asked for the log", mcp.Modern, `"progressToken":1e0,"io.modelcontextprotocol/logLevel":"info"`, []string{message, progress}},
	}
	for _, test := range tests {
		for _, version := range []string{mcp.Version20251125, mcp.Version20260728} {
			t.Run(test.name+"/"+version, func(t *testing.T) {
				server := versioned(listen(t, f), version)
				body := `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"x","_meta":{` + test.meta + `}}}`
				var sink collector
				answer, err := newPool(t, Config{}).Do(t.Context(), callWith(t, server, test.client, "", body, "x"), &sink)
				if err != nil || answer.Outcome != outcomeOK {
					t.Fatalf("%v, %s", err, show(answer))
				}
				if got := strings.Join(sink.messages, "\n"); got != strings.Join(test.want, "\n") {
					t.Errorf("notifications:\n%s\nwant:\n%s", got, strings.Join(test.want, "\n"))
				}
			})
		}
	}
}

func TestATaskIsAnErrorOfTheServer(t *testing.T) {
	f := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, id string) {
		reply(w, `{"jsonrpc":"2.0","id":`+id+`,"result":{"resultType":"task","taskId":"`+canary+`"}}`)
	}}
	server := versioned(listen(t, f), mcp.Version20260728)
	answer := do(t, newPool(t, Config{}), callTo(t, server, mcp.Modern, "1", "echo", `{}`))
	wantFailure(t, answer, mcp.CodeBadServerAnswer, "into a task")
}

func TestABadServerDoesNotDelayOthers(t *testing.T) {
	release := make(chan struct{})
	bad := &fake{t: t, call: func(w http.ResponseWriter, r *http.Request, id string) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		reply(w, ok(id))
	}}
	good := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, id string) { reply(w, ok(id)) }}
	badServer := versioned(listen(t, bad), mcp.Version20260728)
	goodServer := versioned(listen(t, good), mcp.Version20260728)
	p := newPool(t, Config{InFlight: 20})

	done := make(chan *Answer, 20)
	for range 20 {
		call := callTo(t, badServer, mcp.Modern, "1", "echo", `{}`)
		go func() {
			answer, _ := p.Do(context.Background(), call, nil)
			done <- answer
		}()
	}
	await(t, "20 calls at the bad server", func() bool { return bad.calls.Load() == 20 })
	answer := do(t, p, callTo(t, badServer, mcp.Modern, "1", "echo", `{}`))
	wantFailure(t, answer, mcp.CodeUnavailable, "as many calls in flight as it may have (20)")
	if answer := do(t, p, callTo(t, goodServer, mcp.Modern, "1", "echo", `{}`)); answer.Outcome != outcomeOK {
		t.Errorf("the good server suffers: %s", answer.Error)
	}
	close(release)
	for range 20 {
		if answer := <-done; answer == nil || answer.Outcome != outcomeOK {
			t.Errorf("a call in flight: %s", show(answer))
		}
	}
	if answer := do(t, p, callTo(t, badServer, mcp.Modern, "1", "echo", `{}`)); answer.Outcome != outcomeOK {
		t.Errorf("the places were not given back: %s", answer.Error)
	}
}
