package catalog

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/tunnel"
)

// broken are tunnels to a server that does not start, for this reason.
type broken string

func (broken) Here() []string { return nil }

func (b broken) Reach(context.Context, string, string) (http.RoundTripper, error) { return b, nil }

func (b broken) RoundTrip(*http.Request) (*http.Response, error) {
	header := http.Header{}
	header.Set(tunnel.HeaderFailure, string(b))
	return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: header, Body: http.NoBody}, nil
}

// TestWhyAnAgentStartsNothingIsSaidWithinBounds: an agent's words are a stranger's.
func TestWhyAnAgentStartsNothingIsSaidWithinBounds(t *testing.T) {
	for said, want := range map[string]string{
		"the process ended by itself; its last line: no module": `server "s" does not start at its agent "a": the process ended by itself; its last line: no module`,
		"\x1b[2Jgone\u202e":          `: \u001b[2Jgone\u202e`,
		strings.Repeat("x", 100_000): "xxx...",
		"":                           "does not serve yet",
	} {
		_, err := NewDiscoverer("1").Through(broken(said)).Discover(t.Context(), Target{Name: "s", Agent: "a"})
		text := fault.Text(err)
		if !fault.Is(err, fault.Unavailable) || !strings.Contains(text, want) || len(text) > 2*maxFailure {
			t.Errorf("%.50q: %.200s", said, text)
		}
	}
}
