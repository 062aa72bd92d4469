package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) serverCommand() *cobra.Command {
	return group("server", "The MCP servers behind the gateway",
		c.serverAdd(), c.serverSet(), c.serverList(), c.serverShow(), c.serverApprove(), c.serverRefresh(), c.serverRemove())
}

func (c *cli) serverAdd() *cobra.Command {
	request := &adminv1.AddServerRequest{}
	var headers, environment []string
	var transport transportFlags
	cmd := &cobra.Command{
		Use:   "add NAME --url URL | add NAME --agent AGENT [-- COMMAND [ARGUMENT]…]",
		Short: "Add a server and discover what it offers",
		Long: `Add a server and discover what it offers: tools, prompts, resources and its
instructions. All of it is pending: nobody sees or uses it until 'warder server
approve', or 'approve' of 'warder tool', 'prompt' and 'resource' one by one. NAME
becomes the prefix of the names.

A server on loopback or a private address needs --private, so that nobody points
the gateway into its own network by mistake.

With --agent, an agent has the server: it runs COMMAND, without a shell, if its own
file allows that; with --url it is an HTTP server beside the agent; with neither, one
that the agent's file declares. By default each session has a process of its own.`,
		Example: `  warder server add everything --url http://127.0.0.1:3001/mcp --private
  warder server add github --url https://api.githubcopilot.com/mcp/ --header "Authorization: Bearer $TOKEN"
  warder server add files --agent laptop -- npx -y @modelcontextprotocol/server-filesystem /srv/notes
  warder server add wiki --agent laptop --url http://127.0.0.1:3001/mcp`,
		Args: beforeDash(exactly("NAME")),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name, request.Command = args[0], args[1:]
			var err error
			if request.Environment, err = parseEnvironment(environment); err != nil {
				return err
			}
			if request.GetAgent() == "" && request.GetUrl() == "" {
				return usageError(errors.New("give --url URL, or --agent AGENT and behind -- the command that it runs"))
			}
			if request.Headers, err = parseHeaders(headers); err != nil {
				return err
			}
			if err := transport.read(cmd); err != nil {
				return err
			}
			request.CaCertificates, request.CallTimeout = transport.authorities, transport.timeout()
			request.MaxInFlight = transport.maxInFlight
			response, err := c.api().servers.AddServer(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			if err := c.print(response.Msg, func(w io.Writer) { printAdded(w, response.Msg) }); err != nil {
				return err
			}
			return discoveryFailed(response.Msg.GetServer())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&request.Url, "url", "", "endpoint of streamable HTTP")
	flags.StringArrayVar(&headers, "header", nil, "`'K: V'` sent with each request to the server; kept sealed, never shown")
	flags.BoolVar(&request.Private, "private", false, "allow a loopback or private address")
	flags.BoolVar(&request.Approve, "approve", false, "approve all that is found now, of every kind, unseen, but for what has hard findings")
	transport.register(flags)
	flags.StringVar(&request.Agent, "agent", "", "the `agent` that has the server")
	flags.StringArrayVar(&environment, "env", nil, "`K=V` set for the command; kept sealed, never shown")
	flags.StringVar(&request.Directory, "dir", "", "`directory` in which the agent runs the command")
	flags.BoolVar(&request.Shared, "shared", false, "one process of the command for all sessions")
	return cmd
}

// beforeDash checks the arguments before --; those behind it are a command.
func beforeDash(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		dash := cmd.ArgsLenAtDash()
		if dash < 0 {
			return check(cmd, args)
		}
		return check(cmd, args[:dash])
	}
}

// parseEnvironment splits each K=V. The value is a secret: no error repeats it.
func parseEnvironment(given []string) (variables []*adminv1.Variable, err error) {
	for _, s := range given {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, usageError(errors.New("--env takes K=V; there is no name before a ="))
		}
		variables = append(variables, &adminv1.Variable{Name: name, Value: value})
	}
	return variables, nil
}

// parseHeaders splits each 'Name: value', or 'Name=value': neither character can
// be in a name, so the first of them parts it. The value is a secret: no error
// repeats it.
func parseHeaders(given []string) (headers []*adminv1.Header, err error) {
	for _, s := range given {
		at := strings.IndexAny(s, ":=")
		if at < 0 || strings.TrimSpace(s[:at]) == "" {
			return nil, usageError(errors.New("--header takes 'Name: value'; there is no name before a colon"))
		}
		headers = append(headers, &adminv1.Header{Name: strings.TrimSpace(s[:at]), Value: strings.TrimSpace(s[at+1:])})
	}
	return headers, nil
}

func printAdded(w io.Writer, m *adminv1.AddServerResponse) {
	s := m.GetServer()
	defer printWarnings(w, s)
	if s.GetState() == adminv1.ServerState_SERVER_STATE_FAILED {
		fmt.Fprintf(w, "Added %s.\n", s.GetName())
		return
	}
	fmt.Fprintf(w, "Added %s: %s, speaks MCP %s.\n", s.GetName(), offer(s), visible(s.GetProtocolVersion()))
	printRefused(w, m.GetDiscovery())
	printOffer(w, m.GetTools(), m.GetOthers())
	if s.GetWaiting() > 0 {
		fmt.Fprintf(w, "\n%d wait for approval: warder server approve %s\n", s.GetWaiting(), s.GetName())
	}
}

