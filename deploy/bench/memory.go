package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// memory tells what a node holds when nothing happens: by itself, for sessions
// whose clients stay connected, and for sessions with an open GET stream. Such a
// stream has the node hear the one server of its endpoint, over a connection of
// its own.
//
// What a thing costs is by how much the node grew, per session, both as the
// system sees it (resident) and as the collector does (live: spans in use for
// heap and stacks, after a collection). The one counts too little where memory
// was free already, the other leaves out what is no object; the larger is judged.
func (b *bench) memory(_ context.Context, n *node) ([]reading, error) {
	idle, err := b.held(n)
	if err != nil {
		return nil, err
	}
	plain, err := b.holding(n, false)
	if err != nil {
		return nil, fmt.Errorf("sessions without a stream: %w", err)
	}
	streams, err := b.holding(n, true)
	if err != nil {
		return nil, fmt.Errorf("sessions with a stream: %w", err)
	}
	of := func(what string, each held) []reading {
		return []reading{
			{Name: what + ": resident", Value: each.resident, Unit: "KiB"},
			{Name: what + ": live", Value: each.live, Unit: "KiB"},
		}
	}
	const session, stream = "of a session, with its idle connection", "of a session with a stream, its connection and its hearing"
	readings := []reading{{Name: fmt.Sprintf("idle, with %d tools", catalogueTools), Value: idle.resident / (1 << 20), Unit: "MiB", AtMost: 40}}
	readings = append(readings, of(session, plain)...)
	readings = append(readings, reading{Name: session + ": the larger", Value: max(plain.resident, plain.live), Unit: "KiB", AtMost: 20})
	readings = append(readings, of(stream, streams)...)
	return append(readings, reading{Name: stream + ": the larger", Value: max(streams.resident, streams.live), Unit: "KiB", AtMost: 60}), nil
}

// held is what a process holds.
type held struct{ resident, live float64 }

// held measures a node at rest, after a collection, in bytes.
func (b *bench) held(n *node) (held, error) {
	time.Sleep(b.settle)
	if _, err := n.fetch("/debug/pprof/heap?gc=1"); err != nil {
		return held{}, err
	}
	values, err := scrape(n.metrics, "go_memstats_heap_inuse_bytes", "go_memstats_stack_inuse_bytes")
	if err != nil {
		return held{}, err
	}
	return held{n.resident(), values[0] + values[1]}, nil
}

// holding returns by how many KiB the node grows for each session that is held,
// and lets go of them again.
func (b *bench) holding(n *node, stream bool) (each held, err error) {
	before, err := b.held(n)
	if err != nil {
		return each, err
	}
	sessions, err := hold(n, b.sessions, stream)
	defer sessions.close()
	if err != nil {
		return each, err
	}
	after, err := b.held(n)
	kib := 1024 * float64(b.sessions)
	return held{(after.resident - before.resident) / kib, (after.live - before.live) / kib}, err
}

// hold opens legacy sessions on one server's endpoint, each with a connection of
// its own that stays: idle, or as the session's stream.
func hold(n *node, count int, stream bool) (connections, error) {
	const path = "/mcp/legacy-json"
	var all connections
	for i := range count {
		c, err := dial(n.address)
		if err != nil {
			return all, err
		}
		all = append(all, c)
		key := n.holders[i/perHolder]
		session, err := c.initialize(path, key)
		if err == nil && stream {
			err = c.listen(path, key, session)
		}
		if err != nil {
			return all, fmt.Errorf("session %d: %w", i, err)
		}
	}
	return all, nil
}

// listen makes the connection the stream of a session.
func (c *connection) listen(path, key, session string) error {
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nAuthorization: Bearer %s\r\nMcp-Session-Id: %s\r\n"+
		"MCP-Protocol-Version: 2025-11-25\r\n\r\n", path, key, session)
	if err != nil {
		return err
	}
	return readStreamHead(c.in)
}

// readStreamHead reads the head of an event stream.
func readStreamHead(in *bufio.Reader) error {
	status, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	for opened := false; ; {
		line, err := in.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case len(line) > 2:
			opened = opened || bytes.Contains(line, []byte("text/event-stream"))
		case !opened:
			return errors.New("no event stream: " + status)
		default:
			return nil
		}
	}
}
