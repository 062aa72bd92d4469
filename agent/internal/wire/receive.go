package wire

import (
	"bytes"
	"fmt"

	"github.com/warder-gateway/warder/internal/mcp"
)

// Receive takes one message of the server, which it may keep. An error means that the server does not speak MCP, and that
// the connection must be ended.
func (c *Conn) Receive(message []byte) error {
	message = bytes.TrimSpace(message)
	switch {
	case len(message) == 0:
		return nil
	case message[0] == '[':
		return c.batch(message)
	}
	return c.one(message)
}

// batch takes the messages of a batch, which servers of 2025-03-26 may send.
func (c *Conn) batch(message []byte) error {
	spans, err := mcp.ScanBatch(message, mcp.Limits{})
	if err != nil {
		return c.reject(message, err)
	}
	for _, span := range spans {
		if err := c.one(span.Of(message)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) one(message []byte) error {
	m := &Message{Body: message}
	if err := mcp.ScanResponse(message, mcp.Limits{}, &m.Scan); err != nil {
		return c.reject(message, err)
	}
	c.garbage = 0
	switch scan := &m.Scan; {
	case scan.IsResponse():
		c.answered(m)
	case scan.Method == mcp.MethodProgress:
		c.progress(m)
	case scan.IsNotification() && !scan.SubscriptionID.Empty():
		c.stamped(m)
	default:
		c.hearer.Hear(m)
	}
	return nil
}

// answered hands an answer to the call that it is to.
func (c *Conn) answered(m *Message) {
	id := m.Scan.ID
	if id.Empty() || string(id.Of(m.Body)) == "null" {
		c.unnamed(m)
		return
	}
	call := c.take(id.Of(m.Body))
	if call == nil {
		c.stray.Add(1)
		return
	}
	call.refused, call.code = !m.Scan.Error.Empty(), m.Scan.ErrorCode
	call.answered(call.restore(m))
}

// restore puts the caller's id where ours stands. The result of a listen names it again, before or behind.
func (c *Call) restore(m *Message) []byte {
	edits := []mcp.Edit{{Span: m.Scan.ID, With: c.clientID}}
	if stamp := m.Scan.SubscriptionID; !stamp.Empty() && bytes.Equal(stamp.Of(m.Body), c.own) {
		edits = append(edits, mcp.Edit{Span: stamp, With: c.clientID})
		if stamp.Start < m.Scan.ID.Start {
			edits[0], edits[1] = edits[1], edits[0]
		}
	}
	return mcp.Splice(make([]byte, 0, len(m.Body)), m.Body, edits...)
}

// unnamed takes an error without an id: of a server that could not read what it was sent. If one call alone is open,
// it is about that one.
func (c *Conn) unnamed(m *Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.calls) != 1 {
		c.stray.Add(1)
		return
	}
	for own, call := range c.calls {
		delete(c.calls, own)
		call.refused, call.code = true, m.Scan.ErrorCode
		call.end(mcp.WriteError(nil, call.clientID, m.Scan.ErrorCode, m.Scan.ErrorText, m.Scan.ErrorData.Of(m.Body)), nil)
	}
}

// progress hands a notice of progress to the call whose token it has.
func (c *Conn) progress(m *Message) {
	token := m.Scan.ProgressToken
	call := c.find(token.Of(m.Body))
	if token.Empty() || call == nil || call.token == nil {
		c.stray.Add(1)
		return
	}
	c.put(call, mcp.Splice(nil, m.Body, mcp.Edit{Span: token, With: call.token}))
}

// stamped hands a notice of a subscription to the listen that it names; one that names none of ours goes to the Hearer.
func (c *Conn) stamped(m *Message) {
	stamp := m.Scan.SubscriptionID
	call := c.find(stamp.Of(m.Body))
	if call == nil {
		c.stray.Add(1)
		return
	}
	c.put(call, mcp.Splice(nil, m.Body, mcp.Edit{Span: stamp, With: call.clientID}))
}

// put tells a call. What its caller does not take in time is lost: notices may be, answers are not kept there.
func (c *Conn) put(call *Call, message []byte) {
	if !call.Box.Put(message) {
		c.stray.Add(1)
	}
}

// Sole returns the open call for which pick says yes, if it is the only one.
func (c *Conn) Sole(pick func(*Call) bool) *Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found *Call
	for _, call := range c.calls {
		switch {
		case !pick(call):
		case found != nil:
			return nil
		default:
			found = call
		}
	}
	return found
}

// reject takes what is no message: the call whose id is in it fails.
func (c *Conn) reject(message []byte, cause error) error {
	c.stray.Add(1)
	if call := c.named(message); call != nil {
		call.end(nil, fmt.Errorf("%w: %w", ErrGarbage, cause))
		return nil
	}
	if c.garbage++; c.garbage >= maxGarbage {
		return fmt.Errorf("%d lines of output in a row were no MCP messages", maxGarbage)
	}
	return nil
}

// Oversize takes the beginning and the end of a message that is larger than MaxMessage: the call whose id is there fails.
// If it is nobody's, whom it would have answered is unknown, and the connection must be ended, with the error.
func (c *Conn) Oversize(parts ...[]byte) error {
	c.stray.Add(1)
	for _, part := range parts {
		if call := c.named(part); call != nil {
			call.end(nil, ErrTooLarge)
			return nil
		}
	}
	return fmt.Errorf("a message was larger than %d bytes", MaxMessage)
}

// Undeliverable takes back a message that was taken to be sent, and could not be: the call whose request it is fails.
func (c *Conn) Undeliverable(message []byte, cause error) {
	if call := c.named(message); call != nil {
		call.end(nil, cause)
	}
}

// named takes the open call whose id stands somewhere in a text. Ids are long enough to be nowhere by chance.
func (c *Conn) named(text []byte) *Call {
	at := bytes.Index(text, []byte(`"`+c.prefix))
	if at < 0 {
		return nil
	}
	end := bytes.IndexByte(text[at+1:], '"')
	if end < 0 {
		return nil
	}
	return c.take(text[at : at+end+2])
}
