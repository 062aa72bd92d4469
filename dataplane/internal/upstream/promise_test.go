package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// shuffler answers calls in an order of its own: it holds them until a handful has come, or a moment has passed.
type shuffler struct {
	mu      sync.Mutex
	waiting []chan struct{}
}

func (s *shuffler) wait() {
	turn := make(chan struct{})
	s.mu.Lock()
	s.waiting = append(s.waiting, turn)
	if len(s.waiting) >= 7 {
		s.open()
	}
	s.mu.Unlock()
	select {
	case <-turn:
	case <-time.After(time.Millisecond):
	}
}

func (s *shuffler) open() {
	rand.Shuffle(len(s.waiting), func(i, j int) { s.waiting[i], s.waiting[j] = s.waiting[j], s.waiting[i] })
	for _, turn := range s.waiting {
		close(turn)
	}
	s.waiting = nil
}

func TestT22_EqualIDsOfManyClientsNeverMixUpAnswers(t *testing.T) {
	const clients, calls = 200, 50
	ids := []string{`0`, `1`, `"1"`, `"0"`, `-1`, `9007199254740993`}
	for _, version := range []string{mcp.Version20251125, mcp.Version20260728} {
		t.Run(version, func(t *testing.T) {
			var order shuffler
			f := &fake{t: t, stateful: version == mcp.Version20251125}
			f.call = func(w http.ResponseWriter, r *http.Request, id string) {
				nonce := r.Header.Get("Mcp-Param-Nonce")
				order.wait()
				answer := `{"jsonrpc":"2.0","id":` + id + `,"result":{"nonce":"` + nonce + `"}}`
				if rand.IntN(2) == 0 {
					reply(w, answer)
				} else {
					stream(w)("data: " + answer + "\n\n")
				}
			}
			if f.stateful {
				// A legacy server gets no Mcp-Param-*: the nonce comes in the name of the tool, which the fake reads from the body.
				f.call = echoName(&order)
			}
			server := versioned(listen(t, f), version)
			p := newPool(t, Config{})
			var wait sync.WaitGroup
			var wrong atomic.Int64
			for client := range clients {
				who := &principal.Principal{User: "u", KeyID: fmt.Sprint("key", client%5)}
				wait.Go(func() {
					for i := range calls {
						nonce := fmt.Sprintf("n-%d-%d", client, i)
						id := ids[(client+i)%len(ids)]
						call := callTo(t, server, mcp.Modern, id, nonce, `{}`)
						call.Principal = who
						call.Header.Set("Mcp-Param-Nonce", nonce)
						answer, err := p.Do(context.Background(), call, nil)
						want := `{"jsonrpc":"2.0","id":` + id + `,"result":{"nonce":"` + nonce + `"}}`
						if f.stateful {
							want = `{"jsonrpc":"2.0","id":` + id + `,"result":{"resultType":"complete","nonce":"` + nonce + `"}}`
						}
						if err != nil || string(answer.Body) != want {
							wrong.Add(1)
							t.Errorf("%v: %s, want %s", err, answer.Body, want)
							return
						}
					}
				})
			}
			wait.Wait()
			if n := f.calls.Load(); n != clients*calls || wrong.Load() > 0 {
				t.Errorf("%d calls reached the server, want %d; %d mismatches", n, clients*calls, wrong.Load())
			}
		})
	}
}

// echoName answers with the name of the tool that was called.
func echoName(order *shuffler) func(http.ResponseWriter, *http.Request, string) {
	return func(w http.ResponseWriter, r *http.Request, id string) {
		name := r.Context().Value(bodyKey{}).(*mcp.Request).Name
		order.wait()
		reply(w, `{"jsonrpc":"2.0","id":`+id+`,"result":{"nonce":"`+name+`"}}`)
	}
}