// printWarnings says what is to be known of a server's definition.
func printWarnings(w io.Writer, s *adminv1.Server) {
	for _, warning := range s.GetWarnings() {
		fmt.Fprintf(w, "\nWarning: %s.\n", visible(warning))
	}
}

// offer counts what a server offers, for people.
func offer(s *adminv1.Server) string {
	text := counted(s.GetTools(), "tool")
	for _, more := range []struct {
		count int32
		noun  string
	}{{s.GetPrompts(), "prompt"}, {s.GetResources(), "resource"}, {s.GetTemplates(), "resource template"}} {
		if more.count > 0 {
			text += ", " + counted(more.count, more.noun)
		}
	}
	return text
}

// counted is a number of things: "1 tool", "2 tools".
func counted[N ~int | ~int32 | ~int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// printOffer writes what a server offers, a table a kind; of instructions the
// text, for people to read what they approve.
func printOffer(w io.Writer, tools, others []*adminv1.Tool) {
	printEntries(w, "tool", tools)
	byKind := make(map[adminv1.Kind][]*adminv1.Tool)
	for _, e := range others {
		byKind[e.GetKind()] = append(byKind[e.GetKind()], e)
	}
	for _, kind := range allKinds[1:] {
		entries := byKind[kind]
		switch {
		case len(entries) == 0:
		case kind == adminv1.Kind_KIND_INSTRUCTIONS:
			fmt.Fprintf(w, "\nInstructions (%s):\n%s\n", stateName(entries[0]), visible(entries[0].GetDescription()))
		default:
			fmt.Fprintln(w)
			printEntries(w, enumName(kind, "KIND_"), entries)
		}
	}
}

func printRefused(w io.Writer, report *adminv1.DiscoveryReport) {
	for _, failed := range report.GetFailed() {
		fmt.Fprintf(w, "Not listed: %s\n", visible(failed))
	}
	for _, refused := range report.GetRefused() {
		fmt.Fprintf(w, "Refused: %s\n", visible(refused))
	}
}

// discoveryFailed is the error of a server that was saved but did not answer.
func discoveryFailed(s *adminv1.Server) error {
	if s.GetState() != adminv1.ServerState_SERVER_STATE_FAILED {
		return nil
	}
	return &exitCodeError{exitUnavailable, codeUndiscovered, fmt.Errorf(
		"%s is saved, but what it offers could not be discovered: %s; when that is put right: warder server refresh %s",
		s.GetName(), s.GetLastError(), s.GetName())}
}

func (c *cli) serverList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the servers",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().servers.ListServers(cmd.Context(), connect.NewRequest(&adminv1.ListServersRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printServers(w, response.Msg.GetServers()) })
		},
	}
}

func printServers(w io.Writer, servers []*adminv1.Server) {
	var rows [][]string
	for _, s := range servers {
		rows = append(rows, []string{
			s.GetName(), enumName(s.GetState(), "SERVER_STATE_"), s.GetProtocolVersion(),
			strconv.Itoa(int(s.GetTools())), strconv.Itoa(int(s.GetPrompts())), strconv.Itoa(int(s.GetResources() + s.GetTemplates())),
			strconv.Itoa(int(s.GetWaiting())), whereabouts(s),
		})
	}
	columns(w, []string{"NAME", "STATE", "MCP", "TOOLS", "PROMPTS", "RESOURCES", "WAITING", "WHERE"}, rows)
	for _, s := range servers {
		if s.GetLastError() != "" {
			fmt.Fprintf(w, "\n%s: %s\n", s.GetName(), visible(s.GetLastError()))
			fmt.Fprintf(w, "  failing since %s\n", failing(s))
		}
		if why := outOfOrder(s); why != "" && !strings.Contains(s.GetLastError(), s.GetProcess().GetLastError()) {
			fmt.Fprintf(w, "\n%s: %s\n", s.GetName(), visible(why))
		}
	}
}

// outOfOrder says what keeps the agent from running a server; empty: nothing that it
// reports.
func outOfOrder(s *adminv1.Server) string {
	switch p := s.GetProcess(); p.GetPhase() {
	case "refused", "waiting":
		return fmt.Sprintf("on the agent %s it is %s: %s", s.GetAgent(), p.GetPhase(), p.GetLastError())
	}
	return ""
}

