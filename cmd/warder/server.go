package main

import (
	"context"
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
		c.serverAdd(), c.serverList(), c.serverShow(), c.serverRemove(), c.serverRefresh())
}

func (c *cli) serverAdd() *cobra.Command {
	request := &adminv1.AddServerRequest{}
	var headers []string
	cmd := &cobra.Command{
		Use:   "add NAME --url URL",
		Short: "Add a server and discover its tools",
		Long: `Add a server and discover its tools. The tools are pending: nobody sees or calls
them until 'warder tool approve'. NAME becomes the prefix of their names.

A server on loopback or a private address needs --private, so that nobody points
the gateway into its own network by mistake.`,
		Example: `  warder server add everything --url http://127.0.0.1:3001/mcp --private
  warder server add github --url https://api.githubcopilot.com/mcp/ --header "Authorization: Bearer $TOKEN"`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name = args[0]
			for _, h := range headers {
				header, err := parseHeader(h)
				if err != nil {
					return err
				}
				request.Headers = append(request.Headers, header)
			}
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
	flags.BoolVar(&request.Approve, "approve", false, "approve the tools found now, unseen")
	_ = cmd.MarkFlagRequired("url")
	return cmd
}

// parseHeader splits 'K: V'. The value is a secret: no error repeats it.
func parseHeader(s string) (*adminv1.Header, error) {
	name, value, ok := strings.Cut(s, ":")
	if !ok || strings.TrimSpace(name) == "" {
		return nil, usageError(fmt.Errorf("--header takes 'Name: value'; there is no name before a colon"))
	}
	return &adminv1.Header{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)}, nil
}

func printAdded(w io.Writer, m *adminv1.AddServerResponse) {
	s := m.GetServer()
	if s.GetState() != adminv1.ServerState_SERVER_STATE_READY {
		fmt.Fprintf(w, "Added %s.\n", s.GetName())
		return
	}
	fmt.Fprintf(w, "Added %s: %d tools, speaks MCP %s.\n", s.GetName(), len(m.GetTools()), visible(s.GetProtocolVersion()))
	printRefused(w, m.GetDiscovery())
	printTools(w, m.GetTools())
	if s.GetToolsPending() > 0 {
		fmt.Fprintf(w, "\n%d wait for approval: warder tool approve '%s/*'\n", s.GetToolsPending(), s.GetName())
	}
}

func printRefused(w io.Writer, report *adminv1.DiscoveryReport) {
	for _, refused := range report.GetRefused() {
		fmt.Fprintf(w, "Refused: %s\n", visible(refused))
	}
}

// discoveryFailed is the error of a server that was saved but did not answer.
func discoveryFailed(s *adminv1.Server) error {
	if s.GetState() != adminv1.ServerState_SERVER_STATE_FAILED {
		return nil
	}
	return connect.NewError(connect.CodeUnavailable, fmt.Errorf(
		"%s is saved, but its tools could not be discovered: %s; when that is put right: warder server refresh %s",
		s.GetName(), s.GetLastError(), s.GetName()))
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
			strconv.Itoa(int(s.GetTools())), strconv.Itoa(int(s.GetToolsPending() + s.GetToolsChanged())), s.GetUrl(),
		})
	}
	columns(w, []string{"NAME", "STATE", "MCP", "TOOLS", "WAITING", "URL"}, rows)
}

func (c *cli) serverShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show NAME",
		Short:             "Show a server and its tools",
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
					"Headers", strings.Join(s.GetHeaderNames(), ", "), "State", enumName(s.GetState(), "SERVER_STATE_"),
					"MCP", s.GetProtocolVersion(), "Discovered", ago(s.GetDiscoveredAt()), "Last error", s.GetLastError())
				fmt.Fprintln(w)
				printTools(w, response.Msg.GetTools())
			})
		},
	}
}

func (c *cli) serverRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME",
		Aliases:           []string{"rm"},
		Short:             "Remove a server and its tools; the audit stays",
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
		Short:             "Discover a server's tools again",
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
