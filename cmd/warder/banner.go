package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/warder-gateway/warder/controlplane"
	"github.com/warder-gateway/warder/internal/address"
	"github.com/warder-gateway/warder/internal/build"
)

// banner tells a person what runs and what to do next.
func (u *allInOne) banner(w io.Writer, took time.Duration) {
	base := "http://" + address.Here(u.public.Addr())
	fmt.Fprintf(w, "warder %s  all-in-one (control plane + 1 data plane + dashboard), ready in %.1f s\n\n", build.Version, took.Seconds())
	fmt.Fprintf(w, "  Database    %s\n", u.databaseLine())
	fmt.Fprintf(w, "  Dashboard   %s\n", base)
	fmt.Fprintf(w, "  MCP         %s/mcp          auth: API keys, default policy: deny\n", base)
	fmt.Fprintf(w, "  Metrics     %s/metrics      Health /healthz /readyz\n", u.metricsBase(base))
	if at := u.joinLine(); at != "" {
		fmt.Fprintf(w, "  Agents      join at %s   token: warder join-token create --kind agent --name NAME\n", at)
	}
	if u.agent != nil && os.Geteuid() == 0 {
		fmt.Fprintf(w, "  Servers     of the agent %s run as root, as this does; better start it as a user who may do little\n", localName)
	}
	if token := u.control.SetupToken(); token != "" {
		// The token is in the fragment, which browsers keep out of requests.
		fmt.Fprintf(w, "\n  Create the first administrator (one use, valid %d min):\n    %s/setup#t=%s\n",
			int(controlplane.SetupTokenLife.Minutes()), base, token)
		fmt.Fprintf(w, "  On this machine the command line needs no login, for example:\n    warder server add NAME --url URL\n")
	}
	if u.database != nil {
		fmt.Fprintf(w, "\n  Embedded database: fine for evaluation, not for more than one replica.")
	}
	fmt.Fprintf(w, "\n  Ctrl-C stops everything.\n")
}

// joinLine is where agents join, if anybody was to know.
func (u *allInOne) joinLine() string {
	host, port, err := net.SplitHostPort(u.config.nodeListen)
	if err == nil && port == "0" && address.IsLoopback(host) && u.config.nodeAddress == "" {
		return ""
	}
	if at := u.forPeers(); !strings.HasPrefix(at, ":") {
		return at
	}
	return u.nodes.Addr().String() // The host is anybody's guess.
}

// metricsBase is where the metrics lie.
func (u *allInOne) metricsBase(base string) string {
	if u.metrics == nil {
		return base
	}
	return "http://" + u.metrics.Addr().String()
}

func (u *allInOne) databaseLine() string {
	if u.database == nil {
		return "PostgreSQL at --database-url"
	}
	return fmt.Sprintf("embedded PostgreSQL %s  %s", u.database.Version, u.database.Dir)
}

// logger writes to stderr: text for a terminal, JSON otherwise.
func (c *cli) logger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usageError(fmt.Errorf("--log-level %s: it is %s", level, either(logLevels)))
	}
	options := &slog.HandlerOptions{Level: l}
	if isTerminal(c.stderr) {
		return slog.New(slog.NewTextHandler(c.stderr, options)), nil
	}
	return slog.New(slog.NewJSONHandler(c.stderr, options)), nil
}
