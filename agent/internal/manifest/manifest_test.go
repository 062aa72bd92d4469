package manifest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/fault"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

const example = `
servers:
  - name: files
    command: [npx, -y, "@modelcontextprotocol/server-filesystem@2026.8.31", /home/ana/notes]
    directory: /home/ana
    environment: {LOG: debug}
    pass: [HTTPS_PROXY]
    shared: true
  - name: wiki
    url: http://127.0.0.1:3001/mcp
    headers: {Authorization: Bearer 123}
allow:
  - command: npx
    args: ["-y", "@modelcontextprotocol/*", "..."]
    environment: [GITHUB_*]
    directories: [/srv/*]
  - command: echo
  - url: http://127.0.0.1:*/mcp
`

func TestAFileIsReadAsItSays(t *testing.T) {
	file, err := Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	files := file.Servers[0]
	if files.Name != "files" || len(files.Command) != 4 || !files.Shared || files.Environment["LOG"] != "debug" || files.Pass[0] != "HTTPS_PROXY" || files.Directory != "/home/ana" {
		t.Errorf("read %+v", files)
	}
	if wiki := file.Servers[1]; wiki.URL != "http://127.0.0.1:3001/mcp" || wiki.Headers["Authorization"] != "Bearer 123" {
		t.Errorf("read %+v", wiki)
	}
	if len(file.Allow) != 3 || file.AllowAny {
		t.Errorf("read %+v", file.Allow)
	}
}

func TestWhatIsWrongIsRefusedWithItsPlaceAndWithoutSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "empty",
		"servers:\n  - name: a\n    comand: [x]": "line 3, column 5: unknown field",
		"servers:\n  - name: A\n    command: [x]":                                            "line 2, column 11: servers[0].name: a name is",
		"servers:\n  - command: [x]":                                                         "line 2, column 5: servers[0]: a server needs a name",
		"servers:\n  - name: a":                                                              "line 2, column 5: servers[0]: a server has either",
		"servers:\n  - name: a\n    command: [x]\n    url: http://h/":                        "a server has either",
		"servers:\n  - {name: a, command: [x]}\n  - {name: a, command: [y]}":                 "line 3, column 12: servers[1].name: \"a\" is declared twice",
		"servers:\n  - name: a\n    url: ftp://h/":                                           "line 3, column 10: servers[0].url: the URL must begin",
		"servers:\n  - name: a\n    url: http://u:hunter2@h/":                                "line 3, column 10",
		"servers:\n  - name: a\n    command: x\n    environment: {K: hunter2}":               "line 3, column 14",
		"servers:\n  - name: a\n    environment: {K: hunter2}\n    command: [x]\n   name: b": "line",
		"servers:\n  - name: a\n    command: [x]\n    shared: hunter2":                       "line 4, column 13: this must be true or false",
		"servers:\n  - name: a\n    command: [x]\n    name: b":                               "line 4, column 5",
		"servers:\n  - name: a\n    command: npx -y hunter2":                                 "line 3, column 14: this must be a list, for example [npx, -y, foo]",
		"servers:\n  - name: a\n    command: {a: hunter2}":                                   "line 3, column 14: this must be a list, for example [npx, -y, foo]",
		"servers:\n  - name: a\n    environment: [hunter2]":                                  "line 3, column 18: this must have keys and values, for example {LOG: debug}",
		"servers: hunter2":                               "line 1, column 10: this must be a list",
		"allow:\n  - command: [hunter2]":                 "line 2, column 14: this must be a text",
		"allow:\n  - args: [x]":                          "line 2, column 5: allow[0]: a rule allows either",
		"allow:\n  - command: x\n    args: [\"...\", y]": "line 3, column 12: allow[0].args[0]",
		"allow:\n  - command: \"*\"":                     "a command is named in full",
	} {
		_, err := Parse([]byte(text))
		if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Text(err), want) || strings.Contains(fault.Text(err), "hunter2") {
			t.Errorf("%q: %v; want %q", text, fault.Text(err), want)
		}
	}
}

