package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) toolCommand() *cobra.Command {
	return group("tool", "The tools of the servers, and whether they are approved",
		c.toolList(), c.toolShow(), c.toolApprove(), c.toolReject(), c.toolDisable(), c.toolEnable())
}

func (c *cli) toolList() *cobra.Command {
	request := &adminv1.ListToolsRequest{}
	var state string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the tools",
		Example: "  warder tool list --state pending",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if state != "" {
				value, ok := adminv1.ToolState_value["TOOL_STATE_"+strings.ToUpper(state)]
				if !ok || value == 0 {
					return usageError(fmt.Errorf("--state %s: a tool is pending, approved, changed or rejected", state))
				}
				request.State = adminv1.ToolState(value)
			}
			response, err := c.api().tools.ListTools(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printTools(w, response.Msg.GetTools()) })
		},
	}
	cmd.Flags().StringVar(&request.Server, "server", "", "only of this server")
	cmd.Flags().StringVar(&state, "state", "", "only in this state: pending, approved, changed or rejected")
	return cmd
}

func printTools(w io.Writer, tools []*adminv1.Tool) {
	var rows [][]string
	for _, t := range tools {
		rows = append(rows, []string{fullName(t), stateName(t), t.GetRisk(), short(t.GetDescription(), 60)})
	}
	columns(w, []string{"TOOL", "STATE", "RISK", "DESCRIPTION"}, rows)
}

func fullName(t *adminv1.Tool) string { return t.GetServer() + "/" + t.GetName() }

// stateName is the state with what else keeps a tool from being called.
func stateName(t *adminv1.Tool) string {
	name := enumName(t.GetState(), "TOOL_STATE_")
	if t.GetDisabled() {
		name += ", disabled"
	}
	if t.GetMissing() {
		name += ", missing"
	}
	return name
}

func (c *cli) toolShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show SERVER/TOOL",
		Short:             "Show a tool and its definition",
		Args:              exactly("SERVER/TOOL"),
		ValidArgsFunction: c.completeWith(toolNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			response, err := c.api().tools.GetTool(cmd.Context(), connect.NewRequest(&adminv1.GetToolRequest{Name: args[0]}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printTool(w, response.Msg.GetTool()) })
		},
	}
}

func printTool(w io.Writer, t *adminv1.Tool) {
	facts(w, "Tool", fullName(t), "Exposed as", t.GetExposedName(), "State", stateName(t), "Risk", t.GetRisk(),
		"First seen", ago(t.GetFirstSeenAt()), "Decided by", t.GetDecidedBy(), "Decided", ago(t.GetDecidedAt()),
		"Reason", t.GetDecidedReason(), "Hash", t.GetDefinitionHash(), "Approved hash", t.GetApprovedHash())
	fmt.Fprintf(w, "\nDefinition:\n%s\n", visible(indented(t.GetDefinition())))
	if t.GetApprovedDefinition() != "" {
		fmt.Fprintf(w, "\nApproved definition:\n%s\n", visible(indented(t.GetApprovedDefinition())))
	}
}

// indented lays JSON out for reading; what is no JSON comes as it is.
func indented(s string) string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(s), "", "  ") != nil {
		return s
	}
	return b.String()
}

func (c *cli) toolApprove() *cobra.Command {
	request := &adminv1.ApproveToolsRequest{}
	cmd := &cobra.Command{
		Use:   "approve SERVER/TOOL… | --all",
		Short: "Approve tools as they stand now",
		Long: `Approve tools as they stand now. Their definitions are pinned: one that changes
afterwards is blocked until it is approved again. Names may be globs.`,
		Example: `  warder tool approve github/list_issues github/get_issue
  warder tool approve 'github/*' --reason 'reviewed in SEC-12'
  warder tool approve --all`,
		ValidArgsFunction: c.completeWith(toolNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && !request.All {
				return usageError(errors.New("name the tools to approve, or say --all"))
			}
			if len(args) > 0 && request.All {
				return usageError(errors.New("name the tools to approve or say --all, not both"))
			}
			request.Names = args
			response, err := c.api().tools.ApproveTools(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.printDecided(response.Msg, "Approved", response.Msg.GetTools())
		},
	}
	cmd.Flags().BoolVar(&request.All, "all", false, "approve all that wait (pending or changed)")
	cmd.Flags().StringVar(&request.Server, "server", "", "with --all: only those of this server")
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the record")
	cmd.Flags().StringVar(&request.DefinitionHash, "definition-hash", "", "approve only if the definition still has this hash")
	return cmd
}

func (c *cli) toolReject() *cobra.Command {
	request := &adminv1.RejectToolsRequest{}
	return c.toolVerb("reject SERVER/TOOL…", "Reject tools: they stay blocked", &request.Reason,
		func(ctx context.Context, names []string) error {
			request.Names = names
			response, err := c.api().tools.RejectTools(ctx, connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.printDecided(response.Msg, "Rejected", response.Msg.GetTools())
		})
}

func (c *cli) toolDisable() *cobra.Command {
	request := &adminv1.DisableToolsRequest{}
	return c.toolVerb("disable SERVER/TOOL…", "Switch tools off, whatever their state", &request.Reason,
		func(ctx context.Context, names []string) error {
			request.Names = names
			response, err := c.api().tools.DisableTools(ctx, connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.printDecided(response.Msg, "Disabled", response.Msg.GetTools())
		})
}

func (c *cli) toolEnable() *cobra.Command {
	return c.toolVerb("enable SERVER/TOOL…", "Switch tools on again", nil,
		func(ctx context.Context, names []string) error {
			response, err := c.api().tools.EnableTools(ctx, connect.NewRequest(&adminv1.EnableToolsRequest{Names: names}))
			if err != nil {
				return err
			}
			return c.printDecided(response.Msg, "Enabled", response.Msg.GetTools())
		})
}

// toolVerb is a verb over named tools, with a reason where it takes one.
func (c *cli) toolVerb(use, about string, reason *string, do func(context.Context, []string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:               use,
		Short:             about,
		ValidArgsFunction: c.completeWith(toolNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError(fmt.Errorf("%s needs the tools, each as SERVER/TOOL", cmd.CommandPath()))
			}
			return do(cmd.Context(), args)
		},
	}
	if reason != nil {
		cmd.Flags().StringVar(reason, "reason", "", "why, for the record")
	}
	return cmd
}

func (c *cli) printDecided(message proto.Message, verb string, tools []*adminv1.Tool) error {
	return c.print(message, func(w io.Writer) {
		if len(tools) == 0 {
			fmt.Fprintln(w, "Nothing to do.")
		}
		for _, t := range tools {
			fmt.Fprintf(w, "%s %s\n", verb, visible(fullName(t)))
		}
	})
}

func toolNames(ctx context.Context, a *api) []string {
	response, err := a.tools.ListTools(ctx, connect.NewRequest(&adminv1.ListToolsRequest{}))
	if err != nil {
		return nil
	}
	var names []string
	for _, t := range response.Msg.GetTools() {
		names = append(names, fullName(t))
	}
	return names
}