func TestP18_NothingOfTheClientsRequestButTheMessageReachesTheServer(t *testing.T) {
	for _, version := range []string{mcp.Version20251125, mcp.Version20260728, ""} {
		for _, client := range []mcp.Era{mcp.Legacy, mcp.Modern} {
			t.Run(fmt.Sprintf("version=%s/client=%v", version, client), func(t *testing.T) {
				var mu sync.Mutex
				var got []string
				var names [][]string
				f := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, id string) { reply(w, ok(id)) }}
				record := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					mu.Lock()
					got = append(got, fmt.Sprint(r.Method, r.URL, r.Host, r.Header, string(body)))
					var sent []string
					for name := range r.Header {
						sent = append(sent, name)
					}
					slices.Sort(sent)
					names = append(names, sent)
					mu.Unlock()
					r.Body = io.NopCloser(strings.NewReader(string(body)))
					f.ServeHTTP(w, r)
				})
				server := versioned(listen(t, record), version)
				server.Headers = []*snapshotv1.Header{{Name: "authorization", Value: "Bearer server-secret"}, {Name: "X-Tenant", Value: "t1"}}
				call := callTo(t, server, client, "1", "echo", `{"a":1}`)
				for _, name := range []string{
					"Authorization", "Cookie", "Origin", "Referer", "X-Forwarded-For", "Forwarded", "DPoP", "Mcp-Session-Id", "Last-Event-ID",
					"Proxy-Authorization", "X-Api-Key", "User-Agent", "Mcp-Name", "Mcp-Method", "Mcp-Protocol-Version", "Baggage", "Tracestate", "Mcp-Other",
				} {
					call.Header.Set(name, "CANARY-of-the-client")
				}
				call.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
				if answer := do(t, newPool(t, Config{Version: "9"}), call); answer.Outcome != outcomeOK {
					t.Fatalf("%s", show(answer))
				}

				mu.Lock()
				defer mu.Unlock()
				for _, request := range got {
					if strings.Contains(request, "CANARY") {
						t.Errorf("the server got %s", request)
					}
				}
				want := []string{"Accept", "Authorization", "Content-Length", "Content-Type", "Mcp-Protocol-Version", "Traceparent", "User-Agent", "X-Tenant"}
				if version == mcp.Version20260728 {
					want = []string{"Accept", "Authorization", "Content-Length", "Content-Type", "Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version", "Traceparent", "User-Agent", "X-Tenant"}
				}
				last := slices.DeleteFunc(names[len(names)-1], func(name string) bool { return name == "Accept-Encoding" })
				if diff := cmp.Diff(want, last); diff != "" {
					t.Errorf("headers of the call (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestP18_ConfiguredHeadersCannotReplaceThoseOfTheProtocol(t *testing.T) {
	var got http.Header
	var host string
	f := &fake{t: t, call: func(w http.ResponseWriter, r *http.Request, id string) {
		got, host = r.Header.Clone(), r.Host
		reply(w, ok(id))
	}}
	server := versioned(listen(t, f), mcp.Version20260728)
	for _, h := range [][2]string{
		{"Mcp-Name", "evil"}, {"mcp-method", "evil"}, {"Content-Type", "text/evil"}, {"Accept", "evil"}, {"Transfer-Encoding", "evil"},
		{"Bad Name", "x"}, {"X-Bad", "a\r\nInjected: 1"}, {"Idempotency-Key", "evil"}, {"X-Idempotency-Key", "evil"}, {"Host", "virtual.example"}, {"X-Good", "1"}, {"x-good", "2"},
	} {
		server.Headers = append(server.Headers, &snapshotv1.Header{Name: h[0], Value: h[1]})
	}
	if answer := do(t, newPool(t, Config{}), callTo(t, server, mcp.Modern, "1", "näme", `{}`)); answer.Outcome != outcomeOK {
		t.Fatalf("%s", show(answer))
	}
	if got.Get("Mcp-Name") != mcp.EncodeHeaderValue("näme") || got.Get("Mcp-Method") != "tools/call" || got.Get("Content-Type") != "application/json" ||
		got.Get("Injected") != "" || got.Get("Idempotency-Key") != "" || got.Get("X-Idempotency-Key") != "" || host != "virtual.example" || strings.Join(got["X-Good"], ",") != "1,2" {
		t.Errorf("host %s, headers %v", host, got)
	}
}

func TestP19_AnAddressThatIsNotPublicIsRefusedAtDialUnlessTheServerIsPrivate(t *testing.T) {
	var reached atomic.Int64
	canary := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		reply(w, `{}`)
	}))
	defer canary.Close()
	port := canary.Listener.Addr().(*net.TCPAddr).Port
	hosts := []string{
		"127.0.0.1", "localhost", "localhost.", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
		"0.0.0.0", "[::]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "[fe80::1]", "[fc00::1]", "[64:ff9b::7f00:1]",
		"[2002:7f00:1::]", "192.0.2.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "[::ffff:169.254.169.254]",
	}
	p := newPool(t, Config{DialTimeout: 2 * time.Second})
	for _, host := range hosts {
		server := &snapshotv1.Server{Name: "github", Url: fmt.Sprintf("http://%s:%d/mcp", host, port), ProtocolVersion: mcp.Version20260728}
		answer := do(t, p, callTo(t, server, mcp.Modern, "1", "echo", `{}`))
		if answer.Outcome != outcomeServerFailed {
			t.Errorf("%s: %s", host, show(answer))
		}
		literal := net.ParseIP(strings.Trim(host, "[]")) != nil
		if literal && !strings.Contains(answer.Error, "not public") {
			t.Errorf("%s: %q, want that the address is not public", host, answer.Error)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d connections reached a private address", n)
	}
	server := &snapshotv1.Server{Name: "github", Url: canary.URL, Private: true, ProtocolVersion: mcp.Version20260728}
	do(t, p, callTo(t, server, mcp.Modern, "1", "echo", `{}`))
	if reached.Load() != 1 {
		t.Error("a private server was not reached")
	}
}

