package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/warder-gateway/warder/internal/fault"
)

// told is an error as a script reads it.
type told struct {
	Error struct{ Code, Kind, Message, Hint, Docs string }
}

// fails runs a command line with -o json that must fail, and holds that it says so
// in one object on standard error, and nothing else.
func fails(t *testing.T, args ...string) told {
	t.Helper()
	code, stdout, stderr := invoke(t, append(args, "-o", "json")...)
	var m told
	decoder := json.NewDecoder(strings.NewReader(stderr))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil || decoder.More() {
		t.Errorf("%q: standard error is not one object (%v): %s", args, err, stderr)
		return m
	}
	known, documented := errorCodes[m.Error.Code]
	if !documented || m.Error.Kind != known.kind || m.Error.Hint == "" || m.Error.Message == "" || m.Error.Docs != docsOf(m.Error.Code) {
		t.Errorf("%q: %+v", args, m.Error)
	}
	if code == exitOK || stdout != "" {
		t.Errorf("%q: exit %d, standard output %q", args, code, stdout)
	}
	return m
}

// leaves returns every command that does something.
func leaves(cmd *cobra.Command) (found []*cobra.Command) {
	for _, child := range cmd.Commands() {
		if child.HasSubCommands() {
			found = append(found, leaves(child)...)
		} else if child.Name() != "help" && cmd.Name() != "completion" {
			found = append(found, child)
		}
	}
	return found
}

// required returns the flags that a command insists on, with values that they take.
func required(cmd *cobra.Command, policy string) (args []string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Annotations[cobra.BashCompOneRequiredFlag] == nil {
			return
		}
		value := "x"
		switch f.Name {
		case "file":
			value = policy
		case "kind":
			value = "node"
		}
		args = append(args, "--"+f.Name, value)
	})
	return args
}

// TestEveryCommandThatFailsSaysSoInOneObject walks the tree of commands: each fails
// by a flag that is none, by arguments that are too many, and for want of an
// instance.
func TestEveryCommandThatFailsSaysSoInOneObject(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nothing")
	unreached, document := 0, written(t, "rules: []\n")
	all := leaves((&cli{}).command())
	for _, cmd := range all {
		path := append(strings.Fields(cmd.CommandPath())[1:], "--data-dir", dir)
		if m := fails(t, append(path, "--nonsense")...); m.Error.Code != codeUsage {
			t.Errorf("%s --nonsense: %+v", cmd.CommandPath(), m.Error)
		}
		fails(t, append(path, "a/b", "a/b", "a/b", "a/b")...)
		if cmd.Name() == "up" { // It would start.
			fails(t, append(path, "--listen", "nowhere")...)
			continue
		}
		if cmd.CommandPath() == "warder policy schema" { // It needs nobody.
			continue
		}
		path = append(path, required(cmd, document)...)
		for _, more := range [][]string{nil, {"a/b"}, {"--all"}, {"--role", "viewer", "name"}, {"--everything", "name"}, {"--remove", "name"}, {"name", "--tool", "a/b"}, {"--version", "1"}, {"--title", "x", "name"}, {"7"}, {"a/b", "write"}} {
			if fails(t, append(path, more...)...).Error.Code == "WARDER-LOCAL-001" {
				unreached++
				break
			}
		}
	}
	// All but the planes, 'agent run', 'agent test', 'policy schema', 'server add', which does not
	// know where the server is, and 'server set', which has nothing to change.
	if len(all) < 30 || unreached < len(all)-8 {
		t.Errorf("of %d commands %d came as far as to look for the instance", len(all), unreached)
	}
}

func TestEveryCodeAndKindOfErrorIsKnown(t *testing.T) {
	for code := connect.CodeCanceled; code <= connect.CodeUnauthenticated; code++ {
		if _, known := errorCodes[codeOf(code)]; !known {
			t.Errorf("%v has no code of ours", code)
		}
	}
	for _, c := range []struct {
		err  error
		exit int
		code string
	}{
		{connect.NewError(connect.CodeNotFound, os.ErrNotExist), exitNotFound, codeNotFound},
		{connect.NewError(connect.CodeAborted, os.ErrNotExist), exitConflict, codeConflict},
		{startError(fault.New(fault.Precondition, "x").Coded("WARDER-KEK-001")), exitPrecondition, "WARDER-KEK-001"},
		{startError(portError(os.ErrExist)), exitPrecondition, codePort},
		{startError(os.ErrExist), exitPrecondition, codeStart},
		{&exitCodeError{exit: exitCheckFailed, err: os.ErrExist}, exitCheckFailed, codeCheckFailed},
		{os.ErrExist, exitError, codeInternal},
	} {
		if got := classify(c.err); got.exit != c.exit || got.code != c.code {
			t.Errorf("%v: %+v", c.err, got)
		}
	}
}

const errorReference = "../../docs/error-codes.md"

// TestEachCodeHasItsPlaceInTheDocumentation keeps docs/error-codes.md true. Write it
// anew with 'go test ./cmd/warder -run Documentation -update'.
func TestEachCodeHasItsPlaceInTheDocumentation(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(`# Error codes of the command line

Each error of a command ends with its code. With ` + "`-o json`" + ` it is one object on standard error, on one line:

    {"error":{"code":"WARDER-…","kind":"…","message":"…","hint":"…","docs":"…"}}

` + "`kind`" + ` is the class, for scripts; ` + "`message`" + ` is for people, and names what went wrong and where; ` + "`hint`" + ` is what to do. The
[command line](command-line.md) lists the exit codes, and [errors](errors.md) what clients of MCP are answered.
`)
	for _, code := range slices.Sorted(maps.Keys(errorCodes)) {
		known := errorCodes[code]
		fmt.Fprintf(&b, "\n## %s\n\n%s (`%s`)\n\n%s\n", code, known.means, known.kind, known.hint)
	}
	if *update {
		if err := os.WriteFile(errorReference, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(errorReference)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Error("docs/error-codes.md is not what the command says; run 'go test ./cmd/warder -run Documentation -update'")
	}
}
