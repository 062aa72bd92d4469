package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/identity"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// joined returns the command line of an agent that has joined a control plane that is not there now.
func joined(t *testing.T) []string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	who := identity.Peer{Kind: identity.Agent, Name: "laptop"}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-identity.Backdate), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, URIs: []*url.URL{who.URI()},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "identity"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.New(identity.Config{Kind: identity.Agent, Dir: filepath.Join(dir, "identity"), Log: slog.New(slog.DiscardHandler)},
		key, &enrollv1.Credential{Certificate: der, Authorities: [][]byte{der}}, "eu"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(file, []byte("servers:\n  - {name: files, command: [cat]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"run", "--control-plane", "127.0.0.1:1", "--data-dir", dir, "--config", file}
}

const (
	alternate = "\x1b[?1049h" // the screen of the view
	ordinary  = "\x1b[?1049l"
)

func TestTheViewIsDrawnFollowsItsSizeAndLeavesTheTerminalAsItWas(t *testing.T) {
	for name, end := range map[string]func(*pty, *os.Process) error{
		"q":       func(p *pty, _ *os.Process) error { p.press("q"); return nil },
		"SIGTERM": func(_ *pty, agent *os.Process) error { return agent.Signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPTY(t, 80, 24)
			agent := p.start(joined(t))
			drawn := p.until("q stop the agent", p.until(alternate, 0))
			p.until(": dial tcp 127.0.0.1:1", 0) // Why it is away, without what gRPC says around it.
			if cmp.Equal(p.before, p.state()) {
				t.Error("the terminal was not made ready for a view: this test shows nothing")
			}
			p.press("2")
			p.until("files", drawn)
			drawn = p.until("RESTARTS", drawn)
			if strings.Contains(p.all(), "╭─") {
				t.Error("a small terminal shows all panes")
			}
			p.resize(200, 60)
			drawn = p.until("╯", p.until("╭─", drawn))
			p.resize(80, 24)
			p.until("2 Servers", drawn)
			if err := end(p, agent.Process); err != nil {
				t.Fatal(err)
			}
			if err := agent.Wait(); err != nil {
				t.Errorf("it ended with %v", err)
			}
			p.until("agent is going down", drawn)
			seen := p.all()
			if diff := cmp.Diff(p.before, p.state()); diff != "" {
				t.Errorf("the terminal works otherwise than before: %s", diff)
			}
			after := seen[strings.LastIndex(seen, ordinary)+len(ordinary):]
			if strings.LastIndex(seen, alternate) > strings.LastIndex(seen, ordinary) || strings.LastIndex(seen, "\x1b[?25h") < strings.LastIndex(seen, "\x1b[?25l") {
				t.Errorf("the screen or the cursor was not restored: %q", seen[len(seen)-300:])
			}
			if !strings.Contains(after, "no stream to the control plane") {
				t.Errorf("in the end the last errors are not said, but %q", after)
			}
		})
	}
}

func TestLogsAreFilteredInATerminal(t *testing.T) {
	p := newPTY(t, 80, 24)
	agent := p.start(joined(t))
	p.until("q stop the agent", p.until(alternate, 0))
	p.press("4")
	drawn := p.until("no stream to the control plane", 0)
	p.press("/agent is up\r")
	drawn = p.until("“agent is up”", drawn)
	p.press("/no line has this\r")
	p.until("Nothing of", drawn)
	p.press("q")
	if err := agent.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestNoColorTakesTheColoursAndLeavesTheView(t *testing.T) {
	coloured := func(environment ...string) bool {
		p := newPTY(t, 80, 24)
		agent := p.start(joined(t), environment...)
		p.until("away", p.until(alternate, 0))
		p.press("q")
		if err := agent.Wait(); err != nil {
			t.Errorf("it ended with %v", err)
		}
		p.until("going down", 0)
		seen := p.all()
		return strings.Contains(seen, "\x1b[31m") || strings.Contains(seen, ";31m") || strings.Contains(seen, ";36m")
	}
	if !coloured() {
		t.Error("the view has no colours")
	}
	if coloured("NO_COLOR=yes") {
		t.Error("it has colours, though the user wants none")
	}
}

func TestATerminalWhereNobodyLooksGetsLogs(t *testing.T) {
	for name, c := range map[string]struct {
		args        []string
		environment string
	}{
		"--no-view": {[]string{"--no-view"}, "A=b"},
		"CI":        {nil, "CI=true"},
		"TERM=dumb": {nil, "TERM=dumb"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPTY(t, 80, 24)
			agent := p.start(append(joined(t), c.args...), c.environment)
			p.until(`msg="agent is up"`, 0)
			p.until(`msg="no stream to the control plane`, 0)
			if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := agent.Wait(); err != nil {
				t.Errorf("it ended with %v", err)
			}
			if p.until("going down", 0); strings.Contains(p.all(), "\x1b") {
				t.Errorf("it has escape codes: %q", p.all())
			}
		})
	}
}

func TestWithoutATerminalItLogsJSONAlone(t *testing.T) {
	agent := program(t, joined(t))
	var out bytes.Buffer
	agent.Stdout = &out
	logs, err := agent.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	var seen []byte
	piece := make([]byte, 4096)
	for !bytes.Contains(seen, []byte(`"msg":"no stream to the control plane`)) {
		n, err := logs.Read(piece)
		if seen = append(seen, piece[:n]...); err != nil {
			t.Fatalf("%v after %q", err, seen)
		}
	}
	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for err = nil; err == nil; {
		var n int
		n, err = logs.Read(piece)
		seen = append(seen, piece[:n]...)
	}
	if err := agent.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if out.Len() != 0 {
		t.Errorf("it prints %q", out.String())
	}
	for line := range strings.Lines(string(seen)) {
		if !strings.HasPrefix(line, `{"time":`) || strings.Contains(line, "\x1b") {
			t.Errorf("it logs %q", line)
		}
	}
}
