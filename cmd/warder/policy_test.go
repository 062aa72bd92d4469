package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/warder-gateway/warder/internal/policy"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// written is a file with a document.
func written(t *testing.T, document string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLintOfflineShowsThePlaceInItsLine(t *testing.T) {
	for _, c := range []struct {
		why, document string
		strict        bool
		exit          int
		want          []string
	}{
		{"errors", "rules:\n  - {name: a, effect: maybe}\n  - {name: b, effect: deny, when: 'principal.usr == 1'}\n", false, exitCheckFailed, []string{
			":2:23: error: rules[0].effect: \"maybe\" is neither allow nor deny [invalid]\n" +
				"      - {name: a, effect: maybe}\n" +
				"                          ^\n",
			":3:45: error: rules[1].when: undefined field 'usr' [invalid]\n" +
				"      - {name: b, effect: deny, when: 'principal.usr == 1'}\n" +
				"                                                ^\n",
		}},
		{"warnings", "rules:\n  - {name: a, effect: deny}\n  - {name: b, effect: deny}\n", false, exitOK, []string{":3:5: warning: rules[1]: the rule can never match", "[duplicate]"}},
		{"strictly", "rules:\n  - {name: a, effect: deny}\n", true, exitCheckFailed, []string{"[no-tests]"}},
		{"nothing", "rules: []\n", true, exitOK, []string{"Nothing to remark."}},
	} {
		t.Run(c.why, func(t *testing.T) {
			args := []string{"policy", "lint", "--offline", "-f", written(t, c.document), "--data-dir", t.TempDir()}
			if c.strict {
				args = append(args, "--strict")
			}
			code, stdout, stderr := invoke(t, args...)
			if code != c.exit || (stderr != "") != (code != 0) {
				t.Errorf("exit %d, %s", code, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("shows\n%s\nwithout\n%s", stdout, want)
				}
			}
			_, stdout, _ = invoke(t, append(args, "-o", "json")...)
			if err := protojson.Unmarshal([]byte(stdout), &adminv1.CheckPolicyResponse{}); err != nil {
				t.Errorf("%v: %s", err, stdout)
			}
		})
	}
}

func TestMarkStandsUnderItsPlace(t *testing.T) {
	long := strings.Repeat("a", 200) + "X" + strings.Repeat("b", 200)
	for _, c := range []struct {
		line        string
		at          int
		shown, mark string
	}{
		{"rules: 1", 7, "rules: 1", "       ^"},
		{"\tx", 1, " x", " ^"},
		{"é: ü", 3, "é: ü", "   ^"},
		{"\x1b[2Jx", 4, `\x1b[2Jx`, "       ^"},
		{"short\r", 99, "short", "     ^"},
	} {
		if shown, mark := marked(c.line, c.at); shown != c.shown || mark != c.mark {
			t.Errorf("%q at %d: %q, %q", c.line, c.at, shown, mark)
		}
	}
	shown, mark := marked(long, 200)
	if []rune(shown)[len(mark)-1] != 'X' || len([]rune(shown)) > maxShownLine+1 {
		t.Errorf("%q\n%q", shown, mark)
	}
}

func TestLinesThatBothTextsShareAreNoDifference(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{"", "a\nb\n", "+a|+b"},
		{"a\nb\n", "", "-a|-b"},
		{"a\nb\nc\n", "a\nx\nc\ny\n", " a|-b|+x| c|+y"},
		{"a\n", "a\n", " a"},
	} {
		if got := strings.Join(compareLines(c.before, c.after), "|"); got != c.want {
			t.Errorf("%q to %q: %q, want %q", c.before, c.after, got, c.want)
		}
	}
}

func TestSchemaIsPrintedAsItIs(t *testing.T) {
	code, stdout, stderr := invoke(t, "policy", "schema")
	if code != 0 || stdout != string(policy.Schema) || !strings.Contains(stdout, `"urn:warder:policy:1"`) || stderr != "" {
		t.Errorf("exit %d, %d bytes, %s", code, len(stdout), stderr)
	}
}

func TestChangesAreShownAsUnifiedText(t *testing.T) {
	var out strings.Builder
	said := &adminv1.CheckPolicyResponse{Version: 3, Changes: []*adminv1.RuleChange{
		{What: "rule", Name: "a", Change: "changed", Before: "- name: a\n  effect: deny\n", After: "- name: a\n  effect: allow\n"},
		{What: "limit", Name: "l", Change: "added", After: "- name: l\n"},
	}}
	listing{file: "p.yaml"}.changes(&out, said)
	want := []string{"--- version 3", "+++ p.yaml", "@@ rule a: changed @@", " - name: a", "-  effect: deny", "+  effect: allow", "@@ limit l: added @@", "+- name: l", ""}
	if !slices.Equal(strings.Split(out.String(), "\n"), want) {
		t.Errorf("%s", out.String())
	}
	out.Reset()
	listing{file: "p.yaml", colours: true}.changes(&out, said)
	if !strings.Contains(out.String(), "\x1b[31m-  effect: deny\x1b[0m\n\x1b[32m+  effect: allow\x1b[0m") {
		t.Errorf("%q", out.String())
	}
}
