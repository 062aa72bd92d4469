package notice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// world is a board with a node's knowledge, which tests change, and servers that say what tests want.
type world struct {
	t       testing.TB
	board   *Board
	items   *gatetest.World
	index   atomic.Pointer[gate.Index]
	servers *servers
	keys    map[string]string // key ids by user
	changed []string
	mu      sync.Mutex
}

// newWorld returns one with servers github and files, which ana and bob may use.
func newWorld(t testing.TB, config Config) *world {
	t.Helper()
	w := &world{t: t, items: gatetest.New(t), servers: &servers{}, keys: map[string]string{}}
	for _, slug := range []string{"github", "files"} {
		w.server(slug, mcp.Version20260728)
		w.items.Tool(slug, "search", snapshotv1.Risk_RISK_READ)
		w.resource(slug, "file:///a", snapshotv1.Risk_RISK_READ)
		w.resource(slug, "file:///b", snapshotv1.Risk_RISK_READ)
	}
	w.items.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Role{Role: &snapshotv1.Role{Name: "all", Grants: []*snapshotv1.Grant{{}}}}})
	for _, user := range []string{"ana", "bob"} {
		w.items.User(user, "all")
		w.keys[user] = w.items.Key(user, "cursor", time.Time{}).ID
	}
	w.publish()
	config.Upstream, config.Current, config.Registerer = w.servers, w.index.Load, prometheus.NewRegistry()
	if config.Changed == nil {
		config.Changed = func(server string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changed = append(w.changed, server)
		}
	}
	w.board = New(config)
	return w
}

// server adds a server that offers everything.
func (w *world) server(slug, version string) *snapshotv1.Server {
	server := &snapshotv1.Server{
		Name: slug, Url: "http://127.0.0.1:1/" + slug, Private: true, ProtocolVersion: version,
		Capabilities: []byte(`{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true}}`),
	}
	w.items.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Server{Server: server}})
	return server
}

func (w *world) resource(slug, uri string, risk snapshotv1.Risk) {
	w.items.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Resource{Resource: &snapshotv1.Resource{
		Server: slug, Uri: uri, Risk: risk, DefinitionHash: make([]byte, 32),
		Definition: fmt.Appendf(nil, `{"uri":%q,"name":"n"}`, uri),
	}}})
}

// publish puts what was added into force, as a new snapshot does.
func (w *world) publish() {
	revision := uint64(1)
	if index := w.index.Load(); index != nil {
		revision = index.Revision() + 1
	}
	w.index.Store(w.items.Index(revision))
	if w.board != nil {
		w.board.Changed()
	}
}

// drop removes the items that match.
func (w *world) drop(match func(*snapshotv1.Item) bool) {
	w.items.Items = slices.DeleteFunc(w.items.Items, match)
}

func (w *world) key(user string) *credential.Caller {
	key := w.index.Load().Credentials().Key(w.keys[user])
	if key == nil {
		w.t.Fatalf("%s has no key", user)
	}
	return key
}

// modern returns a subscription to everything.
func (w *world) modern(user string, uris ...string) *Subscription {
	return &Subscription{
		Caller: w.key(user), Era: mcp.Modern, ID: []byte(`7`),
		Filter: mcp.ListenFilter{Tools: true, Prompts: true, Resources: true, URIs: uris},
	}
}

// legacy returns a subscription of a session, which has sessions of its own with servers.
func (w *world) legacy(user string, id byte, servers ...string) *Subscription {
	session := &handle.Session{ID: [16]byte{id, 15: id}, Version: mcp.Version20251125, Expires: time.Now().Add(24 * time.Hour)}
	for _, server := range servers {
		session.Servers = append(session.Servers, handle.ServerSession{Server: server, ID: "own-" + server, Version: mcp.Version20250618})
	}
	return &Subscription{Caller: w.key(user), Era: mcp.Legacy, Session: session}
}

