package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/warder-gateway/warder/internal/policy"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) policyApply() *cobra.Command {
	request := &adminv1.ApplyPolicyRequest{}
	var file string
	var expected int64
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Replace the rules with those of a file",
		Long: `Replace the rules with those of a YAML file. A file with an unknown field or
effect, or that fails its own tests, is refused whole; the rules in force stay.`,
		Example: `  warder policy apply -f policy.yaml --reason 'no deletes by pipelines'
  warder policy apply -f policy.yaml --expect-version 7
  warder policy apply -f policy.yaml --dry-run`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			document, err := c.readFile(file)
			if err != nil {
				return err
			}
			shown := listing{file, document, c.colour()}
			if dryRun {
				return c.dryRun(cmd.Context(), shown)
			}
			request.Document = document
			if cmd.Flags().Changed("expect-version") {
				request.ExpectedVersion = &expected
			}
			response, err := c.api().policy.ApplyPolicy(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return c.refusal(cmd.Context(), shown, err)
			}
			return c.print(response.Msg, func(w io.Writer) {
				shown.remarks(w, response.Msg.GetRemarks())
				p := response.Msg.GetPolicy()
				fmt.Fprintf(w, "Version %d with %s and %s is in force from revision %d.\n",
					p.GetVersion(), counted(len(p.GetRules()), "rule"), counted(len(p.GetLimits()), "limit"), response.Msg.GetRevision())
			})
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the history")
	expectFlag(cmd, &expected)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check the file and show what it would change, and change nothing")
	return cmd
}

// check asks what there is to say of a document.
func (c *cli) check(ctx context.Context, document string, version int64) (*adminv1.CheckPolicyResponse, error) {
	response, err := c.api().policy.CheckPolicy(ctx, connect.NewRequest(&adminv1.CheckPolicyRequest{Document: document, Version: version}))
	if err != nil {
		return nil, err
	}
	return response.Msg, nil
}

// refusal shows the lines of a document that was refused. For scripts the error has
// all.
func (c *cli) refusal(ctx context.Context, shown listing, refused error) error {
	if connect.CodeOf(refused) != connect.CodeInvalidArgument || c.output == "json" {
		return refused
	}
	said, err := c.check(ctx, shown.document, 0)
	if err != nil || errorsIn(said) == 0 {
		return refused
	}
	shown.remarks(c.stderr, said.GetRemarks())
	return &exitCodeError{exitUsage, codeInvalid, fmt.Errorf("the policy is refused, and the rules in force stay: %d errors", errorsIn(said))}
}

func (c *cli) dryRun(ctx context.Context, shown listing) error {
	said, err := c.check(ctx, shown.document, 0)
	if err != nil {
		return err
	}
	err = c.print(said, func(w io.Writer) {
		shown.remarks(w, said.GetRemarks())
		shown.changes(w, said)
	})
	if err == nil && errorsIn(said) > 0 {
		err = checkFailed("the policy would be refused: %d errors", errorsIn(said))
	}
	return err
}

