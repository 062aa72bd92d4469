package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// invoke runs one command line in this process.
func invoke(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func TestMistakesAreUsageErrorsThatSayWhatToDo(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args string
		says string
	}{
		{"nonsense", `unknown command "nonsense"`},
		{"polcy list", `unknown command "polcy" for "warder"; did you mean policy?`},
		{"server", "server needs one of: add"},
		{"server nonsense", `server has no "nonsense"`},
		{"server add", "takes NAME"},
		{"server add x", "give --url URL, or --agent AGENT"},
		{"server add x --agent a npx", "takes NAME; got 2"},
		{"server add x --agent a --env secret -- npx", "--env takes K=V"},
		{"server add x --url http://x --header nocolon", "--header takes 'Name: value'"},
		{"server list extra", "takes no arguments"},
		{"server list --nonsense", "unknown flag"},
		{"server list -o yaml", "table or json"},
		{"tool approve", "--all"},
		{"tool approve a/b --all", "not both"},
		{"tool list --state odd", "pending, approved, changed or rejected"},
		{"tool reject", "SERVER/TOOL"},
		{"prompt approve", "name the prompts to approve"},
		{"resource disable", "SERVER/URI"},
		{"resource list --state odd", "it is pending, approved, changed or rejected"},
		{"server approve", "takes NAME"},
		{"server set x --ca-file /no/such/file", "--ca-file: open /no/such/file"},
		{"server set x --call-timeout -1s", "--call-timeout -1s"},
		{"server add x --url http://x --max-in-flight -1", "it is a number from 0 to 100000"},
		{"server set x", "say what to change with --url, --private, --header, --remove-header, --ca-file, --env, --remove-env, --agent, --dir, --shared, --call-timeout, --max-in-flight, or behind -- with a command"},
		{"server set x --url http://127.0.0.1:1/mcp -- npx files", "a server has a URL or a command, not both"},
		{"server set -- npx files", "NAME"},
		{"server set x --header nocolon", "--header takes 'Name: value'"},
		{"policy explain u --tool a/b --prompt a/b", "exactly one of --tool, --prompt and --resource"},
		{"policy explain u", "exactly one of --tool, --prompt and --resource"},
		{"policy explain u --tool a/b --call 00", "exactly one of --tool, --prompt and --resource"},
		{"policy explain --tool a/b", "say who calls: USER, or --key"},
		{"policy explain u v --tool a/b", "takes one USER"},
		{"policy explain u --tool a/b --at noon", "--at: \"noon\" is no time"},
		{"policy explain u --tool a/b --arguments @/no/such/file", "--arguments: open /no/such/file"},
		{"policy simulate", "one of --file and --version"},
		{"policy simulate --version 1 --since soon", "--since: \"soon\" is no time span"},
		{"policy rollback first", "is no version"},
		{"policy lint", `"file" not set`},
		{"user create x --role owner --password-stdin", "no password on standard input"},
		{"role grant x", "--everything"},
		{"role set x", "say what to change with --description"},
		{"role set x --no-grants --risk read", "not both"},
		{"user set x", "say what to change with --role or --group"},
		{"user password x", "say --password-stdin or --remove"},
		{"user password x --password-stdin", "no password on standard input"},
		{"session revoke", "name one session by its id"},
		{"session revoke a --user b", "name one session by its id"},
		{"key create --user u --application a --expires soon", "for example 30d"},
		{"key create --user u", `"application" not set`},
		{"keys", "keys needs one of: list, rotate"},
		{"keys rotate --forget", "ends every session of every client"},
		{"policy apply -f /no/such/file", "/no/such/file"},
		{"policy explain u --tool a/b --expect maybe", "it is allow or deny"},
		{"policy explain u --tool a/b --method tools/guess", "it is tools/call"},
		{"audit list --outcome bogus", `"bogus" for "--outcome" flag: it is ok, tool_error, protocol_error`},
		{"audit list --decision bogus", "it is allow or deny"},
		{"audit tail --outcome bogus", "refused, running or unknown"},
		{"audit tail --backlog 1001", "it is a number from 0 to 1000"},
		{"audit changes --limit 0", "it is a number from 1 to 1000"},
		{"role create x --risk odd", "it is read, write"},
		{"server set x --call-timeout 2h", "--call-timeout 2h0m0s: it is a time from 1ms to 1h0m0s"},
		{"server set x --max-in-flight 100001", "from 0 to 100000"},
		{"controlplane --log-level loud", "debug, info, warn or error"},
		{"audit list --limit 0", "it is a number from 1 to 100000"},
		{"audit list --since yesterday", "for example 30d"},
		{"up --listen nowhere", "is no address"},
		{"up --listen 0.0.0.0:0", "clear text"},
		{"up --log-level loud", "debug, info, warn or error"},
	} {
		code, stdout, stderr := invoke(t, append(strings.Fields(c.args), "--data-dir", dir)...)
		if code != exitUsage {
			t.Errorf("%s: exit %d", c.args, code)
		}
		if stdout != "" || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: says %q and %q, not %q", c.args, stdout, stderr, c.says)
		}
	}
}

