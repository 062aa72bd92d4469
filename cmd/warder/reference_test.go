package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write docs/command-line.md anew")

const reference = "../../docs/command-line.md"

// TestTheReferenceIsWhatTheCommandSays keeps docs/command-line.md true. Write it
// anew with 'go test ./cmd/warder -run Reference -update'.
func TestTheReferenceIsWhatTheCommandSays(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/home/you/.local/share")
	var b bytes.Buffer
	b.WriteString(`# Command line

Every flag can be given in the environment as ` + "`WARDER_<FLAG>`" + `, in capitals with underscores: ` + "`WARDER_DATA_DIR`, `WARDER_OUTPUT`" + `.
Every command takes ` + "`--data-dir DIR`" + `, where the instance keeps its data and its socket. It also takes ` + "`-o json`" + `: then a result is
the API's message in protojson, and an error is one object on standard error.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | an error that is none of these |
| 2 | the command line, or what it sent, is wrong |
| 3 | a check answered no |
| 4 | not found |
| 5 | not signed in, or not allowed |
| 6 | unavailable: try again later |
| 7 | conflict: it exists already, or changed meanwhile, or something else must come first |
| 10 | cannot start: port, database, data directory |
| 130 | interrupted |
`)
	describe(&b, (&cli{}).command())
	got := strings.ReplaceAll(b.String(), defaultDataDir(), "~/.local/share/warder")
	if *update {
		if err := os.WriteFile(reference, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Error("docs/command-line.md is not what the command says; run 'go test ./cmd/warder -run Reference -update'")
	}
}

// describe writes a command and what is below it.
func describe(b *bytes.Buffer, cmd *cobra.Command) {
	if cmd.RunE != nil && !cmd.HasSubCommands() {
		fmt.Fprintf(b, "\n## %s\n\n%s\n\n    %s\n", cmd.CommandPath(), orElse(cmd.Long, cmd.Short+"."), cmd.UseLine())
		if cmd.Example != "" {
			fmt.Fprintf(b, "\nFor example:\n\n%s\n", indent(cmd.Example))
		}
		if flags := cmd.LocalNonPersistentFlags(); flags.HasAvailableFlags() {
			fmt.Fprintf(b, "\n```text\n%s```\n", flags.FlagUsagesWrapped(100))
		}
	}
	for _, child := range cmd.Commands() {
		if !child.Hidden && child.Name() != "help" && child.Name() != "completion" {
			describe(b, child)
		}
	}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(strings.ReplaceAll(s, "\n  ", "\n")), "\n", "\n    ")
}