func (c *cli) policyLint() *cobra.Command {
	var file string
	var offline, strict bool
	cmd := &cobra.Command{
		Use:   "lint -f FILE",
		Short: "Say what is wrong with a policy file, and what is worth a look",
		Long: `Say what is wrong with a policy file (with line and column), which of its tests
fail, and what is not wrong but worth a look: rules that can never match, names
that nobody knows. Errors make it fail (exit 3). With --offline no instance is
asked: names are not looked up then, and the tests of the file do not run.`,
		Example: `  warder policy lint -f policy.yaml
  warder policy lint -f policy.yaml --offline --strict`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			document, err := c.readFile(file)
			if err != nil {
				return err
			}
			said := lintOffline(document)
			if !offline {
				if said, err = c.check(cmd.Context(), document, 0); err != nil {
					return err
				}
			}
			err = c.print(said, func(w io.Writer) {
				listing{file, document, c.colour()}.remarks(w, said.GetRemarks())
				if len(said.GetRemarks()) == 0 {
					fmt.Fprintln(w, "Nothing to remark.")
				}
			})
			failed := errorsIn(said)
			if strict {
				failed = len(said.GetRemarks())
			}
			if err == nil && failed > 0 {
				err = checkFailed("%s: %s that must not be", file, counted(failed, "remark"))
			}
			return err
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().BoolVar(&offline, "offline", false, "ask no instance")
	cmd.Flags().BoolVar(&strict, "strict", false, "fail for warnings too")
	return cmd
}

// lintOffline is what can be said of a document without an instance.
func lintOffline(document string) *adminv1.CheckPolicyResponse {
	said := &adminv1.CheckPolicyResponse{}
	parsed, err := policy.ParseDocument([]byte(document))
	remarks := policy.RemarksOf(err)
	if err == nil {
		said.Tests, remarks = int32(len(parsed.Tests)), parsed.Lint(policy.Known{})
	}
	for _, r := range remarks {
		said.Remarks = append(said.Remarks, &adminv1.Remark{Line: int32(r.Line), Column: int32(r.Column), Severity: r.Severity, Check: r.Check, Text: r.Text})
	}
	return said
}

func errorsIn(said *adminv1.CheckPolicyResponse) (n int) {
	for _, r := range said.GetRemarks() {
		if r.GetSeverity() == policy.SeverityError {
			n++
		}
	}
	return n
}

func (c *cli) policyTest() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "test -f FILE",
		Short: "Run the tests of a policy file against roles, users and tools as they are",
		Long: `Run the tests of a policy file against the roles, users and tools of the instance.
It changes nothing. A test that fails makes it fail (exit 3).`,
		Example: "  warder policy test -f policy.yaml",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			document, err := c.readFile(file)
			if err != nil {
				return err
			}
			said, err := c.check(cmd.Context(), document, 0)
			if err != nil {
				return err
			}
			said.Remarks = slices.DeleteFunc(said.Remarks, func(r *adminv1.Remark) bool { return r.GetSeverity() != policy.SeverityError })
			err = c.print(said, func(w io.Writer) {
				listing{file, document, c.colour()}.remarks(w, said.GetRemarks())
				fmt.Fprintf(w, "%d of %d tests hold.\n", said.GetTests()-said.GetFailedTests(), said.GetTests())
			})
			if err == nil && len(said.GetRemarks()) > 0 {
				err = checkFailed("%s: %d errors", file, len(said.GetRemarks()))
			}
			return err
		},
	}
	fileFlag(cmd, &file)
	return cmd
}

func (c *cli) policyDiff() *cobra.Command {
	var file string
	var version int64
	var exitCode bool
	cmd := &cobra.Command{
		Use:   "diff -f FILE",
		Short: "Show how the rules and limits of a file differ from those in force, or of a version",
		Long: `Show how the rules and limits of a file differ from those in force, or of a
version. The order of rules in a file and its tests decide nothing, and are no
difference.`,
		Example: `  warder policy diff -f policy.yaml
  warder policy diff -f policy.yaml --version 3 --exit-code`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			document, err := c.readFile(file)
			if err != nil {
				return err
			}
			shown := listing{file, document, c.colour()}
			said, err := c.check(cmd.Context(), document, version)
			if err != nil {
				return err
			}
			if _, err := policy.ParseDocument([]byte(document)); err != nil {
				shown.remarks(c.stderr, said.GetRemarks())
				return &exitCodeError{exitUsage, codeInvalid, fmt.Errorf("%s cannot be read as a policy", file)}
			}
			err = c.print(said, func(w io.Writer) { shown.changes(w, said) })
			if err == nil && exitCode && len(said.GetChanges()) > 0 {
				err = checkFailed("the documents have %s", counted(len(said.GetChanges()), "difference"))
			}
			return err
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().Int64Var(&version, "version", 0, "compare with this version (default: the one in force)")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "fail (exit 3) if there are differences")
	return cmd
}

