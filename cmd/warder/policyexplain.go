package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/internal/policy"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) policyExplain() *cobra.Command {
	request := &adminv1.ExplainDecisionRequest{}
	var expect, at, client string
	cmd := &cobra.Command{
		Use:   "explain [USER] --tool SERVER/TOOL | --prompt SERVER/PROMPT | --resource SERVER/URI | --call ID",
		Short: "Say how a call would be decided, and why; or how a recorded one would be today",
		Long: `Say how a call would be decided, and why. With --call it is a recorded call, by
its caller with the roles and groups of then; its arguments are in no record, but
can be given. Nothing is called.`,
		Example: `  warder policy explain ana --application cursor --tool github/delete_repo
  warder policy explain ana --tool github/push --arguments '{"repo":"site"}' --at 2026-11-22T23:00:00Z
  warder policy explain ci --application pipeline --tool github/merge --expect deny
  warder policy explain ana --resource docs/file:///readme.md
  warder policy explain ana --tool github/review --method sampling/createMessage
  warder policy explain --key wk_1 --tool github/push
  warder policy explain --call 0190f7a1c0de4a7b8c9d0e1f2a3b4c5d`,
		Args: atMost("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				request.User = args[0]
			}
			if err := c.complete(request, at, client); err != nil {
				return err
			}
			response, err := c.api().policy.ExplainDecision(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			if err := c.print(response.Msg, func(w io.Writer) { printExplanation(w, response.Msg) }); err != nil {
				return err
			}
			if got := response.Msg.GetDecision(); expect != "" && got != expect {
				return checkFailed("the decision is %s, not %s", got, expect)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&request.Application, "application", "", "with which client program")
	flags.StringVar(&request.Tool, "tool", "", "the tool that is called, as SERVER/TOOL")
	flags.StringVar(&request.Prompt, "prompt", "", "the prompt that is asked for, as SERVER/PROMPT")
	flags.StringVar(&request.Resource, "resource", "", "the resource that is read, as SERVER/URI, listed or not")
	flags.StringVar(&request.CallId, "call", "", "a recorded call, by its `ID`")
	choose(cmd, &request.Method, "method", "", "what is done with it, or asked by its server meanwhile (default tools/call, prompts/get or resources/read)", policy.Methods()...)
	flags.StringVar(&request.Arguments, "arguments", "", "the arguments, as a JSON object, or as @`FILE` that holds one")
	flags.StringArrayVar(&request.Groups, "group", nil, "a `group` of the user beside his own; may be given again")
	flags.StringVar(&client, "client", "", "what the client says of itself, as `NAME` or NAME/VERSION")
	flags.StringVar(&at, "at", "", "when, as 2026-11-22T10:00:00Z (default now)")
	flags.StringVar(&request.KeyId, "key", "", "with this key, by its `ID`; USER may be left out then")
	choose(cmd, &expect, "expect", "", "fail (exit 3) unless the decision is this", decisions...)
	return cmd
}

// atMost is exactly for an argument that may be left out.
func atMost(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usageError(fmt.Errorf("%s takes one %s; got %d arguments", cmd.CommandPath(), name, len(args)))
		}
		return nil
	}
}

// complete checks what is asked and fills in what has a form of its own on the
// command line.
func (c *cli) complete(m *adminv1.ExplainDecisionRequest, at, client string) error {
	about := slices.DeleteFunc([]string{m.Tool, m.Prompt, m.Resource, m.CallId}, func(s string) bool { return s == "" })
	switch {
	case len(about) != 1:
		return usageError(errNoTarget)
	case m.CallId == "" && m.User == "" && m.KeyId == "":
		return usageError(errors.New("say who calls: USER, or --key"))
	}
	m.ClientName, m.ClientVersion, _ = strings.Cut(client, "/")
	if at != "" {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			return usageError(fmt.Errorf("--at: %q is no time; write it as 2026-11-22T10:00:00Z", at))
		}
		m.At = timestamppb.New(when)
	}
	if file, named := strings.CutPrefix(m.Arguments, "@"); named {
		data, err := os.ReadFile(file)
		if err != nil {
			return usageError(fmt.Errorf("--arguments: %w", err))
		}
		m.Arguments = string(data)
	}
	return nil
}

func printExplanation(w io.Writer, m *adminv1.ExplainDecisionResponse) {
	open := ""
	if m.GetOpen() {
		open = "a condition looks at arguments or a client that were not given"
	}
	facts(w, "Decision", m.GetDecision(), "By", m.GetRule(), "Reason", m.GetReason(), "Open", open,
		"Revision", strconv.FormatUint(m.GetRevision(), 10))
	if then := m.GetRecorded(); then != nil {
		fmt.Fprintln(w, "\nRecorded:")
		facts(w, "  At", clock(then.GetAt()), "  User", then.GetUser(), "  Application", then.GetApplication(),
			"  Roles", strings.Join(then.GetRoles(), ", "), "  Groups", strings.Join(then.GetGroups(), ", "),
			"  Call", then.GetMethod()+" "+callName(then), "  Decision", then.GetDecision(), "  By", then.GetRule(), "  Reason", then.GetReason(),
			"  Revision", strconv.FormatUint(then.GetRevision(), 10))
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, s := range m.GetSteps() {
		matched := "no"
		switch {
		case s.GetMatched():
			matched = "yes"
		case s.GetOpen():
			matched = "open"
		}
		rows = append(rows, []string{s.GetStage(), s.GetName(), matched, s.GetDetail()})
	}
	columns(w, []string{"STAGE", "NAME", "MATCHED", "DETAIL"}, rows)
}
