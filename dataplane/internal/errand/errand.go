// Package errand asks other nodes for what only they can do: what lies in the memory of one process, and is named by the
// handle that a client brings to another.
//
//	client ─▶ session ─▶ Errands ══ relay ══▶ Errands ─▶ the other node's session, or upstream
//	            ▲ Answer, Cancel, Resume, Wish   │
//	            └──── Permit, SealState ◀────────┘  while a parked call goes on
//	upstream ── Keep, Find ══ relay ══▶ Errands ─▶ the other node's upstream, for a session that both use
//
// Who asks has opened the handle for its owner, has decided, and records: the other node does neither, and asks back what its
// server may want of the client. It gives a parked call to nobody but the user and application that made it, though. Messages are of one version family of nodes, in JSON; what cannot be read is refused.
//
// A node is named with its process ("one/3f2a…"): what a process kept is gone with it, and its successor says so.
package errand

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/warder-gateway/warder/dataplane/internal/notice"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// What is asked for.
const (
	kindAnswer = "answer"
	kindCancel = "cancel"
	kindResume = "resume"
	kindReply  = "reply"
	kindWish   = "wish"
	kindKeep   = "keep"
	kindFind   = "find"
)

// Relay speaks to other nodes, as relay.Relay does.
type Relay interface {
	Do(ctx context.Context, node string, r *tunnel.Request) (*tunnel.Response, error)
	Nodes(own string) []string
}

// Session is the part of this node that knows its clients, as session.Session does.
type Session interface {
	// Answered gives a client's answer to a call that waits here; false: none does.
	Answered(pending string, session [16]byte, result []byte, refused *mcp.Error) bool
	// Cancelled ends a call of a legacy client that runs here; false: none does.
	Cancelled(session [16]byte, id []byte) bool
	// Wished takes what a legacy client said of its session at another node; false: it is not taken.
	Wished(session [16]byte, wish notice.Wish) bool
}

// Upstream goes on with parked calls and shares sessions, as upstream.Pool does.
type Upstream interface {
	Do(ctx context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error)
	Keep(ctx context.Context, server *snapshotv1.Server, w *upstream.Wanted) (upstream.Kept, error)
	Held(server *snapshotv1.Server, w *upstream.Wanted) upstream.Kept
}

// Config is what Errands are made of. All of it is required.
type Config struct {
	// Node is this node's own name.
	Node  string
	Relay Relay
	// Server returns the item of a slug as this node knows it; nil: it knows none.
	Server func(slug string) *snapshotv1.Server
}

// Errands run and serve errands. They are safe for concurrent use.
type Errands struct {
	config   Config
	self     string // with the process
	session  Session
	upstream Upstream

	mu      sync.Mutex
	waiting map[string]*question // by token
}

// New returns errands of a process. Serve must not be called before Attend.
func New(config Config) *Errands {
	return &Errands{config: config, self: config.Node + "/" + rand.Text(), waiting: make(map[string]*question)}
}

// Self is how handles name this process.
func (e *Errands) Self() string { return e.self }

// Attend says who serves what other nodes ask for.
func (e *Errands) Attend(session Session, upstream Upstream) {
	e.session, e.upstream = session, upstream
}

// message is what an errand carries; each kind has some of it.
type message struct {
	To      string     `json:"to"` // with the process; empty: whoever it is
	Pending string     `json:"pending,omitempty"`
	Session [16]byte   `json:"session,omitzero"`
	ID      []byte     `json:"id,omitempty"`
	Result  []byte     `json:"result,omitempty"`
	Refused *mcp.Error `json:"refused,omitempty"`
	Sealed  string     `json:"sealed,omitempty"`
	Call    *call      `json:"call,omitempty"`

	Wish *notice.Wish `json:"wish,omitempty"`

	Wanted *upstream.Wanted `json:"wanted,omitempty"`
}

// errGone says that the process does not have what is asked for, or is no more.
var errGone = fault.New(fault.NotFound, "the node that was asked does not have it any more")

// ask runs an errand whose answer is a status alone.
func (e *Errands) ask(ctx context.Context, node, kind string, m *message) error {
	response, err := e.open(ctx, node, kind, m)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// open runs an errand at a node, which may be named with a process.
func (e *Errands) open(ctx context.Context, node, kind string, m *message) (*tunnel.Response, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write errand: %w", err)
	}
	name, _, _ := strings.Cut(node, "/")
	response, err := e.config.Relay.Do(ctx, name, &tunnel.Request{Errand: kind, Body: body})
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "the other node was not reached, or takes no more at the moment", err)
	}
	if response.Status != 200 {
		response.Body.Close()
		return nil, errGone
	}
	return response, nil
}

// Answer gives a client's answer, a result or an error, to the call that waits for it at a node. The error is a fault:
// NotFound if no call waits there any more.
func (e *Errands) Answer(ctx context.Context, node, pending string, session [16]byte, result []byte, refused *mcp.Error) error {
	return e.ask(ctx, node, kindAnswer, &message{To: node, Pending: pending, Session: session, Result: result, Refused: refused})
}

// maxTold bounds how many nodes are told of something at a time, and tellTime how long that takes.
const (
	maxTold  = 16
	tellTime = 2 * time.Second
)

// Cancel ends a legacy client's call at whichever other node it runs. It waits until all have been told, or for tellTime.
func (e *Errands) Cancel(ctx context.Context, session [16]byte, id []byte) {
	e.tell(ctx, kindCancel, &message{Session: session, ID: id})
}

// Wish has all other nodes know what a legacy client said of its session. It waits as Cancel does. A node that is not reached
// does not know it.
func (e *Errands) Wish(ctx context.Context, session [16]byte, wish notice.Wish) {
	e.tell(ctx, kindWish, &message{Session: session, Wish: &wish})
}

// tell runs an errand at all other nodes.
func (e *Errands) tell(ctx context.Context, kind string, m *message) {
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	slots := make(chan struct{}, maxTold)
	var told sync.WaitGroup
	for _, node := range e.config.Relay.Nodes(e.config.Node) {
		slots <- struct{}{}
		told.Go(func() {
			defer func() { <-slots }()
			_ = e.ask(ctx, node, kind, m) // Most nodes do not have what is cancelled; of others the log of the relay tells.
		})
	}
	told.Wait()
}

// Serve does what another node asks for, by an errand of a kind. It does not keep the body.
func (e *Errands) Serve(ctx context.Context, node, kind string, body []byte, w tunnel.Answer) {
	var m message
	err := json.Unmarshal(body, &m)
	done := false
	switch {
	case err != nil || m.To != "" && m.To != e.self:
	case kind == kindAnswer:
		done = e.session.Answered(m.Pending, m.Session, m.Result, m.Refused)
	case kind == kindCancel:
		done = e.session.Cancelled(m.Session, m.ID)
	case kind == kindWish && m.Wish != nil:
		done = e.session.Wished(m.Session, *m.Wish)
	case kind == kindReply:
		done = e.replied(node, &m)
	case kind == kindResume && m.Call != nil:
		e.goOn(ctx, node, m.Call, w)
		return
	case (kind == kindKeep || kind == kindFind) && m.Wanted != nil:
		e.lend(ctx, kind, m.Wanted, w)
		return
	}
	status := 404
	if done {
		status = 200
	}
	_ = w.Reply(status, nil, nil) // It fails where nobody waits.
}
