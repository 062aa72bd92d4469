package listener

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/notice"
	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/httpserver"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// door is a node without its control plane: a real listener on a real socket,
// real sessions and a real index, with a server and an audit queue of the test.
type door struct {
	*httptest.Server
	t     *testing.T
	up    *server
	audit *queue
	index atomic.Pointer[gate.Index]
	// Keys of ana (who may call everything of git but delete), of bob (who may
	// call nothing), and of ana again, expired.
	ana, bob, old apikey.Key
	client        *http.Client
	listener      *Listener
	session       *session.Session
	board         *notice.Board
	metrics       *prometheus.Registry
	clock         func() time.Time // of the sessions; nil is the real one
	limits        session.Limits   // nil: there are none
}

// open starts a door. Config may be changed before.
func open(t *testing.T, change ...func(*Config)) *door {
	t.Helper()
	d := &door{t: t, up: &server{}, audit: &queue{}}
	d.index.Store(d.world(1))
	d.start(change...)
	return d
}

// start starts a door with a world that is made already.
func (d *door) start(change ...func(*Config)) {
	t := d.t
	t.Helper()
	d.metrics = prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	d.board = notice.New(notice.Config{Upstream: d.up, Current: d.index.Load, Log: log, Registerer: d.metrics})
	d.session = session.New(session.Config{
		Upstream: d.up, Board: d.board, Audit: d.audit, Current: d.index.Load, Version: "9.9.9", Log: log, Registerer: d.metrics,
		AskTime: 10 * time.Second, ResumeTime: 10 * time.Second, Now: d.clock, Limits: d.limits,
	})
	config := Config{
		Current: d.index.Load, Session: d.session, Refusals: d.session.Refusals(),
		Hosts: []string{"127.0.0.1", "node.example"}, Origins: []string{"https://tools.example"},
		Log: log, Registerer: d.metrics, MaxBody: 64 << 10,
	}
	for _, f := range change {
		f(&config)
	}
	d.listener = New(config)
	d.Server = httptest.NewUnstartedServer(nil)
	d.Config = httpserver.New(d.listener, log)
	d.Listener = Socket(d.Config, d.Listener)
	d.Start()
	t.Cleanup(d.Close)
	t.Cleanup(d.board.Drain) // before the server waits for its requests
	d.client = d.Client()
}

// world is what the node knows: servers git and mail, ana and bob. Only its keys
// differ between two calls.
func (d *door) world(revision uint64) *gate.Index {
	w := gatetest.New(d.t)
	w.Server("git", "get", "delete")
	w.Server("mail", "send")
	looking := w.Tool("git", "look", snapshotv1.Risk_RISK_READ)
	looking.Position, looking.Definition = 2, []byte(look("look"))
	w.Role("dev", "git/*")
	w.User("ana", "dev")
	w.User("bob")
	w.Rule(&snapshotv1.Rule{
		Id: "1", Name: "no-deletes", Effect: snapshotv1.Effect_EFFECT_DENY, Reason: "Deleting needs a person",
		Tools: []string{"*/delete"},
	})
	d.ana = w.Key("ana", "ide", time.Time{})
	d.bob = w.Key("bob", "ide", time.Time{})
	d.old = w.Key("ana", "ide", time.Now().Add(-time.Hour))
	return w.Index(revision)
}

// look is the definition of a tool whose arguments go into headers too.
func look(name string) string {
	return `{"name":"` + name + `","inputSchema":{"properties":{
		"city":{"type":"string","x-mcp-header":"City"},"at":{"properties":{"n":{"type":"integer","x-mcp-header":"N"}}}}}}`
}

// queue is an audit queue that keeps everything.
type queue struct {
	mu     sync.Mutex
	events []*auditv1.Event
	full   bool
}

var errFull = errors.New("queue of the test is full")

func (q *queue) Intent(event *auditv1.Event) (session.Ticket, error) {
	if err := q.add(event); err != nil {
		return nil, err
	}
	return ticket{q}, nil
}

func (q *queue) Refusal(event *auditv1.Event) error { return q.add(event) }

func (*queue) Sync(context.Context, snapshotv1.Risk) error { return nil }

func (q *queue) add(event *auditv1.Event) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.full {
		return errFull
	}
	q.events = append(q.events, proto.Clone(event).(*auditv1.Event))
	return nil
}

