package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// family is what one command governs. All families have the same verbs.
type family struct {
	name string // of the command
	// argument is how one is named, for people.
	argument string
	// about says what the command is for.
	about string
	kinds []adminv1.Kind
	// example and other are names for the help.
	example, other string
}

var (
	toolFamily = &family{
		name: "tool", argument: "SERVER/TOOL", about: "The tools of the servers, and whether they are approved",
		kinds:   []adminv1.Kind{adminv1.Kind_KIND_TOOL},
		example: "github/list_issues", other: "github/get_issue",
	}
	promptFamily = &family{
		name: "prompt", argument: "SERVER/PROMPT", about: "The prompts of the servers, and whether they are approved",
		kinds:   []adminv1.Kind{adminv1.Kind_KIND_PROMPT},
		example: "github/review", other: "github/summary",
	}
	resourceFamily = &family{
		name: "resource", argument: "SERVER/URI",
		about:   "The resources of the servers and their URI templates, and whether they are approved",
		kinds:   []adminv1.Kind{adminv1.Kind_KIND_RESOURCE, adminv1.Kind_KIND_TEMPLATE},
		example: "docs/file:///readme.md", other: "'docs/file:///{path}'",
	}
)

// allKinds is what 'server approve' approves.
var allKinds = []adminv1.Kind{
	adminv1.Kind_KIND_TOOL, adminv1.Kind_KIND_PROMPT, adminv1.Kind_KIND_RESOURCE, adminv1.Kind_KIND_TEMPLATE,
	adminv1.Kind_KIND_INSTRUCTIONS,
}

func (c *cli) entryCommand(f *family) *cobra.Command {
	return group(f.name, f.about,
		c.entryList(f), c.entryShow(f), c.entryApprove(f), c.entryReject(f), c.entryDisable(f), c.entryEnable(f),
		c.entryRisk(f))
}

func (c *cli) entryList(f *family) *cobra.Command {
	request := &adminv1.ListToolsRequest{Kinds: f.kinds}
	var state string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the " + f.name + "s",
		Example: "  warder " + f.name + " list --state pending",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if state != "" {
				request.State = adminv1.ToolState(adminv1.ToolState_value["TOOL_STATE_"+strings.ToUpper(state)])
			}
			response, err := c.api().tools.ListTools(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printEntries(w, f.name, response.Msg.GetTools()) })
		},
	}
	cmd.Flags().StringVar(&request.Server, "server", "", "only of this server")
	choose(cmd, &state, "state", "", "only in this state", "pending", "approved", "changed", "rejected")
	return cmd
}

// printEntries writes a table under a heading for the names.
func printEntries(w io.Writer, heading string, entries []*adminv1.Tool) {
	var rows [][]string
	for _, e := range entries {
		rows = append(rows, []string{fullName(e), stateName(e), e.GetRisk(), findingCount(e), short(e.GetDescription(), 60)})
	}
	columns(w, []string{strings.ToUpper(heading), "STATE", "RISK", "FINDINGS", "DESCRIPTION"}, rows)
}

func fullName(e *adminv1.Tool) string { return e.GetServer() + "/" + e.GetName() }

// kindName is "tool" or what else the entry is.
func kindName(e *adminv1.Tool) string { return enumName(e.GetKind(), "KIND_") }

// stateName is the state with what else keeps an entry from clients.
func stateName(e *adminv1.Tool) string {
	name := enumName(e.GetState(), "TOOL_STATE_")
	if e.GetDisabled() {
		name += ", disabled"
	}
	if e.GetMissing() {
		name += ", missing"
	}
	return name
}

func (c *cli) entryShow(f *family) *cobra.Command {
	return &cobra.Command{
		Use:               "show " + f.argument,
		Short:             "Show a " + f.name + " and its definition",
		Args:              exactly(f.argument),
		ValidArgsFunction: c.completeWith(f.names),
		RunE: func(cmd *cobra.Command, args []string) error {
			response, err := c.findEntry(cmd.Context(), f, args[0])
			if err != nil {
				return err
			}
			return c.print(response, func(w io.Writer) { printEntry(w, c.palette(), response.GetTool()) })
		},
	}
}