// TestAFileThatOthersMayWriteIsRefused with what is wrong, where, and what to do.
func TestAFileThatOthersMayWriteIsRefused(t *testing.T) {
	name := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(name, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, refused := range map[os.FileMode]bool{0o600: false, 0o644: false, 0o620: true, 0o602: true, 0o666: true} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Load(name)
		if (err != nil) != refused {
			t.Errorf("mode %o: %v", mode, err)
		}
		if refused && (!fault.Is(err, fault.Invalid) || !strings.Contains(fault.Text(err), "; chmod go-w "+name)) {
			t.Errorf("mode %o: %q", mode, fault.Text(err))
		}
	}
}

// TestAFileOfAnotherUserIsRefused, and one of root is not.
func TestAFileOfAnotherUserIsRefused(t *testing.T) {
	name := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(name, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	mine, other := os.Geteuid(), os.Geteuid()+1
	if mine == 0 {
		if _, err := load(name, other); err != nil {
			t.Errorf("root's file: %v", err)
		}
		// What root owns is good for all, so it has to be somebody else's.
		mine, other = 4711, 0
		if err := os.Chown(name, mine, -1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := load(name, mine); err != nil {
		t.Errorf("one's own: %v", err)
	}
	before := trace(name)
	_, err := load(name, other)
	want := fmt.Sprintf("belongs to another user (%d) than the one that the agent runs as (%d), who could have it run anything; chown %d %s", mine, other, other, name)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Text(err), want) {
		t.Errorf("another's: %v; want %q", err, want)
	}
	if other == 0 { // Only root can put it right.
		if err := os.Chown(name, 0, -1); err != nil {
			t.Fatal(err)
		}
		if trace(name) == before {
			t.Error("that it is put right is not seen")
		}
	}
}

// TestOnlyWhatTheFileAllowsMayBeAssigned holds T-26.
func TestOnlyWhatTheFileAllowsMayBeAssigned(t *testing.T) {
	file, err := Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	const server = "@modelcontextprotocol/server-memory"
	run := func(command ...string) *enrollv1.AssignedServer { return &enrollv1.AssignedServer{Command: command} }
	for _, s := range []*enrollv1.AssignedServer{
		run("npx", "-y", server), run("npx", "-y", server+"@2026.8.31", "/a", "b"), run("echo"),
		{Command: []string{"npx", "-y", server}, Environment: map[string]string{"GITHUB_TOKEN": "x"}, Directory: "/srv/files"},
		{Url: "http://127.0.0.1:8080/mcp"},
	} {
		if err := file.Allows(s); err != nil {
			t.Errorf("%v: %v", s, err)
		}
	}
	for want, s := range map[string]*enrollv1.AssignedServer{
		`file does not allow it; this would: allow: [{command: "sh", args: ["-c", "id"]}]`: run("sh", "-c", "id"),
		"argument 1 is not":                        run("npx", "--yes", server),
		"wants 2 arguments":                        run("npx", "-y"),
		"argument 2 is not":                        run("npx", "-y", server+"@npm:evil"),
		"for 0 arguments":                          run("echo", "x"),
		"no file can allow it":                     {},
		"variable NODE_OPTIONS":                    {Command: []string{"npx", "-y", server}, Environment: map[string]string{"NODE_OPTIONS": "hunter2"}},
		"its directory has '..'":                   {Command: []string{"npx", "-y", server}, Directory: "/srv/.."},
		"among the rule's directories; this would": {Command: []string{"npx", "-y", server}, Directory: "/home"},
		`allow: [{url: "http://127.`:               {Url: "http://127.0.0.1:1/x/mcp"},
		`[{command: "/usr/bin/npx"`:                run("/usr/bin/npx", "-y", server),
		"either a command or a url":                {Command: []string{"echo"}, Url: "http://127.0.0.1:1/mcp"},
	} {
		if err := file.Allows(s); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: %v; want %q", s, err, want)
		}
	}
	if err := (&File{AllowAny: true}).Allows(run("sh", "-c", "id")); err != nil {
		t.Error(err)
	}
	if err := (&File{}).Allows(run("echo")); err == nil {
		t.Error("an empty file allows something")
	}
}

// TestAPatternAllowsNoMoreThanItLooks holds T-26: neither another directory, nor an option, nor another host.
func TestAPatternAllowsNoMoreThanItLooks(t *testing.T) {
	file := &File{Allow: []Rule{
		{Command: "files", Args: []string{"/srv/*", "/home/**"}}, {Command: "run", Args: []string{"*"}}, {Command: "up", Args: []string{"../*", "--dir=**"}},
		{URL: "http://*.corp/mcp"}, {URL: "http://127.0.0.1:*/mcp"}, {URL: "http://127.0.0.1:1/x/**"},
	}}
	for _, c := range []struct {
		command []string
		url     string
		want    bool
	}{
		{command: []string{"files", "/srv/a", "/home/ana/notes"}, want: true},
		{command: []string{"files", "/srv/..", "/home/ana"}},
		{command: []string{"files", "/srv/a", "/home/../etc"}},
		{command: []string{"files", "/srv/a", "/home/ana/.."}},
		{command: []string{"files", "/srv/a..b", "/home/..ana"}, want: true},
		{command: []string{"run", "server"}, want: true},
		{command: []string{"run", "--package=evil"}},
		{command: []string{"up", "../a", "--dir=/srv"}, want: true},
		{command: []string{"up", "../a", "--dir=.."}},
		{url: "http://wiki.corp/mcp", want: true},
		{url: "http://evil.example?.corp/mcp"},
		{url: "http://evil.example#.corp/mcp"},
		{url: "http://127.0.0.1:x@evil/mcp"},
		{url: "http://127.0.0.1:80/mcp", want: true},
		{url: "http://127.0.0.1:1/x/y?z=1", want: true},
		{url: "http://127.0.0.1:1/x/../admin"},
	} {
		if err := file.Allows(&enrollv1.AssignedServer{Command: c.command, Url: c.url}); (err == nil) != c.want {
			t.Errorf("%v%v: %v", c.command, c.url, err)
		}
	}
}

func TestTheRuleOfARefusalAllowsAllThatWasRefused(t *testing.T) {
	name := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(name, []byte("allow: [{command: npx}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*enrollv1.AssignedServer{
		{Command: []string{"echo"}},
		{Url: "http://127.0.0.1:1/x?y=\"#"},
		{
			Command:     []string{"npx", "-y", "say \"hi\": {a, b}", "C:\\notes\t\u00fc\u202e\x07", "", "- #"},
			Environment: map[string]string{"B": "hunter2", "A": "hunter2"}, Directory: "/srv/my notes",
		},
	} {
		text := file.Allows(s).Error()
		_, rule, found := strings.Cut(text, "this would: ")
		if !found || !strings.Contains(text, name) || strings.Contains(text, "hunter2") || strings.Contains(text, "\n") {
			t.Errorf("%v: %s", s, text)
		}
		mended, err := Parse([]byte(rule))
		if err != nil {
			t.Errorf("%s: %v", rule, err)
			continue
		}
		if err := mended.Allows(s); err != nil {
			t.Errorf("with %s: %v", rule, err)
		}
	}
}

func TestAFileThatCannotBeReadSaysWhyAndWhatToDo(t *testing.T) {
	name := filepath.Join(t.TempDir(), "none.yaml")
	_, err := Load(name)
	if want := "cannot read the agent's file " + name + ": no such file or directory; make it, or name another with --config"; !fault.Is(err, fault.Precondition) || fault.Text(err) != want {
		t.Errorf("got %q, want %q", fault.Text(err), want)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"*", "abc", true}, {"*", "a/b", false},
		{"**", "a/b c:d", true}, {"a*c", "abbc", true}, {"a*c", "abbd", false}, {"*a*", "bab", true}, {"@x/*", "@x/y@1.0", true},
		{"@x/*", "@x/y@npm:z", false}, {"/a/**/b", "/a/x/y/b", true}, {"a*", "", false},
	} {
		if match(c.pattern, c.text) != c.want {
			t.Errorf("%q and %q: want %v", c.pattern, c.text, c.want)
		}
	}
}