type ticket struct{ queue *queue }

func (t ticket) Result(event *auditv1.Event) {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	t.queue.events = append(t.queue.events, proto.Clone(event).(*auditv1.Event))
}

// taken returns the events since the last call.
func (q *queue) taken() []*auditv1.Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := q.events
	q.events = nil
	return events
}

func (q *queue) setFull(full bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.full = full
}

// message is a request of a client, to be changed by a test before it is sent.
type message struct {
	method, path, host, body string
	header                   http.Header
	inSession                bool // it is sent in a session, if its key can have one
}

// legacy returns a message of a client of 2025-11-25 with ana's key, in a session.
func (d *door) legacy(body string) *message {
	m := d.bare(body)
	m.inSession = true
	return m
}

// bare returns a message of a client of 2025-11-25 with ana's key and without a
// session.
func (d *door) bare(body string) *message {
	m := &message{method: http.MethodPost, path: "/mcp", body: body, header: http.Header{}}
	m.set("Authorization", "Bearer "+d.ana.String())
	m.set("Content-Type", "application/json")
	m.set("Accept", "application/json, text/event-stream")
	m.set("Mcp-Protocol-Version", mcp.Version20251125)
	m.set("User-Agent", "test-client/1.2 (x)")
	return m
}

// modern returns a message of a client of 2026-07-28 with ana's key. Params is
// the inside of an object, without _meta.
func (d *door) modern(method, name, params string) *message {
	if params != "" {
		params += ","
	}
	m := d.bare(`{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + params + `"_meta":{` +
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},` +
		`"io.modelcontextprotocol/clientInfo":{"name":"modern-client","version":"3"}}}}`)
	m.set("Mcp-Protocol-Version", mcp.Version20260728)
	m.set("Mcp-Method", method)
	if name != "" {
		m.set("Mcp-Name", name)
	}
	return m
}

func (m *message) set(name, value string) { m.header.Set(name, value) }

// with returns the message with one more change.
func (m *message) with(change func(*message)) *message {
	change(m)
	return m
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	Result map[string]any `json:"result"`
	Error  struct {
		Code    int            `json:"code"`
		Message string         `json:"message"`
		Data    map[string]any `json:"data"`
	} `json:"error"`
}

func (d *door) request(ctx context.Context, m *message) *http.Request {
	d.t.Helper()
	r, err := http.NewRequestWithContext(ctx, m.method, d.URL+m.path, strings.NewReader(m.body))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header, r.Host = m.header, m.host
	if token := d.token(m); token != "" && len(m.header[session.HeaderSession]) == 0 {
		r.Header.Set(session.HeaderSession, token)
	}
	return r
}

// token returns the id of a session in which a message may be sent, empty if there
// is none.
func (d *door) token(m *message) string {
	if !m.inSession || strings.Contains(m.body, `"method":"initialize"`) {
		return ""
	}
	for user, key := range map[string]apikey.Key{"ana": d.ana, "bob": d.bob} {
		if m.header.Get("Authorization") == "Bearer "+key.String() {
			return d.sealed(user, m.path, nil)
		}
	}
	return ""
}

// sealed returns the id of a session of 2025-11-25 of a user at a path, which may
// be changed before.
func (d *door) sealed(user, path string, change func(*handle.Session)) string {
	d.t.Helper()
	now := time.Now()
	s := &handle.Session{ID: [16]byte{1: 1}, Version: mcp.Version20251125, Issued: now, Expires: now.Add(time.Hour)}
	copy(s.ID[2:], user)
	s.Route, _ = strings.CutPrefix(strings.TrimPrefix(path, "/mcp"), "/")
	if change != nil {
		change(s)
	}
	token, _, err := d.index.Load().Sealer().SealSession(s, handle.OwnerOf(&principal.Principal{User: user, Application: "ide"}), now)
	if err != nil {
		d.t.Fatal(err)
	}
	return token
}

func (d *door) send(m *message) answer {
	d.t.Helper()
	response, err := d.client.Do(d.request(d.t.Context(), m))
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header, body: string(body)}
	if strings.HasPrefix(a.body, "{") && response.Header.Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(body, &a); err != nil {
			d.t.Fatalf("answer is not JSON: %v\n%s", err, body)
		}
	}
	return a
}

