package notice

import (
	"container/list"
	"slices"
	"sync"

	"github.com/warder-gateway/warder/internal/fault"
)

const (
	factShards = 16

	// The bounds of one session's subscriptions, and of those of a modern client's stream.
	maxResources     = 256
	maxResourceBytes = 8 << 10
)

// factTable holds what this node knows of legacy sessions and no token can hold, because it changes: the level of log
// messages, and the resources subscribed to at servers that have no session with the client. Nodes that reach each other tell
// each other; one that starts later does not know. It may be lost. It is bounded: the session that was not used for longest is
// forgotten.
type factTable struct {
	limit  int // of a shard
	shards [factShards]factShard
}

type factShard struct {
	mu    sync.Mutex
	byID  map[[16]byte]*list.Element
	order list.List // of *fact, last used first
}

type fact struct {
	session   [16]byte
	level     string
	resources []resource
}

func (t *factTable) init(limit int) {
	t.limit = max(limit/factShards, 1)
	for i := range t.shards {
		t.shards[i].byID = make(map[[16]byte]*list.Element)
		t.shards[i].order.Init()
	}
}

func (t *factTable) shard(session *[16]byte) *factShard { return &t.shards[hash(session, factShards)] }

// find returns what is known of a session, or nil. The caller holds the lock.
func (s *factShard) find(session [16]byte) *fact {
	element := s.byID[session]
	if element == nil {
		return nil
	}
	s.order.MoveToFront(element)
	return element.Value.(*fact)
}

// edit changes what is known of a session. Nothing is kept of one of which nothing is left to know.
func (t *factTable) edit(session [16]byte, edit func(*fact) error) error {
	s := t.shard(&session)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.find(session)
	if f == nil {
		f = &fact{session: session}
		s.byID[session] = s.order.PushFront(f)
	}
	err := edit(f)
	if f.level == "" && len(f.resources) == 0 {
		s.remove(session)
	}
	if s.order.Len() > t.limit {
		s.remove(s.order.Back().Value.(*fact).session)
	}
	return err
}

func (s *factShard) remove(session [16]byte) {
	if element := s.byID[session]; element != nil {
		s.order.Remove(element)
		delete(s.byID, session)
	}
}

func (t *factTable) forget(session [16]byte) {
	s := t.shard(&session)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(session)
}

func (t *factTable) level(session [16]byte) string {
	s := t.shard(&session)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.find(session); f != nil {
		return f.level
	}
	return ""
}

func (t *factTable) resources(session [16]byte) []resource {
	s := t.shard(&session)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.find(session); f != nil {
		return slices.Clone(f.resources)
	}
	return nil
}

// Wish is what the client of a legacy session said to one node, and all are to know: from which level on it wants log messages,
// or which resource it wants to hear of, or no longer.
type Wish struct {
	Level       string // if set, the rest is not
	Server, URI string // as of Subscribe
	Over        bool   // as of Unsubscribe
}

// Grant does what a wish says. The kind of an error is that of Subscribe.
func (b *Board) Grant(session [16]byte, w Wish) error {
	switch {
	case w.Level != "":
		b.SetLevel(session, w.Level)
	case w.Over:
		b.Unsubscribe(session, w.Server, w.URI)
	default:
		return b.Subscribe(session, w.Server, w.URI)
	}
	return nil
}

// SetLevel notes from which level on a legacy session wants log messages; empty: none. Servers that have a session with the
// client know it themselves; the others are told with each call.
func (b *Board) SetLevel(session [16]byte, level string) {
	// Setting a level cannot fail.
	_ = b.facts.edit(session, func(f *fact) error { f.level = level; return nil })
}

// Level returns what SetLevel noted, or "".
func (b *Board) Level(session [16]byte) string { return b.facts.level(session) }

// Subscribe lets the stream of a legacy session tell of a resource of a server with which the client has no session, for
// example a modern one. The server is a slug, the URI the server's own; the caller has decided that it may be read, which is
// looked at again with each update. The kind of an error is Exhausted or Invalid.
func (b *Board) Subscribe(session [16]byte, server, uri string) error {
	if len(uri) > maxResourceBytes {
		return fault.New(fault.Invalid, "the URI is too long to be subscribed to")
	}
	err := b.facts.edit(session, func(f *fact) error {
		switch {
		case f.index(server, uri) >= 0:
			return nil
		case len(f.resources) >= maxResources:
			return fault.New(fault.Exhausted, "the session has as many subscriptions as it may have")
		}
		f.resources = append(f.resources, resource{server: server, uri: uri})
		return nil
	})
	if err == nil {
		b.rehear(session)
	}
	return err
}

// Unsubscribe undoes Subscribe.
func (b *Board) Unsubscribe(session [16]byte, server, uri string) {
	// Removing cannot fail.
	_ = b.facts.edit(session, func(f *fact) error {
		if i := f.index(server, uri); i >= 0 {
			f.resources = slices.Delete(f.resources, i, i+1)
		}
		return nil
	})
	b.rehear(session)
}

func (f *fact) index(server, uri string) int {
	return slices.IndexFunc(f.resources, func(r resource) bool { return r.server == server && r.uri == uri })
}

// rehear lets the stream of a session, if it has one here, hear what it wants now.
func (b *Board) rehear(session [16]byte) {
	if s := b.speaking(session); s != nil {
		b.recheck(s)
	}
}
