package calls

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// answer passes an answer on and finds out what it says. As tunnel.Answer it belongs to one goroutine.
type answer struct {
	to tunnel.Answer

	status int
	events bool   // the body is a stream of them
	last   []byte // the last that was written, at most maxLooked
	reset  bool
	reason string
	broken error // the other end did not take it
}

// Head implements tunnel.Answer.
func (a *answer) Head(status int, header []tunnel.Field) error {
	a.head(status, header)
	return a.note(a.to.Head(status, header))
}

func (a *answer) head(status int, header []tunnel.Field) {
	a.status = status
	for _, field := range header {
		if strings.EqualFold(field.Name, "content-type") {
			a.events = strings.HasPrefix(field.Value, "text/event-stream")
		}
	}
}

func (a *answer) note(err error) error {
	if err != nil && a.broken == nil {
		a.broken = err
	}
	return err
}

// Write implements tunnel.Answer.
func (a *answer) Write(piece []byte) (int, error) {
	a.keep(piece)
	n, err := a.to.Write(piece)
	return n, a.note(err)
}

// keep keeps the end of what is written: there stands how it ended.
func (a *answer) keep(piece []byte) {
	piece = piece[max(0, len(piece)-maxLooked):]
	if over := len(a.last) + len(piece) - maxLooked; over > 0 {
		a.last = append(a.last[:0], a.last[over:]...)
	}
	a.last = append(a.last, piece...)
}

// Reply implements tunnel.Answer.
func (a *answer) Reply(status int, header []tunnel.Field, body []byte) error {
	a.head(status, header)
	a.keep(body)
	return a.note(a.to.Reply(status, header, body))
}

// Reset implements tunnel.Answer.
func (a *answer) Reset(code tunnelv1.ResetCode, reason string) {
	a.reset, a.reason = true, reason
	a.to.Reset(code, reason)
}

// outcome says how a call ended, once its handler has returned.
func (a *answer) outcome(ctx context.Context) (outcome string, failed bool) {
	switch {
	case a.reset:
		return short("failed: " + a.reason), true
	case ctx.Err() != nil || a.broken != nil:
		return "cancelled", false // Nobody waits for it: that is no failure of the server.
	case a.status == 0:
		return "failed: no answer", true
	}
	if outcome := a.said(); outcome != "" {
		return outcome, true
	}
	if a.status >= 300 {
		return fmt.Sprintf("HTTP %d %s", a.status, http.StatusText(a.status)), true
	}
	return "ok", false
}

// said returns the error of the answer; empty if it has none, or is too large to be looked at.
func (a *answer) said() string {
	message := a.last
	if a.events {
		message = lastEvent(message)
	}
	var r mcp.Response
	if mcp.ScanResponse(message, mcp.Limits{}, &r) != nil {
		return ""
	}
	switch {
	case !r.Error.Empty():
		return short(fmt.Sprintf("error %d: %s", r.ErrorCode, r.ErrorText))
	case r.IsError:
		return "tool error"
	}
	return ""
}

// lastEvent returns the data of the last event of a stream, if that is one line, as all of ours are.
func lastEvent(stream []byte) []byte {
	mark := []byte("data:")
	at := bytes.LastIndex(stream, append([]byte("\n"), mark...)) + 1
	if !bytes.HasPrefix(stream[at:], mark) {
		return nil
	}
	line, _, _ := bytes.Cut(stream[at+len(mark):], []byte("\n"))
	return bytes.TrimSpace(line)
}
