package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/warder-gateway/warder/internal/policy"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// maxDocument bounds what is read of a policy file, in bytes; the API has the
// same bound.
const maxDocument = 1 << 20

func (c *cli) policyCommand() *cobra.Command {
	return group("policy", "The rules that decide each call", c.policyApply(), c.policyShow(), c.policyExplain())
}

func (c *cli) policyApply() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Replace the rules with those of a file",
		Long: `Replace the rules with those of a YAML file. A file with an unknown field or
effect, or that fails its own tests, is refused whole; the rules in force stay.`,
		Example: "  warder policy apply -f policy.yaml",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			document, err := c.readFile(file)
			if err != nil {
				return err
			}
			response, err := c.api().policy.ApplyPolicy(cmd.Context(), connect.NewRequest(&adminv1.ApplyPolicyRequest{Document: document}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				p := response.Msg.GetPolicy()
				fmt.Fprintf(w, "Version %d with %d rules is in force from revision %d.\n",
					p.GetVersion(), len(p.GetRules()), response.Msg.GetRevision())
			})
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the policy file; - for standard input")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

// readFile reads a policy file, or standard input for "-".
func (c *cli) readFile(name string) (string, error) {
	in := c.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", usageError(fmt.Errorf("open the policy file: %w", err))
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxDocument+1))
	if err != nil {
		return "", fmt.Errorf("read the policy file: %w", err)
	}
	if len(data) > maxDocument {
		return "", usageError(fmt.Errorf("%s is larger than %d bytes", name, maxDocument))
	}
	if len(data) == 0 {
		return "", usageError(fmt.Errorf("%s is empty; 'rules: []' means no rules", name))
	}
	return string(data), nil
}

func (c *cli) policyShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show the rules in force, as they were applied",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().policy.GetPolicy(cmd.Context(), connect.NewRequest(&adminv1.GetPolicyRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				p := response.Msg.GetPolicy()
				if p.GetVersion() == 0 {
					fmt.Fprintln(w, "# no rules yet: roles alone decide\nrules: []")
					return
				}
				fmt.Fprintf(w, "# version %d, by %s, %s\n%s", p.GetVersion(), visible(p.GetCreatedBy()), clock(p.GetCreatedAt()), visible(p.GetDocument()))
			})
		},
	}
}

func (c *cli) policyExplain() *cobra.Command {
	request := &adminv1.ExplainDecisionRequest{}
	var expect string
	cmd := &cobra.Command{
		Use:   "explain --user USER --application APPLICATION --tool SERVER/TOOL | --prompt SERVER/PROMPT | --resource SERVER/URI [--method METHOD]",
		Short: "Say how a call would be decided, and why",
		Example: `  warder policy explain --user ana --application cursor --tool github/delete_repo
  warder policy explain --user ci --application pipeline --tool github/merge --expect deny
  warder policy explain --user ana --resource docs/file:///readme.md
  warder policy explain --user ana --tool github/review --method sampling/createMessage`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(slices.DeleteFunc([]string{request.Tool, request.Prompt, request.Resource}, func(s string) bool { return s == "" })) != 1 {
				return usageError(errors.New("say what is asked for: exactly one of --tool, --prompt and --resource"))
			}
			response, err := c.api().policy.ExplainDecision(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			if err := c.print(response.Msg, func(w io.Writer) { printExplanation(w, response.Msg) }); err != nil {
				return err
			}
			if got := response.Msg.GetDecision(); expect != "" && got != expect {
				return &exitCodeError{exit: exitCheckFailed, err: fmt.Errorf("the decision is %s, not %s", got, expect)}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&request.User, "user", "", "who calls")
	flags.StringVar(&request.Application, "application", "", "with which client program")
	flags.StringVar(&request.Tool, "tool", "", "the tool that is called, as SERVER/TOOL")
	flags.StringVar(&request.Prompt, "prompt", "", "the prompt that is asked for, as SERVER/PROMPT")
	flags.StringVar(&request.Resource, "resource", "", "the resource that is read, as SERVER/URI, listed or not")
	choose(cmd, &request.Method, "method", "", "what is done with it, or asked by its server meanwhile (default tools/call, prompts/get or resources/read)", policy.Methods()...)
	flags.StringVar(&request.Arguments, "arguments", "", "the arguments, as a JSON object")
	choose(cmd, &expect, "expect", "", "fail (exit 3) unless the decision is this", decisions...)
	_ = cmd.MarkFlagRequired("user")
	return cmd
}

func printExplanation(w io.Writer, m *adminv1.ExplainDecisionResponse) {
	facts(w, "Decision", m.GetDecision(), "By", m.GetRule(), "Reason", m.GetReason(),
		"Revision", strconv.FormatUint(m.GetRevision(), 10))
	fmt.Fprintln(w)
	var rows [][]string
	for _, s := range m.GetSteps() {
		matched := "no"
		if s.GetMatched() {
			matched = "yes"
		}
		rows = append(rows, []string{s.GetStage(), s.GetName(), matched, s.GetDetail()})
	}
	columns(w, []string{"STAGE", "NAME", "MATCHED", "DETAIL"}, rows)
}