// processOf says what an agent runs for a server; empty: nothing is known of it.
func processOf(p *adminv1.AgentServer) string {
	if p.GetPhase() == "" {
		return ""
	}
	words := []string{p.GetPhase()}
	if p.GetPid() != 0 {
		words = append(words, fmt.Sprintf("pid %d", p.GetPid()), "started "+ago(p.GetStartedAt()))
	}
	if p.GetProcesses() > 1 {
		words = append(words, fmt.Sprintf("%d processes", p.GetProcesses()))
	}
	if p.GetRestarts() > 0 {
		words = append(words, fmt.Sprintf("started again %d times", p.GetRestarts()))
	}
	if p.GetLastError() != "" {
		words = append(words, "last error: "+p.GetLastError())
	}
	if p.GetLastLine() != "" {
		words = append(words, "last line: "+p.GetLastLine())
	}
	return strings.Join(words, ", ")
}

// agentOf names the agent of a server, and says whether it is there.
func agentOf(s *adminv1.Server) string {
	if s.GetAgentState() == "" {
		return s.GetAgent()
	}
	return s.GetAgent() + " (" + s.GetAgentState() + ")"
}

// whereabouts says where a server is: its URL, or its agent and what that has.
func whereabouts(s *adminv1.Server) string {
	if s.GetAgent() == "" {
		return s.GetUrl()
	}
	what := s.GetUrl()
	switch {
	case s.GetDeclared():
		what = "declared there"
	case len(s.GetCommand()) > 0:
		what = strings.Join(s.GetCommand(), " ")
	}
	return agentOf(s) + ": " + what
}

// failing says since when a server fails and when it was last looked at; empty if
// it does not fail.
func failing(s *adminv1.Server) string {
	if s.GetFailingSince() == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s), last tried %s; it is tried again by itself", clock(s.GetFailingSince()), ago(s.GetFailingSince()), ago(s.GetCheckedAt()))
}

func (c *cli) serverShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show NAME",
		Short:             "Show a server and what it offers",
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(serverNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			response, err := c.api().servers.GetServer(cmd.Context(), connect.NewRequest(&adminv1.GetServerRequest{Name: args[0]}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				s := response.Msg.GetServer()
				facts(w, "Name", s.GetName(), "URL", s.GetUrl(), "Private", strconv.FormatBool(s.GetPrivate()),
					"Headers", strings.Join(s.GetHeaderNames(), ", "), "Agent", agentOf(s), "Process", processOf(s.GetProcess()), "Command", strings.Join(s.GetCommand(), " "),
					"Environment", strings.Join(s.GetEnvironmentNames(), ", "), "Directory", s.GetDirectory(), "Shared", shared(s), "State", enumName(s.GetState(), "SERVER_STATE_"),
					"Calls itself", s.GetClaimedName(), "MCP", s.GetProtocolVersion(), "Capabilities", s.GetCapabilities(), "Authorities", authorities(s),
					"Call timeout", timeout(s), "Calls at a time", atATime(s),
					"Discovered", ago(s.GetDiscoveredAt()), "Last error", s.GetLastError(), "Failing since", failing(s))
				fmt.Fprintln(w)
				printOffer(w, response.Msg.GetTools(), response.Msg.GetOthers())
				printWarnings(w, s)
			})
		},
	}
}

// shared says how an agent runs a server; empty: it does not.
func shared(s *adminv1.Server) string {
	if len(s.GetCommand()) == 0 {
		return ""
	}
	return strconv.FormatBool(s.GetShared())
}

func (c *cli) serverRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME",
		Aliases:           []string{"rm"},
		Short:             "Remove a server and what it offers; the audit stays",
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(serverNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			response, err := c.api().servers.RemoveServer(cmd.Context(), connect.NewRequest(&adminv1.RemoveServerRequest{Name: args[0]}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { fmt.Fprintf(w, "Removed %s.\n", args[0]) })
		},
	}
}

func (c *cli) serverRefresh() *cobra.Command {
	return &cobra.Command{
		Use:               "refresh NAME",
		Short:             "Discover what a server offers again",
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(serverNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			response, err := c.api().servers.RefreshServer(cmd.Context(), connect.NewRequest(&adminv1.RefreshServerRequest{Name: args[0]}))
			if err != nil {
				return err
			}
			if err := c.print(response.Msg, func(w io.Writer) { printReport(w, args[0], response.Msg.GetDiscovery()) }); err != nil {
				return err
			}
			return discoveryFailed(response.Msg.GetServer())
		},
	}
}

func printReport(w io.Writer, server string, report *adminv1.DiscoveryReport) {
	if report == nil {
		return
	}
	fmt.Fprintf(w, "%s: %d unchanged\n", server, report.GetUnchanged())
	for _, part := range []struct {
		word  string
		names []string
	}{{"new, pending", report.GetAdded()}, {"changed, blocked", report.GetChanged()}, {"missing, blocked", report.GetMissing()}} {
		for _, name := range part.names {
			fmt.Fprintf(w, "  %s (%s)\n", visible(name), part.word)
		}
	}
	printRefused(w, report)
}

func serverNames(ctx context.Context, a *api) []string {
	response, err := a.servers.ListServers(ctx, connect.NewRequest(&adminv1.ListServersRequest{}))
	if err != nil {
		return nil
	}
	var names []string
	for _, s := range response.Msg.GetServers() {
		names = append(names, s.GetName())
	}
	return names
}