// findEntry looks the name up among the kinds of the family, in their order. What
// the first answers is said if none has it.
func (c *cli) findEntry(ctx context.Context, f *family, name string) (*adminv1.GetToolResponse, error) {
	var first error
	for _, kind := range f.kinds {
		response, err := c.api().tools.GetTool(ctx, connect.NewRequest(&adminv1.GetToolRequest{Name: name, Kind: kind}))
		if err == nil {
			return response.Msg, nil
		}
		if connect.CodeOf(err) != connect.CodeNotFound {
			return nil, err
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func (c *cli) entryApprove(f *family) *cobra.Command {
	request := &adminv1.ApproveToolsRequest{Kinds: f.kinds}
	var yes bool
	cmd := &cobra.Command{
		Use:   "approve " + f.argument + "… | --all",
		Short: "Approve " + f.name + "s as they stand now",
		Long: "Approve " + f.name + `s as they stand now. Their definitions are pinned: one that changes
afterwards is blocked until it is approved again. Names may be globs. All that a
server offers, of every kind, is approved by 'warder server approve'.

On a terminal it first shows what the scanner found in each and how it differs
from what was approved before, and asks. What has hard findings is approved only
with --accept-findings; --all and globs skip it without.`,
		Example: fmt.Sprintf("  warder %[1]s approve %[2]s %[3]s\n  warder %[1]s approve '%[4]s/*' --reason 'reviewed in SEC-12'\n  warder %[1]s approve --all",
			f.name, f.example, f.other, strings.SplitN(f.example, "/", 2)[0]),
		ValidArgsFunction: c.completeWith(f.names),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && !request.All {
				return usageError(fmt.Errorf("name the %ss to approve, or say --all", f.name))
			}
			if len(args) > 0 && request.All {
				return usageError(fmt.Errorf("name the %ss to approve or say --all, not both", f.name))
			}
			request.Names = args
			if c.asks() && !yes {
				if agreed, err := c.review(cmd.Context(), f, request); err != nil || !agreed {
					return err
				}
			}
			response, err := c.api().tools.ApproveTools(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.printApproved(response.Msg, response.Msg.GetTools())
		},
	}
	approvalFlags(cmd, request, &yes)
	cmd.Flags().BoolVar(&request.All, "all", false, "approve all that wait (pending or changed)")
	cmd.Flags().StringVar(&request.Server, "server", "", "with --all: only those of this server")
	cmd.Flags().StringVar(&request.DefinitionHash, "definition-hash", "", "approve only if the definition still has this hash")
	return cmd
}

// serverApprove approves all that a server offers.
func (c *cli) serverApprove() *cobra.Command {
	request := &adminv1.ApproveToolsRequest{All: true, Kinds: allKinds}
	var yes bool
	cmd := &cobra.Command{
		Use:   "approve NAME",
		Short: "Approve all that a server offers as it stands now, of every kind",
		Long: `Approve all that waits of a server as it stands now: tools, prompts, resources,
resource templates and the instructions. What was rejected stays so; it has to be
named. On a terminal it first shows all of it and what the scanner found, and
asks. What has hard findings is skipped without --accept-findings.`,
		Example:           "  warder server approve github --reason 'reviewed in SEC-12'",
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(serverNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Server = args[0]
			api := c.api()
			// What is approved already is not news.
			before, err := api.tools.ListTools(cmd.Context(), connect.NewRequest(&adminv1.ListToolsRequest{Server: args[0], Kinds: allKinds}))
			if err != nil {
				return err
			}
			if c.asks() && !yes && !c.confirm(waiting(before.Msg.GetTools())) {
				return nil
			}
			response, err := api.tools.ApproveTools(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.printApproved(response.Msg, newlyApproved(before.Msg.GetTools(), response.Msg.GetTools()))
		},
	}
	approvalFlags(cmd, request, &yes)
	return cmd
}

// newlyApproved returns what is approved in after and was not in before.
func newlyApproved(before, after []*adminv1.Tool) (entries []*adminv1.Tool) {
	type key struct {
		kind adminv1.Kind
		name string
	}
	approved := make(map[key]string)
	for _, e := range before {
		if e.GetState() == adminv1.ToolState_TOOL_STATE_APPROVED {
			approved[key{e.GetKind(), e.GetName()}] = e.GetApprovedHash()
		}
	}
	for _, e := range after {
		if e.GetState() == adminv1.ToolState_TOOL_STATE_APPROVED && approved[key{e.GetKind(), e.GetName()}] != e.GetApprovedHash() {
			entries = append(entries, e)
		}
	}
	return entries
}

func (c *cli) entryReject(f *family) *cobra.Command {
	request := &adminv1.RejectToolsRequest{Kinds: f.kinds}
	return c.entryVerb(f, "reject", "Reject "+f.name+"s: they stay blocked", &request.Reason,
		func(ctx context.Context, names []string) error {
			request.Names = names
			response, err := c.api().tools.RejectTools(ctx, connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.printDecided(response.Msg, "Rejected", response.Msg.GetTools())
		})
}

func (c *cli) entryDisable(f *family) *cobra.Command {
	request := &adminv1.DisableToolsRequest{Kinds: f.kinds}
	return c.entryVerb(f, "disable", "Switch "+f.name+"s off, whatever their state", &request.Reason,
		func(ctx context.Context, names []string) error {
			request.Names = names
			response, err := c.api().tools.DisableTools(ctx, connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.printDecided(response.Msg, "Disabled", response.Msg.GetTools())
		})
}

func (c *cli) entryEnable(f *family) *cobra.Command {
	return c.entryVerb(f, "enable", "Switch "+f.name+"s on again", nil,
		func(ctx context.Context, names []string) error {
			request := &adminv1.EnableToolsRequest{Names: names, Kinds: f.kinds}
			response, err := c.api().tools.EnableTools(ctx, connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.printDecided(response.Msg, "Enabled", response.Msg.GetTools())
		})
}

// entryVerb is a verb over named entries, with a reason where it takes one.
func (c *cli) entryVerb(f *family, verb, about string, reason *string, do func(context.Context, []string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:               verb + " " + f.argument + "…",
		Short:             about,
		ValidArgsFunction: c.completeWith(f.names),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError(fmt.Errorf("%s needs the %ss, each as %s", cmd.CommandPath(), f.name, f.argument))
			}
			return do(cmd.Context(), args)
		},
	}
	if reason != nil {
		cmd.Flags().StringVar(reason, "reason", "", "why, for the record")
	}
	return cmd
}

func (c *cli) printDecided(message proto.Message, verb string, entries []*adminv1.Tool) error {
	return c.print(message, func(w io.Writer) {
		if len(entries) == 0 {
			fmt.Fprintln(w, "Nothing to do.")
		}
		for _, e := range entries {
			kind := ""
			if e.GetKind() != adminv1.Kind_KIND_TOOL {
				kind = kindName(e) + " "
			}
			fmt.Fprintf(w, "%s %s%s\n", verb, kind, visible(fullName(e)))
		}
	})
}

// names returns what can be completed.
func (f *family) names(ctx context.Context, a *api) []string {
	response, err := a.tools.ListTools(ctx, connect.NewRequest(&adminv1.ListToolsRequest{Kinds: f.kinds}))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range response.Msg.GetTools() {
		names = append(names, fullName(e))
	}
	return names
}
