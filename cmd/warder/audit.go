package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) auditCommand() *cobra.Command {
	return group("audit", "The ledger: every call, once", c.auditList(), c.auditTail(), c.auditChanges())
}

// decisions and outcomes are what a call can have; proto/warder/admin/v1/audit.proto
// has the same.
var (
	decisions = []string{"allow", "deny"}
	outcomes  = []string{"ok", "tool_error", "protocol_error", "input_required", "server_failed", "cancelled", "refused", "running", "unknown"}
)

// filterFlags adds the flags that narrow a list of calls.
func filterFlags(cmd *cobra.Command, filter *adminv1.CallFilter) {
	flags := cmd.Flags()
	flags.StringVar(&filter.User, "user", "", "only of this user")
	flags.StringVar(&filter.Application, "application", "", "only of this application")
	flags.StringVar(&filter.Tool, "tool", "", "only of this SERVER/TOOL, or of this SERVER")
	choose(cmd, &filter.Decision, "decision", "", "only decided so", decisions...)
	choose(cmd, &filter.Outcome, "outcome", "", "only that ended so", outcomes...)
}

func (c *cli) auditList() *cobra.Command {
	filter := &adminv1.CallFilter{}
	var limit int
	var since string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List calls, newest first",
		Example: "  warder audit list --user ana --decision deny --since 24h",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since != "" {
				d, err := days(since)
				if err != nil {
					return usageError(fmt.Errorf("--since: %w", err))
				}
				filter.Since = timestamppb.New(time.Now().Add(-d))
			}
			calls, err := listCalls(cmd.Context(), c.api(), filter, limit)
			if err != nil {
				return err
			}
			return c.print(calls, func(w io.Writer) { printCalls(w, calls.GetCalls()) })
		},
	}
	count(cmd.Flags(), &limit, "limit", 50, 1, 100_000, "how many at most")
	cmd.Flags().StringVar(&since, "since", "", "only of the last span of time, for example 24h or 7d")
	filterFlags(cmd, filter)
	return cmd
}

// listCalls reads pages until limit calls are there or none are left. Its
// next_page_token leads on from the last call only if the limit was met.
func listCalls(ctx context.Context, a *api, filter *adminv1.CallFilter, limit int) (*adminv1.ListCallsResponse, error) {
	all := &adminv1.ListCallsResponse{}
	for {
		response, err := a.audit.ListCalls(ctx, connect.NewRequest(&adminv1.ListCallsRequest{
			Filter: filter, PageSize: int32(min(limit-len(all.GetCalls()), 1000)), PageToken: all.GetNextPageToken(),
		}))
		if err != nil {
			return nil, err
		}
		all.Calls = append(all.Calls, response.Msg.GetCalls()...)
		all.NextPageToken = response.Msg.GetNextPageToken()
		if all.GetNextPageToken() == "" || len(all.GetCalls()) >= limit {
			return all, nil
		}
	}
}

// methodWidth has room for each method that MCP has. What was refused may have
// another one, as long as its client likes.
const methodWidth = 24

var callHeadings = []string{"TIME", "USER", "APPLICATION", "METHOD", "CALL", "DECISION", "BY", "OUTCOME", "LATENCY"}

func printCalls(w io.Writer, calls []*adminv1.Call) {
	var rows [][]string
	for _, call := range calls {
		rows = append(rows, callRow(call))
	}
	columns(w, callHeadings, rows)
}

func callRow(call *adminv1.Call) []string {
	latency := ""
	if call.GetLatency() != nil {
		latency = call.GetLatency().AsDuration().Round(10 * time.Microsecond).String()
	}
	return []string{clock(call.GetAt()), call.GetUser(), call.GetApplication(), short(call.GetMethod(), methodWidth), callName(call),
		call.GetDecision(), call.GetRule(), outcomeName(call), latency}
}

// callName is what a call is about; a method that names nothing has none.
func callName(call *adminv1.Call) string {
	if call.GetServer() != "" {
		return call.GetServer() + "/" + call.GetTool()
	}
	return call.GetTool()
}

func outcomeName(call *adminv1.Call) string {
	if call.GetSuppressed() > 0 {
		return fmt.Sprintf("%s (and %d more)", call.GetOutcome(), call.GetSuppressed())
	}
	return call.GetOutcome()
}

func (c *cli) auditTail() *cobra.Command {
	request := &adminv1.TailCallsRequest{Filter: &adminv1.CallFilter{}}
	var follow bool
	cmd := &cobra.Command{
		Use:   "tail [-f]",
		Short: "Show the latest calls; with -f, go on as they come",
		Long: `Show the latest calls, oldest first; with -f, go on as they come, until Ctrl-C.
With -o json each call is one line.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !follow {
				return c.tailOnce(cmd.Context(), request)
			}
			return c.tailOn(cmd.Context(), request)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	count(cmd.Flags(), &request.Backlog, "backlog", 10, 0, 1000, "how many earlier calls to show first")
	filterFlags(cmd, request.Filter)
	return cmd
}

func (c *cli) tailOnce(ctx context.Context, request *adminv1.TailCallsRequest) error {
	if request.GetBacklog() < 1 {
		return usageError(errors.New("without -f, --backlog is at least 1"))
	}
	calls, err := listCalls(ctx, c.api(), request.GetFilter(), int(request.GetBacklog()))
	if err != nil {
		return err
	}
	for i := len(calls.GetCalls()) - 1; i >= 0; i-- {
		if err := c.printTailed(calls.GetCalls()[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) tailOn(ctx context.Context, request *adminv1.TailCallsRequest) error {
	stream, err := c.api().audit.TailCalls(ctx, connect.NewRequest(request))
	if err != nil {
		return withoutLayers(err)
	}
	defer stream.Close()
	for stream.Receive() {
		if call := stream.Msg().GetCall(); call != nil {
			if err := c.printTailed(call); err != nil {
				return err
			}
		}
	}
	if err := stream.Err(); err != nil && ctx.Err() == nil {
		return withoutLayers(err)
	}
	return ctx.Err()
}

// printTailed writes one call as one line; widths are fixed, as later lines are
// not known yet.
func (c *cli) printTailed(call *adminv1.Call) error {
	if c.output == "json" {
		return c.printJSON(call, false)
	}
	row := callRow(call)
	reason := ""
	if call.GetDecision() == "deny" || call.GetError() != "" {
		reason = "  " + strings.TrimSpace(call.GetReason()+" "+call.GetError())
	}
	line := fmt.Sprintf("%s  %-5s  %-14s  %-12s  %-24s  %-32s  %-14s  %10s%s", row[0], row[5], row[1], row[2], row[3], row[4], row[7], row[8], reason)
	_, err := fmt.Fprintln(c.stdout, visible(line))
	return err
}

func (c *cli) auditChanges() *cobra.Command {
	request := &adminv1.ListChangesRequest{PageSize: 50}
	cmd := &cobra.Command{
		Use:   "changes",
		Short: "List what administrators changed, newest first",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().audit.ListChanges(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				var rows [][]string
				for _, change := range response.Msg.GetChanges() {
					rows = append(rows, []string{clock(change.GetAt()), change.GetActor(), change.GetAction(), change.GetTarget(), short(change.GetDetail(), 80)})
				}
				columns(w, []string{"TIME", "WHO", "ACTION", "TARGET", "DETAIL"}, rows)
			})
		},
	}
	count(cmd.Flags(), &request.PageSize, "limit", 50, 1, 1000, "how many at most")
	return cmd
}