// opened is a stream that was opened by a test.
type opened struct {
	t      testing.TB
	cancel context.CancelFunc
	done   chan struct{}
	err    error

	mu       sync.Mutex
	messages []string
	gate     chan struct{} // nil, or what each Send waits for
	broken   bool
}

func (o *opened) Send(message []byte, _ string, _ time.Duration) error {
	if o.gate != nil {
		<-o.gate
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken {
		return errors.New("the client has gone")
	}
	o.messages = append(o.messages, string(message))
	return nil
}

// take returns what came since it was asked last.
func (o *opened) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	messages := o.messages
	o.messages = nil
	return messages
}

// want fails the test unless exactly these messages came since the last time.
func (o *opened) want(messages ...string) {
	o.t.Helper()
	if got := o.take(); !slices.Equal(got, messages) {
		o.t.Errorf("the client got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(messages, "\n"))
	}
}

func (o *opened) isDone() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// open opens a stream and waits until nothing moves any more.
func (w *world) open(sub *Subscription) *opened {
	o := &opened{t: w.t}
	w.openWith(sub, o)
	return o
}

func (w *world) openWith(sub *Subscription, o *opened) {
	ctx, cancel := context.WithCancel(context.Background())
	o.cancel, o.done = cancel, make(chan struct{})
	go func() {
		defer close(o.done)
		o.err = w.board.Open(ctx, sub, o)
	}()
	synctest.Wait()
}

// end closes the board, so that a bubble can end.
func (w *world) end() {
	w.board.Drain()
	synctest.Wait()
}

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d) // of the bubble: it costs nothing
	synctest.Wait()
}

// servers is an Upstream.
type servers struct {
	silent bool // no server is ever ready

	mu      sync.Mutex
	current []*heard
	total   int
}

// heard is a Listen that runs.
type heard struct {
	*upstream.Listen
	sink upstream.Sink
}

func (s *servers) Listen(ctx context.Context, listen *upstream.Listen, sink upstream.Sink) error {
	h := &heard{listen, sink}
	s.mu.Lock()
	s.current = append(s.current, h)
	s.total++
	s.mu.Unlock()
	if !s.silent {
		listen.Ready()
	}
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = slices.DeleteFunc(s.current, func(other *heard) bool { return other == h })
	return context.Cause(ctx)
}

// words says who is heard and what for: slug, own session, URIs.
func (h *heard) words() string {
	words := h.Server.GetName()
	if h.Session != nil {
		words += " " + h.Session.ID
	}
	for _, uri := range h.Filter.URIs {
		words += " " + uri
	}
	return words
}

// heard returns the words of all that is heard now.
func (s *servers) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var words []string
	for _, h := range s.current {
		words = append(words, h.words())
	}
	slices.Sort(words)
	return words
}

func (w *world) wantHeard(words ...string) {
	w.t.Helper()
	if got := w.servers.heard(); !slices.Equal(got, words) {
		w.t.Errorf("heard are %q, want %q", got, words)
	}
}

// find returns a hearing with these words.
func (s *servers) find(t testing.TB, words string) *heard {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.current {
		if h.words() == words {
			return h
		}
	}
	t.Fatalf("%q is not heard", words)
	return nil
}

// say lets a server say something to those who hear it with these words.
func (w *world) say(words, message string) error {
	w.t.Helper()
	err := w.servers.find(w.t, words).sink.Notification([]byte(message), upstream.Mark{})
	synctest.Wait()
	return err
}

// Messages of servers and to clients.
const (
	toolsChanged     = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
	resourcesChanged = `{"jsonrpc":"2.0","method":"notifications/resources/list_changed"}`
	logged           = `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":12345678901234567890}}`
	updatedA         = `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///a"}}`
	updatedB         = `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///b"}}`

	stampedTools = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7}}}`
	allAcked     = `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7},"notifications":{"toolsListChanged":true,"resourcesListChanged":true}}}`
	graceful     = `{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":7}}}`
)
