package publisher

import (
	"context"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

const (
	// reportTimeout bounds one write about a node.
	reportTimeout = 5 * time.Second
	// attachPause is the least time between two writings of which agents a node has:
	// each wakes all replicas. A node that is in order does not say it more often.
	attachPause = 50 * time.Millisecond
)

// Book keeps what is known of nodes. *directory.Directory is one.
type Book interface {
	ConnectNode(ctx context.Context, arg db.ConnectNodeParams) error
	UpdateNode(ctx context.Context, arg db.UpdateNodeParams) (int64, error)
	DisconnectNode(ctx context.Context, arg db.DisconnectNodeParams) error
	// AttachAgents keeps which agents have a tunnel to a node, all of them, as one of
	// its streams says.
	AttachAgents(ctx context.Context, node, stream string, attached *syncv1.Attached) error
}

// noBook keeps nothing.
type noBook struct{}

func (noBook) ConnectNode(context.Context, db.ConnectNodeParams) error        { return nil }
func (noBook) UpdateNode(context.Context, db.UpdateNodeParams) (int64, error) { return 1, nil }
func (noBook) DisconnectNode(context.Context, db.DisconnectNodeParams) error  { return nil }

func (noBook) AttachAgents(context.Context, string, string, *syncv1.Attached) error { return nil }

// condition is what changes of a node while it is connected.
type condition struct {
	revision uint64
	refusal  string
	attached *syncv1.Attached // nil: it has said nothing
}

// reporter writes what is known of one node. It keeps the latest only: while the
// database is away or slow, older reports are replaced, and the stream goes on.
type reporter struct {
	book   Book
	node   string
	stream string // who holds the node: distinct for each stream of each replica
	log    *slog.Logger
	hello  db.ConnectNodeParams
	next   chan condition // capacity 1: the latest
	leaves chan struct{}  // closed when the node has left
	done   chan struct{}
}

// newReporter returns a reporter; connected starts it.
func newReporter(book Book, node, stream string, log *slog.Logger) *reporter {
	return &reporter{book: book, node: node, stream: stream, log: log, next: make(chan condition, 1), leaves: make(chan struct{}), done: make(chan struct{})}
}

// connected reports a node that said hello.
func (r *reporter) connected(hello *syncv1.Hello, s condition) {
	r.hello = db.ConnectNodeParams{
		Name: r.node, ConnectedTo: r.stream, Revision: int64(s.revision),
		Version: clean(hello.GetVersion()), Address: clean(hello.GetAddress()),
		TunnelAddress: clean(hello.GetTunnelAddress()), Draining: hello.GetDraining(),
	}
	go r.run()
	r.status(s)
}

// status reports the latest status. Only the conversation's loop calls it.
func (r *reporter) status(s condition) {
	select {
	case <-r.next: // What was not written yet is past.
	default:
	}
	r.next <- s
}

// close reports that the node left, and waits until that is written or given up.
func (r *reporter) close() {
	close(r.leaves)
	close(r.next)
	<-r.done
}

// run writes until close. A node that could not be written as connected is
// tried again with each report.
func (r *reporter) run() {
	defer close(r.done)
	var known bool
	var attached *syncv1.Attached // as it is written down
	for s := range r.next {
		moves := s.attached != attached
		r.write(func(ctx context.Context) error {
			if !known {
				if err := r.book.ConnectNode(ctx, r.hello); err != nil {
					return err
				}
				known = true
			}
			_, err := r.book.UpdateNode(ctx, db.UpdateNodeParams{
				Name: r.node, ConnectedTo: r.stream, Revision: int64(s.revision), Refusal: s.refusal,
			})
			if err != nil || !moves {
				return err
			}
			if err = r.book.AttachAgents(ctx, r.node, r.stream, s.attached); err == nil {
				attached = s.attached
			}
			return err
		})
		if moves {
			r.rest()
		}
	}
	r.write(func(ctx context.Context) error {
		return r.book.DisconnectNode(ctx, db.DisconnectNodeParams{Name: r.node, ConnectedTo: r.stream})
	})
}

// rest waits before agents are written again, but not for a node that has left.
func (r *reporter) rest() {
	select {
	case <-time.After(attachPause):
	case <-r.leaves:
	}
}

// write runs one write under a limit of its own: it is about a stream, and must
// not end with it.
func (r *reporter) write(fn func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
	defer cancel()
	if err := fn(ctx); err != nil {
		r.log.Warn("cannot write the state of a node; its stream goes on", "error", err)
	}
}

// clean makes what a node says of itself fit for a row and a log: cut, and with
// control characters replaced.
func clean(text string) string {
	text = strings.ToValidUTF8(text[:min(len(text), maxReason)], "\uFFFD")
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, text)
}