func TestAVerbWithoutAnInstanceSaysHowToStartOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nothing")
	for _, verb := range []string{"server list", "tool list", "user list", "key list", "keys rotate", "audit list", "audit tail -f", "node list", "health"} {
		code, _, stderr := invoke(t, append(strings.Fields(verb), "--data-dir", dir)...)
		if code != exitUnavailable || !strings.Contains(stderr, "warder up") || !strings.Contains(stderr, dir) {
			t.Errorf("%s: exit %d, %q", verb, code, stderr)
		}
	}
	_, _, stderr := invoke(t, "server", "list", "-o", "json", "--data-dir", dir)
	var m struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(stderr), &m); err != nil || m.Error.Code != "WARDER-LOCAL-001" || m.Error.Message == "" {
		t.Errorf("with -o json the error is %q", stderr)
	}
}

func TestMistakesAreJSONWhereJSONWasAskedFor(t *testing.T) {
	for _, c := range []struct{ args, code string }{
		{"nonsense -o json", codeUsage},
		{"-o json nonsense", codeUsage},
		{"server list --nonsense -o json", codeUsage},
		{"server list --nonsense x --output=json", codeUsage},
		{"server add x -ojson", codeUsage},
		{"server list extra -o json", codeUsage},
		{"up --listen nowhere -o json", codeUsage},
	} {
		_, stdout, stderr := invoke(t, strings.Fields(c.args)...)
		var m struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(stderr), &m); err != nil || m.Error.Code != c.code || m.Error.Message == "" || stdout != "" {
			t.Errorf("%s: %q and %q", c.args, stdout, stderr)
		}
	}
}

func TestTheEnvironmentFillsFlags(t *testing.T) {
	t.Setenv("WARDER_OUTPUT", "json")
	t.Setenv("WARDER_DATA_DIR", t.TempDir())
	if _, _, stderr := invoke(t, "server", "list"); !strings.HasPrefix(stderr, `{"error"`) {
		t.Errorf("WARDER_OUTPUT is not read: %q", stderr)
	}
	if _, _, stderr := invoke(t, "server", "list", "-o", "table"); strings.HasPrefix(stderr, "{") {
		t.Error("the environment is stronger than a flag")
	}
	t.Setenv("WARDER_LIMIT", "many")
	if code, _, stderr := invoke(t, "audit", "list"); code != exitUsage || !strings.Contains(stderr, "WARDER_LIMIT") {
		t.Errorf("a wrong variable: exit %d, %q", code, stderr)
	}
}

func TestABusyPortNamesWhoHoldsIt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	code, _, stderr := invoke(t, "up", "--listen", l.Addr().String(), "--data-dir", t.TempDir())
	if code != exitPrecondition || !strings.Contains(stderr, "is used by") || !strings.Contains(stderr, "WARDER_LISTEN") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

// TestWhatWarderUpCannotWorkWithIsSaidBeforeAnythingIsStarted looks at the data directory: all
// that is started lives there.
func TestWhatWarderUpCannotWorkWithIsSaidBeforeAnythingIsStarted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	bad := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(bad, []byte("servers:\n  - name: files\n    comand: [npx]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	absent := filepath.Join(dir, "absent.yaml")
	for args, says := range map[string][]string{
		"--agent-config " + bad:                              {bad + ": line 3, column 5", "comand", "put it right", "--agent-config"},
		"--agent-config " + absent:                           {absent, "no such file", "--agent-config"},
		"--node-listen " + l.Addr().String():                 {"is used by", "--node-listen or WARDER_NODE_LISTEN"},
		"--metrics-listen " + l.Addr().String():              {"is used by", "--metrics-listen or WARDER_METRICS_LISTEN"},
		"--node-listen 8444":                                 {"--node-listen must be HOST:PORT, not 8444"},
		"--node-address :8444":                               {"--node-address :8444 names no host by which others reach the control plane"},
		"--tunnel-listen 7071":                               {"--tunnel-listen must be HOST:PORT, not 7071"},
		"--tunnel-listen 0.0.0.0:0":                          {"--tunnel-listen 0.0.0.0:0 names no host", "--tunnel-address HOST:PORT"},
		"--tunnel-listen :0 --tunnel-address gateway.corp:0": {"--tunnel-address gateway.corp:0 has no port"},
	} {
		data := filepath.Join(dir, "data")
		code, stdout, stderr := invoke(t, append([]string{"up", "--listen", "127.0.0.1:0", "--data-dir", data}, strings.Fields(args)...)...)
		if code != exitPrecondition || stdout != "" {
			t.Errorf("%s: exit %d, %q", args, code, stdout)
		}
		for _, text := range says {
			if !strings.Contains(stderr, text) {
				t.Errorf("%s: %q lacks %q", args, stderr, text)
			}
		}
		if _, err := os.Stat(data); !os.IsNotExist(err) {
			t.Errorf("%s: the data directory: %v", args, err)
		}
	}
}

func TestAFileThatHoldsNoAuthorityIsNamedWithWhatToDo(t *testing.T) {
	dir := t.TempDir()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	der := server.Certificate().Raw
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"empty":  {nil, "is empty; --ca-file '' means the authorities of the system"},
		"words":  {[]byte("not a certificate"), "it has no line -----BEGIN CERTIFICATE-----"},
		"der":    {der, "openssl x509 -inform der"},
		"key":    {pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("CANARY")}), "holds a private key"},
		"signed": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), "begins with a CERTIFICATE REQUEST"},
		"large":  {make([]byte, maxAuthorities+1), "is larger than"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := invoke(t, "server", "set", "x", "--ca-file", path, "--data-dir", dir)
		if code != exitUsage || !strings.Contains(stderr, "--ca-file "+path) || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d, %q", name, code, stderr)
		}
	}
}