func TestP19_NeitherRedirectsNorTheEnvironmentLeadElsewhere(t *testing.T) {
	var reached atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	t.Setenv("HTTP_PROXY", elsewhere.URL)
	t.Setenv("http_proxy", elsewhere.URL)
	for _, status := range []int{301, 302, 303, 307, 308} {
		f := &fake{t: t, call: func(w http.ResponseWriter, r *http.Request, _ string) { http.Redirect(w, r, elsewhere.URL, status) }}
		server := versioned(listen(t, f), mcp.Version20260728)
		answer := do(t, newPool(t, Config{}), callTo(t, server, mcp.Modern, "1", "echo", `{}`))
		wantFailure(t, answer, mcp.CodeBadServerAnswer, fmt.Sprintf("HTTP %d", status))
	}
	if reached.Load() != 0 {
		t.Error("a redirect was followed, or the proxy of the environment asked")
	}
}

func TestAConfiguredProxyIsUsed(t *testing.T) {
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.String())
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	address, _ := url.Parse(proxy.URL)
	p := newPool(t, Config{Proxy: http.ProxyURL(address)})
	server := &snapshotv1.Server{Name: "github", Url: "http://mcp.example/x", Private: true, ProtocolVersion: mcp.Version20260728}
	wantFailure(t, do(t, p, callTo(t, server, mcp.Modern, "1", "echo", `{}`)), mcp.CodeUnavailable, "HTTP 502")
	if asked.Load() != "http://mcp.example/x" {
		t.Errorf("the proxy was asked for %v", asked.Load())
	}
}

