package e2e_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/porttest"
)

// addCounter are the arguments that have an agent run the counting server, which writes its
// process into a file.
func addCounter(agent, file string) []string {
	return []string{"server", "add", "counter", "--agent", agent, "--env", countingServer + "=" + file, "--approve", "--", os.Args[0]}
}

// TestAStdioServerIsAddedInOneLine has 'warder up' run a server over stdio, and end it with itself.
func TestAStdioServerIsAddedInOneLine(t *testing.T) {
	t.Parallel()
	g, up := startUp(t)
	file := filepath.Join(scratch(t), "processes")
	admin(t, g.dataDir, addCounter("local", file)...)
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	key := admin(t, g.dataDir, "key", "create", "--user", "ana", "--application", "ide")["key"].(string)
	c := &caller{url: g.mcp, key: key, session: openVersion(t, g.mcp, key, "2025-11-25", `{}`)}
	for _, want := range []string{"1", "2", "3"} {
		if p := c.call("counter", "count", `{}`); !strings.Contains(p.text, `"text":"`+want+`"`) {
			t.Fatalf("want %s: %v %s", want, p.err, p.text)
		}
	}
	modern := &caller{url: g.mcp, key: key}
	if p := modern.call("counter", "count", `{}`); !p.ok() {
		t.Errorf("a modern client: %v %s", p.err, p.text)
	}
	up.stop()
	text, err := os.ReadFile(file)
	if err != nil || len(strings.Fields(string(text))) < 2 {
		t.Fatalf("two sessions had no process each: %q, %v", text, err)
	}
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			t.Errorf("process %d of the server outlived the gateway", pid)
		}
	}
}

