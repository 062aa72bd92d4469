package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAReasonIsWithoutWhatGRPCPutsAroundIt(t *testing.T) {
	for message, want := range map[string]string{
		`connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`: "dial tcp 127.0.0.1:1: connect: connection refused",
		`connection error: desc = "transport: authentication handshake failed: tls: first record does not look like a TLS handshake"`: "tls: first record does not look like a TLS handshake" +
			"; what listens there is something else: the port of the control plane's --node-listen is meant",
		`connection error: desc = "error reading server preface: EOF"`: "error reading server preface: EOF",
		"the agent was removed": "the agent was removed",
	} {
		if got := Reason(fmt.Errorf("follow: %w", status.Error(codes.Unavailable, message))); got != want {
			t.Errorf("%s: %q, want %q", message, got, want)
		}
	}
	if got := Reason(errors.New("it drains")); got != "it drains" {
		t.Errorf("got %q", got)
	}
}

func TestReasonsAreTheSameButForPorts(t *testing.T) {
	if !SameReason("read tcp 127.0.0.1:4711->127.0.0.1:1: reset", "read tcp 127.0.0.1:4712->127.0.0.1:1: reset") || SameReason("refused", "reset") {
		t.Error("ports make a difference, or words do not")
	}
}

// levels notes at which level what was logged.
type levels struct {
	slog.Handler
	note func(slog.Level, string)
}

func (levels) Enabled(context.Context, slog.Level) bool { return true }

func (l levels) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	l.note(r.Level, text)
	return nil
}

func TestAWrongAddressIsSaidOnceAndInWords(t *testing.T) {
	dashboard := httptest.NewServer(http.NotFoundHandler())
	defer dashboard.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen []slog.Level
	log := slog.New(levels{slog.DiscardHandler, func(level slog.Level, text string) {
		if seen = append(seen, level); len(seen) == 2 {
			cancel()
		}
		if !strings.Contains(text, "--node-listen") || strings.Contains(text, "desc =") {
			t.Errorf("it says %q", text)
		}
	}})
	_, err := Join(ctx, Config{Kind: Agent, ControlPlane: dashboard.Listener.Addr().String(), Version: "test", Log: log}, Token{Fingerprint: strings.Repeat("0", 64)})
	if err == nil || len(seen) != 2 || seen[0] != slog.LevelWarn || seen[1] != slog.LevelDebug {
		t.Errorf("it was said at %v, and ended with %v", seen, err)
	}
}
