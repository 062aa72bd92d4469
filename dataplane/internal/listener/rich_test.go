package listener

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// rich starts a door to servers of both eras that offer everything: old speaks
// 2025-11-25 and has sessions, new speaks 2026-07-28. Ana may use all of it.
func rich(t *testing.T, change ...func(*Config)) *door {
	t.Helper()
	d := &door{t: t, up: &server{}, audit: &queue{}}
	d.up.open = func(_ context.Context, server string) (upstream.SessionRef, error) {
		return upstream.SessionRef{ID: "of-" + server, Version: mcp.Version20251125}, nil
	}
	d.index.Store(d.richWorld(1))
	d.start(change...)
	return d
}

func (d *door) richWorld(revision uint64, more ...func(*gatetest.World)) *gate.Index {
	w := gatetest.New(d.t)
	for slug, version := range map[string]string{"old": mcp.Version20251125, "new": mcp.Version20260728} {
		w.Server(slug, "get", "delete")
		item := w.Items[len(w.Items)-3].GetServer()
		item.ProtocolVersion = version
		item.Capabilities = []byte(`{"tools":{},"prompts":{},"resources":{"subscribe":true},"completions":{},"logging":{}}`)
		item.Instructions = "Ask " + slug + " first."
		w.Prompt(slug, "greet")
		w.Resource(slug, "file:///a")
		w.Template(slug, "file:///t/{id}")
	}
	w.Role("dev")
	w.User("ana", "dev")
	w.User("bob", "dev")
	w.Rule(&snapshotv1.Rule{
		Id: "1", Name: "no-deletes", Effect: snapshotv1.Effect_EFFECT_DENY, Reason: "Deleting needs a person", Tools: []string{"*/delete"},
	})
	for _, f := range more {
		f(w)
	}
	d.ana = w.Key("ana", "ide", time.Time{})
	d.bob = w.Key("bob", "ide", time.Time{})
	d.old = w.Key("ana", "ide", time.Now().Add(-time.Hour))
	return w.Index(revision)
}

// beside starts another node that knows the same, with servers of its own account.
func (d *door) beside() *door {
	d.t.Helper()
	other := &door{t: d.t, up: &server{open: d.up.open}, audit: &queue{}, ana: d.ana, bob: d.bob, old: d.old}
	other.index.Store(d.index.Load())
	other.start()
	return other
}

const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",` +
	`"capabilities":{"roots":{"listChanged":true},"sampling":{},"elicitation":{}},"clientInfo":{"name":"c","version":"1"}}}`

// enter opens a session at a path by initialize, and returns its id.
func (d *door) enter(path string) string {
	d.t.Helper()
	got := d.send(d.bare(initialize).with(func(m *message) { m.path = path }))
	if got.status != http.StatusOK || got.header.Get(session.HeaderSession) == "" {
		d.t.Fatalf("initialize: %d %s", got.status, got.body)
	}
	d.audit.taken()
	return got.header.Get(session.HeaderSession)
}

// in returns a message in a session.
func (d *door) in(token, body string) *message {
	return d.bare(body).with(func(m *message) { m.set(session.HeaderSession, token) })
}

// by makes bob the sender of a message.
func (d *door) by(key apikey.Key) func(*message) {
	return func(m *message) { m.set("Authorization", "Bearer "+key.String()) }
}

// request returns a message of JSON-RPC with id 1.
func rpc(method, params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + params + `}}`
}

// stream is an open event stream of a client.
type stream struct {
	t      *testing.T
	status int
	header http.Header
	lines  *bufio.Scanner
	close  func()
}

// event is one event of it.
type event struct{ id, retry, data string }

// open sends a message and returns the stream that answers it.
func (d *door) stream(m *message) *stream {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
	response, err := d.client.Do(d.request(ctx, m))
	if err != nil {
		cancel()
		d.t.Fatal(err)
	}
	s := &stream{t: d.t, status: response.StatusCode, header: response.Header, lines: bufio.NewScanner(response.Body)}
	s.close = func() { cancel(); response.Body.Close() }
	d.t.Cleanup(s.close)
	return s
}

// next returns the next event with an id or data; false at the end of the stream.
func (s *stream) next() (e event, ok bool) {
	s.t.Helper()
	some := false
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "id":
			e.id, some = value, true
		case "retry":
			e.retry = value
		case "data":
			e.data, some = e.data+value, true
		case "data:":
			some = true
		case "":
			if some {
				return e, true
			}
		}
	}
	return e, false
}

// must returns the data of the next event.
func (s *stream) must() event {
	s.t.Helper()
	e, ok := s.next()
	if !ok {
		s.t.Fatalf("the stream (%d) has ended", s.status)
	}
	return e
}

// listen opens the stream of a session.
func (d *door) listen(token string) *stream {
	return d.stream(d.in(token, "").with(func(m *message) { m.method = http.MethodGet; m.header.Del("Content-Type") }))
}

// idOf returns the raw id of a message.
func idOf(t *testing.T, message string) string {
	t.Helper()
	var envelope struct {
		ID jsontext.Value `json:"id"`
	}
	if err := json.Unmarshal([]byte(message), &envelope); err != nil {
		t.Fatalf("%v: %s", err, message)
	}
	return string(envelope.ID)
}