// TestWhoMayBeSomebodyElseRunsNothingUnasked: behind a proxy administrators need not be the
// user who started the gateway, so that his own file has to allow what they assign.
func TestWhoMayBeSomebodyElseRunsNothingUnasked(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t, "--behind-proxy")
	if r := command(t, g.dataDir, "", addCounter("local", "")...); r.code == 0 || !strings.Contains(r.stderr, "local") {
		t.Errorf("without a file: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	file := filepath.Join(scratch(t), "agent.yaml")
	if err := os.WriteFile(file, []byte("allow:\n  - command: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g, _ = startUp(t, "--behind-proxy", "--agent-config", file)
	r := command(t, g.dataDir, "", addCounter("local", "")...)
	if r.code == 0 || !strings.Contains(r.stderr, "allow") {
		t.Errorf("with a file that allows something else: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// TestAColleaguesAgentJoinsTheGatewayOfOneProcess starts it by the command that comes with
// its join token, as people do.
func TestAColleaguesAgentJoinsTheGatewayOfOneProcess(t *testing.T) {
	t.Parallel()
	join, tunnels := porttest.Free(t), porttest.Free(t)
	g, up := startUp(t, "--node-listen", join, "--tunnel-listen", tunnels)
	if at := up.waitFor(t, "  Agents      join at "); !strings.HasPrefix(at, join+" ") {
		t.Errorf("the banner says that agents join at %q", at)
	}
	made := command(t, g.dataDir, "", "join-token", "create", "--kind", "agent", "--name", "laptop")
	if made.code != 0 || !strings.HasPrefix(made.stdout, "wdj_") || strings.Contains(made.stderr, "wdj_") {
		t.Fatalf("exit %d\n%s%s", made.code, made.stdout, made.stderr)
	}
	_, line, _ := strings.Cut(made.stderr, "Run there:\n\n  warder ")
	line, _, _ = strings.Cut(line, "\n")
	root := scratch(t)
	token, file := filepath.Join(root, "token"), filepath.Join(root, "agent.yaml")
	for path, content := range map[string]string{token: made.stdout, file: "allow_any: true\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := strings.Fields(strings.Replace(line, "FILE", token, 1))
	start(t, root, nil, binary, append(args, "--config", file, "--data-dir", root)...)
	eventually(t, "it has joined", func() bool {
		r := command(t, g.dataDir, "", "agent", "list")
		return strings.Contains(r.stdout, "laptop")
	})
	admin(t, g.dataDir, addCounter("laptop", filepath.Join(root, "processes"))...)
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	c := &caller{url: g.mcp, key: admin(t, g.dataDir, "key", "create", "--user", "ana", "--application", "ide")["key"].(string)}
	eventually(t, "its server is served", func() bool { p := c.call("counter", "count", `{}`); return p.ok() })
	if text, err := os.ReadFile(filepath.Join(root, "processes")); err != nil || len(text) == 0 {
		t.Errorf("no process of the server ran beside the agent: %v", err)
	}
}

// TestWhoComesFirstAfterARestartSeesTheServersOfTheAgent asks as soon as the port takes
// connections: the agent is of the same process, and to be there by then.
func TestWhoComesFirstAfterARestartSeesTheServersOfTheAgent(t *testing.T) {
	t.Parallel()
	listen := porttest.Free(t)
	g, up := startUp(t, "--listen", listen)
	admin(t, g.dataDir, addCounter("local", filepath.Join(scratch(t), "processes"))...)
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	key := admin(t, g.dataDir, "key", "create", "--user", "ana", "--application", "ide")["key"].(string)
	for range 3 {
		up.stop()
		up = start(t, g.dataDir, nil, binary, "up", "--data-dir", g.dataDir, "--listen", listen)
		for began := time.Now(); !answers("http://" + listen + "/readyz"); {
			if time.Since(began) > within || up.ended() {
				t.Fatal("it does not come back")
			}
			time.Sleep(time.Millisecond)
		}
		_, body, _ := send(t, g.mcp, key, `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{`+modernMeta+`}}`, modernHeader("tools/list", "")...)
		if !strings.Contains(body, "counter__count") {
			t.Errorf("the first list is %s", body)
		}
		up.waitFor(t, "Ctrl-C stops everything")
	}
}

// TestWhatDoesNotStartIsExplainedAtOnce: to administrators, with what the program said last but
// for its secrets; to clients it is not repeated.
func TestWhatDoesNotStartIsExplainedAtOnce(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	key := admin(t, g.dataDir, "key", "create", "--user", "ana", "--application", "ide")["key"].(string)
	said := func(what string, r result, want ...string) {
		t.Helper()
		text := r.stdout + r.stderr
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s does not say %q: exit %d\n%s", what, w, r.code, text)
			}
		}
		if strings.Contains(text, "CANARY") {
			t.Errorf("%s shows a secret:\n%s", what, text)
		}
	}
	begun := time.Now()
	r := command(t, g.dataDir, "", "server", "add", "nothing", "--agent", "local", "--", "nosuchprogram")
	if took := time.Since(begun); r.code == 0 || took > 5*time.Second {
		t.Errorf("it took %v until exit %d", took, r.code)
	}
	said("server add", r, `no program "nosuchprogram" in the PATH`, `agent "local"`, "install it there")
	missing := []string{"cannot find the module", "[redacted]"}
	said("server add", command(t, g.dataDir, "", "server", "add", "broken", "--agent", "local", "--env", "TOKEN=CANARY-OF-IT", "--",
		"sh", "-c", `echo "cannot find the module $TOKEN" >&2; exit 1`), missing...)
	said("server show", command(t, g.dataDir, "", "server", "show", "broken"), missing...)
	begun = time.Now()
	said("server refresh", command(t, g.dataDir, "", "server", "refresh", "broken"), missing...)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("server refresh took %v", took)
	}
	if p := (&caller{url: g.mcp, key: key}).call("broken", "any", `{}`); strings.Contains(p.text, "module") || strings.Contains(p.text, "CANARY") {
		t.Errorf("a client is told %s", p.text)
	}
}