// listing shows places of a policy file.
type listing struct {
	file, document string
	colours        bool
}

// remarks writes remarks, each with its line and a mark below the place.
func (l listing) remarks(w io.Writer, remarks []*adminv1.Remark) {
	lines := strings.Split(l.document, "\n")
	for _, r := range remarks {
		place := l.file
		if r.GetLine() > 0 {
			place = fmt.Sprintf("%s:%d:%d", l.file, r.GetLine(), r.GetColumn())
		}
		colour := red
		if r.GetSeverity() != policy.SeverityError {
			colour = yellow
		}
		fmt.Fprintf(w, "%s: %s: %s [%s]\n", visible(place), l.paint(colour, r.GetSeverity()), visible(r.GetText()), r.GetCheck())
		if at := int(r.GetLine()) - 1; at >= 0 && at < len(lines) {
			line, mark := marked(lines[at], int(r.GetColumn())-1)
			fmt.Fprintf(w, "    %s\n    %s\n", line, l.paint(colour, mark))
		}
	}
}

// maxShownLine is how many characters of a line are shown.
const maxShownLine = 120

// marked returns a line and, for the line below, a mark under the character at a
// place. Of a long line it returns what is around the place.
func marked(line string, at int) (shown, mark string) {
	characters := []rune(strings.ReplaceAll(strings.TrimRight(line, "\r"), "\t", " "))
	at = min(max(at, 0), len(characters))
	lead := ""
	if len(characters) > maxShownLine && at > maxShownLine/2 {
		cut := at - maxShownLine/2
		lead, characters, at = "…", characters[cut:], at-cut
	}
	before, after := visible(string(characters[:at])), visible(string(characters[at:min(len(characters), maxShownLine)]))
	return lead + before + after, strings.Repeat(" ", len([]rune(lead+before))) + "^"
}

// changes writes how the file differs from the version that it was compared with.
func (l listing) changes(w io.Writer, said *adminv1.CheckPolicyResponse) {
	if len(said.GetChanges()) == 0 {
		fmt.Fprintf(w, "No rule and no limit differs from version %d.\n", said.GetVersion())
		return
	}
	fmt.Fprintf(w, "--- version %d\n+++ %s\n", said.GetVersion(), visible(l.file))
	for _, change := range said.GetChanges() {
		fmt.Fprintf(w, "@@ %s %s: %s @@\n", change.GetWhat(), visible(change.GetName()), change.GetChange())
		for _, line := range compareLines(change.GetBefore(), change.GetAfter()) {
			colour := plain
			switch line[0] {
			case '+':
				colour = green
			case '-':
				colour = red
			}
			fmt.Fprintln(w, l.paint(colour, visible(line)))
		}
	}
}

// compareLines returns the lines of both texts, each behind "+", "-", or " " where
// they share it. The texts are entries of a document, of a few lines.
func compareLines(before, after string) []string {
	split := func(text string) []string {
		return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
	}
	old, changed := split(before), split(after)
	common := make([][]int, len(old)+1) // the longest common rest
	for i := range common {
		common[i] = make([]int, len(changed)+1)
	}
	for i := len(old) - 1; i >= 0; i-- {
		for j := len(changed) - 1; j >= 0; j-- {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if old[i] == changed[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(old) || j < len(changed) {
		switch {
		case i < len(old) && j < len(changed) && old[i] == changed[j]:
			out = append(out, " "+old[i])
			i, j = i+1, j+1
		case i < len(old) && (j == len(changed) || common[i+1][j] >= common[i][j+1]):
			out = append(out, "-"+old[i])
			i++
		default:
			out = append(out, "+"+changed[j])
			j++
		}
	}
	return out
}

// Colours of terminals.
const (
	plain  = ""
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (l listing) paint(colour, text string) string {
	if !l.colours || colour == plain {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
