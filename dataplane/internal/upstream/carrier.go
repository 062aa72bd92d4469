package upstream

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/warder-gateway/warder/dataplane/internal/transport"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Carrier takes requests to one server and brings its answers: a transport.Transport, or the way through the tunnel of an
// agent. Its methods may be called from many goroutines.
type Carrier interface {
	// Do is that of a Transport, with the same errors. A carrier that has no way to the server at the moment says so by a
	// fault.Unavailable in the chain of the error, whose text may be shown to clients.
	Do(ctx context.Context, r *transport.Request) (*transport.Response, error)
	// Plain reports whether nothing knows of a call, or of its context, once its answer was closed.
	Plain() bool
	// CloseIdle gives up what is kept for later calls.
	CloseIdle()
}

// callerLabel sets these hashes apart from all others.
const callerLabel = "warder/upstream/caller/v1"

// caller names to an agent for whom a request is, so that it keeps users apart: the same user at every node, whichever
// application and key he comes with, and another name at each server. The hash has no key, which nodes would have to change
// at the same time: an agent that guesses a user's name can tell that it is him. Nobody is the gateway itself.
func (e *endpoint) caller(p *principal.Principal) transport.Caller {
	if p == nil || !e.atAgent {
		return transport.Caller{}
	}
	var room [256]byte
	name := append(room[:0], callerLabel...)
	name = binary.BigEndian.AppendUint64(name, uint64(len(e.name)))
	name = append(append(name, e.name...), p.User...)
	sum := sha256.Sum256(name)
	return transport.Caller(sum[:len(transport.Caller{})])
}

// reachAgent prepares what leads to a server that an agent has.
func (e *endpoint) reachAgent(server *snapshotv1.Server) {
	if e.pool.config.Agents == nil {
		e.broken = e.fail(0, nil, "server %q is on agent %q, and this node takes no tunnels of agents", server.GetAgent()).text
		return
	}
	fields, _ := e.fields(nil)
	var errs [2]error
	e.post, errs[0] = transport.NewBlock(fields)
	e.get, errs[1] = transport.NewBlock(fields[1:])
	if err := errors.Join(errs[:]...); err != nil {
		e.broken = e.fail(0, nil, "the headers of requests to server %q cannot be sent").text
		return
	}
	e.carrier, e.atAgent = e.pool.config.Agents(server), true
}

// explainAway explains why a carrier has no way to the server; nil if err is about something else. It says nothing of the
// server's health: the next call costs no more to refuse, and is to go through as soon as the agent is there.
func (e *endpoint) explainAway(err error) *failure {
	if fault.KindOf(err) != fault.Unavailable {
		return nil
	}
	return e.fail(mcp.CodeUnavailable, err, "server %q cannot be reached: %s", fault.Text(err))
}