// refusal returns the one event that a refused message has left behind.
func (d *door) refusal() *auditv1.Event {
	d.t.Helper()
	if n := d.up.calls.Load(); n != 0 {
		d.t.Errorf("%d calls reached the server; want none", n)
	}
	events := d.audit.taken()
	if len(events) != 1 {
		d.t.Fatalf("%d events: %v; want one refusal", len(events), events)
	}
	event := events[0]
	if event.GetKind() != auditv1.EventKind_EVENT_KIND_REFUSAL || event.GetDecision() != auditv1.Decision_DECISION_DENY ||
		event.GetOutcome() != auditv1.Outcome_OUTCOME_REFUSED || len(event.GetCallId()) != 16 || event.GetAt() == nil ||
		event.GetRule() == "" || event.GetReason() == "" || event.GetRemoteAddress() == "" {
		d.t.Errorf("refusal is not whole: %v", event)
	}
	return event
}

const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"git__get","arguments":{"a":1}}}`

// TestBadInput holds every kind of bad input to its status, code and text; to
// one refusal in the audit; and to nothing reaching a server.
func TestBadInput(t *testing.T) {
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	tests := []struct {
		name   string
		make   func(*door) *message
		status int
		code   int
		text   string // part of the message
		rule   string
	}{
		{"malformed", func(d *door) *message { return d.legacy(`{"jsonrpc":`) }, 400, -32700, "", "bad-message:syntax"},
		{"empty", func(d *door) *message { return d.legacy("") }, 400, -32700, "", "bad-message:syntax"},
		{"not UTF-8", func(d *door) *message { return d.legacy("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}") }, 400, -32700, "", "bad-message:encoding"},
		{"byte order mark", func(d *door) *message { return d.legacy("\ufeff" + call) }, 400, -32700, "", "bad-message:byte-order-mark"},
		{"two JSON values", func(d *door) *message { return d.legacy(call + call) }, 400, -32700, "", "bad-message:trailing-bytes"},
		{"batch", func(d *door) *message { return d.legacy("[" + call + "]") }, 400, -32600, "batches", "bad-message:batch"},
		{"modern batch", func(d *door) *message {
			return d.modern("tools/call", "git__get", "").with(func(m *message) { m.body = "[" + call + "]" })
		}, 400, -32600, "batches", "bad-message:shape"},
		{"no session", func(d *door) *message { return d.bare(call) }, 400, -32600, "Mcp-Session-Id", "session-missing"},
		{"notification without a session", func(d *door) *message {
			return d.bare(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
		}, 400, -32600, "Mcp-Session-Id", "session-missing"},
		{"two sessions", func(d *door) *message {
			return d.bare(call).with(func(m *message) {
				m.header[session.HeaderSession] = []string{d.sealed("ana", "/mcp", nil), d.sealed("ana", "/mcp", nil)}
			})
		}, 400, -32600, "more than once", "session-missing"},
		{"made-up session", func(d *door) *message {
			return d.bare(call).with(func(m *message) { m.set(session.HeaderSession, "w1.made-up") })
		}, 404, -32600, "initialize", "unknown-session"},
		{"too deep", func(d *door) *message {
			return d.legacy(strings.Replace(call, `{"a":1}`, `{"a":`+deep+`}`, 1))
		}, 400, 0, "", "bad-message:depth"},
		{"duplicate name", func(d *door) *message {
			return d.legacy(strings.Replace(call, `"name":`, `"name":"mail__send","name":`, 1))
		}, 400, -32600, "name", "bad-message:duplicate-member"},
		{"duplicate argument", func(d *door) *message {
			return d.legacy(strings.Replace(call, `{"a":1}`, `{"a":1,"a":2}`, 1))
		}, 400, -32600, "", "bad-message:duplicate-member"},
		{"escaped member", func(d *door) *message {
			return d.legacy(strings.Replace(call, `"name"`, `"na\u006de"`, 1))
		}, 400, -32600, "escapes", "bad-message:escaped-member"},
		{"look-alike member", func(d *door) *message {
			return d.legacy(strings.Replace(call, `"method"`, `"Method"`, 1))
		}, 400, -32600, "case", "bad-message:lookalike-member"},
		{"fractional id", func(d *door) *message { return d.legacy(strings.Replace(call, `"id":1`, `"id":1.5`, 1)) }, 400, -32600, "id", "bad-message:shape"},
		{"null id", func(d *door) *message { return d.legacy(strings.Replace(call, `"id":1`, `"id":null`, 1)) }, 400, -32600, "null", "bad-message:shape"},
		{"tool call without an id", func(d *door) *message { return d.legacy(strings.Replace(call, `"id":1,`, ``, 1)) }, 400, -32600, "needs an id", "bad-message"},
		{"response to nothing", func(d *door) *message { return d.legacy(`{"jsonrpc":"2.0","id":1,"result":{}}`) }, 400, -32600, "no request is waiting", "bad-message"},
		{"name is no string", func(d *door) *message { return d.legacy(strings.Replace(call, `"git__get"`, `7`, 1)) }, 200, -32602, "name", "bad-message:shape"},
		{"too large, announced", func(d *door) *message { return d.legacy(call + strings.Repeat(" ", 64<<10)) }, 413, -32600, "larger", "body-too-large"},
		{"wrong content type", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.set("Content-Type", "text/plain") })
		}, 415, -32600, "application/json", "wrong-content-type"},
		{"no content type", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.header.Del("Content-Type") })
		}, 415, -32600, "application/json", "wrong-content-type"},
		{"two content types", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.header.Add("Content-Type", "text/plain") })
		}, 415, -32600, "application/json", "wrong-content-type"},
		{"another charset", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.set("Content-Type", "application/json; charset=utf-16") })
		}, 415, -32600, "UTF-8", "wrong-content-type"},
		{"compressed", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.set("Content-Encoding", "gzip") })
		}, 415, -32600, "encoding", "wrong-content-type"},
		{"accepts neither", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.set("Accept", "text/html") })
		}, 406, -32600, "Accept", "not-acceptable"},
		{"wrong host", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.host = "evil.example" })
		}, 421, -32600, "Host", "wrong-host"},
		{"host that begins like ours", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.host = "127.0.0.1.evil.example" })
		}, 421, -32600, "Host", "wrong-host"},
		{"wrong origin", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.set("Origin", "https://evil.example") })
		}, 403, -32600, "origin", "wrong-origin"},
		{"null origin", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.set("Origin", "null") })
		}, 403, -32600, "origin", "wrong-origin"},
		{"two origins", func(d *door) *message {
			return d.legacy(call).with(func(m *message) {
				m.header["Origin"] = []string{"https://tools.example", "https://tools.example"}
			})
		}, 403, -32600, "origin", "wrong-origin"},
		{"origin with our host and another port", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.set("Origin", "http://127.0.0.1:1") })
		}, 403, -32600, "origin", "wrong-origin"},
		{"wrong path", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.path = "/mcp/" })
		}, 404, -32600, "/mcp", "wrong-path"},
		{"no key", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.header.Del("Authorization") })
		}, 401, 1401, "API key", "credential-missing"},
		{"malformed key", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.set("Authorization", "Bearer wdr_x") })
		}, 401, 1401, "malformed", "credential-malformed"},
		{"unknown key", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.set("Authorization", "Bearer "+strangerKey(d.t)) })
		}, 401, 1401, "not valid", "credential-unknown"},
		{"expired key", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.set("Authorization", "Bearer "+d.old.String()) })
		}, 401, 1401, "expired", "credential-expired"},
		{"key in the query", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.path = "/mcp?access_token=" + d.ana.String() })
		}, 400, 1401, "URL", "credential-in-query"},
		{"unknown method", func(d *door) *message {
			return d.legacy(`{"jsonrpc":"2.0","id":1,"method":"tools/destroy"}`)
		}, 200, -32601, "tools/destroy", "unknown-method"},
		{"method that is not offered", func(d *door) *message {
			return d.legacy(`{"jsonrpc":"2.0","id":1,"method":"tasks/list"}`)
		}, 200, -32601, "tasks/list", "unknown-method"},
		{"unknown prompt", func(d *door) *message {
			return d.legacy(`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"x"}}`)
		}, 200, -32602, "Unknown prompt: x", "unknown-prompt"},
		{"unknown resource", func(d *door) *message {
			return d.legacy(`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"x:y"}}`)
		}, 200, -32002, "not found", "unknown-resource"},
		{"modern unknown resource", func(d *door) *message {
			return d.modern("resources/read", "x:y", `"uri":"x:y"`)
		}, 400, -32602, "not found", "unknown-resource"},
		{"modern state that is none", func(d *door) *message {
			return d.modern("tools/call", "git__get", `"name":"git__get","requestState":"x"`)
		}, 400, -32602, "requestState", "bad-request-state"},
		{"method of the other era", func(d *door) *message {
			return d.legacy(`{"jsonrpc":"2.0","id":1,"method":"server/discover"}`)
		}, 200, -32601, "server/discover", "bad-message:method"},
		{"unknown tool", func(d *door) *message { return d.legacy(strings.Replace(call, "git__get", "git__none", 1)) }, 200, -32602, "Unknown tool: git__none", "unknown-tool"},
		{"own name on the aggregate", func(d *door) *message { return d.legacy(strings.Replace(call, "git__get", "get", 1)) }, 200, -32602, "Unknown tool: get", "unknown-tool"},
		{"unknown server", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.path = "/mcp/none" })
		}, 404, -32602, "Unknown server: none", "unknown-server"},
		{"hidden server", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.path = "/mcp/mail" })
		}, 404, -32602, "Unknown server: mail", "unknown-server"},
		{"path below a server", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.path = "/mcp/git/x" })
		}, 404, -32602, "Unknown server: git/x", "unknown-server"},
		{"version that is not served", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.set("Mcp-Protocol-Version", "2024-01-01") })
		}, 400, -32600, "2024-01-01", "bad-message:version"},
		{"cursor of nothing", func(d *door) *message {
			return d.legacy(`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"x"}}`)
		}, 200, -32602, "cursor", "bad-message"},
		{"initialize without a version", func(d *door) *message {
			return d.legacy(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`)
		}, 200, -32602, "protocolVersion", "bad-message"},
		{"modern unknown method", func(d *door) *message { return d.modern("tools/destroy", "", "") }, 404, -32601, "tools/destroy", "unknown-method"},
		{"modern removed method", func(d *door) *message { return d.modern("ping", "", "") }, 404, -32601, "ping", "bad-message:method"},
		{"modern unknown tool", func(d *door) *message {
			return d.modern("tools/call", "x", `"name":"x"`)
		}, 400, -32602, "Unknown tool: x", "unknown-tool"},
		{"modern header names another tool", func(d *door) *message {
			return d.modern("tools/call", "git__get", `"name":"mail__send"`)
		}, 400, -32020, "Mcp-Name", "bad-message:header"},
		{"modern without the method header", func(d *door) *message {
			return d.modern("tools/list", "", "").with(func(m *message) { m.header.Del("Mcp-Method") })
		}, 400, -32020, "Mcp-Method", "bad-message:header"},
		{"modern header, legacy body", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.set("Mcp-Protocol-Version", "2026-07-28") })
		}, 400, -32602, "_meta", "bad-message:shape"},
		{"version twice", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.header.Add("Mcp-Protocol-Version", "2025-06-18") })
		}, 400, -32020, "more than once", "bad-message:header"},
		{"version of the future", func(d *door) *message {
			return d.legacy(call).with(func(m *message) { m.set("Mcp-Protocol-Version", "2099-01-01") })
		}, 400, -32022, "version", "bad-message:version"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := open(t)
			got := d.send(test.make(d))
			if got.status != test.status || test.code != 0 && got.Error.Code != test.code || !strings.Contains(got.Error.Message, test.text) {
				t.Errorf("got %d, %d %q; want %d, %d, …%s…", got.status, got.Error.Code, got.Error.Message, test.status, test.code, test.text)
			}
			if event := d.refusal(); event.GetRule() != test.rule {
				t.Errorf("event says %q (%s); want %q", event.GetRule(), event.GetReason(), test.rule)
			}
			if challenge := got.header.Get("Www-Authenticate"); (challenge != "") != (test.status == 401) {
				t.Errorf("status %d with challenge %q", got.status, challenge)
			}
			if bytes.Contains([]byte(got.body), []byte(d.ana.Secret)) {
				t.Error("the answer shows the key")
			}
		})
	}
}

func strangerKey(t *testing.T) string {
	key, err := apikey.New()
	if err != nil {
		t.Fatal(err)
	}
	return key.String()
}