func TestACallWhoseClientIsGoneEndsAndTheServerIsTold(t *testing.T) {
	for _, version := range []string{mcp.Version20251125, mcp.Version20260728} {
		t.Run(version, func(t *testing.T) {
			var id atomic.Value
			gone := make(chan struct{})
			f := &fake{t: t, call: func(w http.ResponseWriter, r *http.Request, request string) {
				id.Store(request)
				hang(r)
				close(gone)
			}}
			server := versioned(listen(t, f), version)
			ctx, cancel := context.WithCancelCause(t.Context())
			reason := errors.New("the reader left")
			call := callTo(t, server, mcp.Legacy, "1", "echo", `{}`)
			p := newPool(t, Config{})
			go func() {
				await(t, "the call", func() bool { return f.calls.Load() == 1 })
				cancel(reason)
			}()
			answer, err := p.Do(ctx, call, nil)
			if !errors.Is(err, reason) || answer == nil || answer.Outcome != outcomeCancelled {
				t.Fatalf("answer %s, error %v", show(answer), err)
			}
			<-gone // the connection was cut
			if version == mcp.Version20260728 {
				return
			}
			want := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + id.Load().(string) + `,"reason":"the client went away"}}`
			await(t, "the cancellation", func() bool { bodies, _ := f.seen(); return slices.Contains(bodies, want) })
		})
	}
}

// brokenSink is a client that cannot be written to.
type brokenSink struct{}

func (brokenSink) Notification([]byte, Mark) error  { return errors.New("broken pipe") }
func (brokenSink) Prime(Mark) error                 { return errors.New("broken pipe") }
func (brokenSink) Relay(*ServerRequest, Mark) error { return errors.New("broken pipe") }
func (brokenSink) Withdraw(*Withdrawal, Mark) error { return errors.New("broken pipe") }
func (brokenSink) Ask(context.Context, string, []byte) ([]byte, *mcp.Error, error) {
	return nil, nil, errors.New("broken pipe")
}

func TestASinkThatFailsEndsTheCall(t *testing.T) {
	gone := make(chan struct{})
	f := &fake{t: t, call: func(w http.ResponseWriter, r *http.Request, _ string) {
		stream(w)(`data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}` + "\n\n")
		hang(r)
		close(gone)
	}}
	server := versioned(listen(t, f), mcp.Version20260728)
	answer, err := newPool(t, Config{}).Do(t.Context(), callTo(t, server, mcp.Legacy, "1", "echo", `{}`), brokenSink{})
	if err == nil || answer == nil || answer.Outcome != outcomeCancelled {
		t.Errorf("answer %s, error %v", show(answer), err)
	}
	<-gone
}

func TestConnectionsAreUsedAgainAlsoAfterStreams(t *testing.T) {
	for _, streaming := range []bool{false, true} {
		var connections atomic.Int64
		f := &fake{t: t, call: func(w http.ResponseWriter, _ *http.Request, id string) {
			if streaming {
				stream(w)("data: " + ok(id) + "\n\n")
			} else {
				reply(w, ok(id))
			}
		}}
		server := httptest.NewUnstartedServer(f)
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		}
		server.Start()
		item := &snapshotv1.Server{Name: "github", Url: server.URL, Private: true, ProtocolVersion: mcp.Version20260728}
		p := newPool(t, Config{})
		for range 20 {
			do(t, p, callTo(t, item, mcp.Modern, "1", "echo", `{}`))
		}
		if n := connections.Load(); n > 2 {
			t.Errorf("streaming %v: %d connections for 20 calls, one after the other", streaming, n)
		}
		server.CloseClientConnections()
		server.Close()
	}
}

func TestHTTP2AndTLSAreSpoken(t *testing.T) {
	var proto atomic.Value
	f := &fake{t: t, call: func(w http.ResponseWriter, r *http.Request, id string) {
		proto.Store(r.Proto)
		stream(w)("data: " + ok(id) + "\n\n")
	}}
	server := httptest.NewUnstartedServer(f)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	item := &snapshotv1.Server{Name: "github", Url: server.URL, Private: true, ProtocolVersion: mcp.Version20260728}
	p := New(Config{RootCAs: roots})
	defer p.Close(t.Context())
	if answer := do(t, p, callTo(t, item, mcp.Modern, "1", "echo", `{}`)); answer.Outcome != outcomeOK || proto.Load() != "HTTP/2.0" {
		t.Errorf("%v over %v: %s", answer.Outcome, proto.Load(), answer.Error)
	}
}
