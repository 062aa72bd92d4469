package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) policySimulate() *cobra.Command {
	request := &adminv1.SimulatePolicyRequest{Filter: &adminv1.CallFilter{}}
	var file, since string
	var exitCode bool
	cmd := &cobra.Command{
		Use:   "simulate -f FILE | --version N",
		Short: "Decide recorded calls again, and show which would be decided otherwise",
		Long: `Decide recorded calls again, under a file or a version, and show which would be
decided otherwise. Callers have the roles and groups of then; what roles grant and
which risk category a tool has is as today. Conditions on arguments are open: the
ledger has digests of arguments only. Nothing is called and nothing changes.`,
		Example: `  warder policy simulate -f policy.yaml --since 24h
  warder policy simulate --version 3 --since 7d --user ana --tool github`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (file == "") == !cmd.Flags().Changed("version") {
				return usageError(errors.New("say under what calls are decided: one of --file and --version (0: the one in force)"))
			}
			span, err := days(since)
			if err != nil {
				return usageError(fmt.Errorf("--since: %w", err))
			}
			request.Filter.Since = timestamppb.New(time.Now().Add(-span))
			if file != "" {
				if request.Document, err = c.readFile(file); err != nil {
					return err
				}
			}
			response, err := c.api().policy.SimulatePolicy(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return c.refusal(cmd.Context(), listing{file, request.Document, c.colour()}, err)
			}
			m := response.Msg
			err = c.print(m, func(w io.Writer) { printSimulation(w, m) })
			if flips := m.GetNowDenied() + m.GetNowAllowed(); err == nil && exitCode && flips > 0 {
				err = checkFailed("%d calls would be decided otherwise", flips)
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&file, "file", "f", "", "the policy file; - for standard input")
	flags.Int64Var(&request.Version, "version", 0, "a version of the policy; 0: the one in force")
	flags.StringVar(&since, "since", "24h", "the calls of the last span of time, for example 24h or 7d")
	count(flags, &request.MaxCalls, "max-calls", 100_000, 1, 1_000_000, "how many at most, newest first")
	flags.BoolVar(&exitCode, "exit-code", false, "fail (exit 3) if a call would be decided otherwise")
	filterFlags(cmd, request.Filter)
	return cmd
}

func printSimulation(w io.Writer, m *adminv1.SimulatePolicyResponse) {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	facts(w, "Calls", number(m.GetCalls()), "As before", number(m.GetUnchanged()), "Now denied", number(m.GetNowDenied()),
		"Now allowed", number(m.GetNowAllowed()), "Open", number(m.GetOpen())+" (depend on arguments, which are not recorded)",
		"Aside", number(m.GetAside())+" (not decided by rules and roles)", "Oldest", clock(m.GetOldestAt()))
	if m.GetTruncated() {
		fmt.Fprintln(w, "There are older calls that were not decided again; see --max-calls.")
	}
	if len(m.GetFlips()) == 0 {
		return
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, f := range m.GetFlips() {
		after := f.GetAfter() + " (" + f.GetAfterRule() + ")"
		if f.GetOpen() {
			after = "open"
		}
		rows = append(rows, []string{number(f.GetCalls()), f.GetUser(), f.GetApplication(), short(f.GetMethod(), methodWidth),
			f.GetServer() + "/" + f.GetTool(), f.GetBefore() + " (" + f.GetBeforeRule() + ")", after, ago(f.GetLastAt()), f.GetExampleId()})
	}
	columns(w, []string{"CALLS", "USER", "APPLICATION", "METHOD", "CALL", "BEFORE", "NOW", "LAST", "EXAMPLE"}, rows)
	if m.GetUnlisted() > 0 {
		fmt.Fprintf(w, "and %d calls of other kinds\n", m.GetUnlisted())
	}
}
