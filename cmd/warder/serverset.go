package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/warder-gateway/warder/internal/policy"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// maxAuthorities bounds what is read of a file of certificates, in bytes; the API
// has the same bound.
const maxAuthorities = 256 << 10

// The bounds of the API for a server; see proto/warder/admin/v1/server.proto.
const (
	maxCallTimeout = time.Hour
	maxInFlight    = 100_000
)

// transportFlags say how a server is spoken to.
type transportFlags struct {
	caFile      string
	callTimeout time.Duration
	maxInFlight int32

	authorities string // what the file holds
}

func (t *transportFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&t.caFile, "ca-file", "", "PEM `file` of the authorities that sign for the server, in place of those of the system")
	flags.DurationVar(&t.callTimeout, "call-timeout", 0, "how long a call may take, for example 2m (0: the node's own bound)")
	count(flags, &t.maxInFlight, "max-in-flight", 0, 0, maxInFlight, "how many calls the server may have at a time, per node (0: the node's own bound)")
}

// read reads the file of authorities and looks at the values.
func (t *transportFlags) read(cmd *cobra.Command) error {
	if t.callTimeout < 0 || t.callTimeout > 0 && t.callTimeout < time.Millisecond || t.callTimeout > maxCallTimeout {
		return usageError(fmt.Errorf("--call-timeout %s: it is a time from 1ms to %s, for example 30s; 0 is the node's own bound", t.callTimeout, maxCallTimeout))
	}
	if !cmd.Flags().Changed("ca-file") || t.caFile == "" {
		return nil
	}
	var err error
	t.authorities, err = readAuthorities(t.caFile)
	return err
}

// readAuthorities reads a file of certificates. What it holds is judged by the API;
// what is no PEM is told apart here, where the file has a name.
func readAuthorities(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", usageError(fmt.Errorf("--ca-file: %w", err))
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxAuthorities+1))
	if err != nil {
		return "", usageError(fmt.Errorf("--ca-file: %w", err))
	}
	block, _ := pem.Decode(data)
	switch {
	case len(data) > maxAuthorities:
		return "", usageError(fmt.Errorf("--ca-file %s is larger than %d bytes; give only the authorities that sign for this server", name, maxAuthorities))
	case len(data) == 0:
		return "", usageError(fmt.Errorf("--ca-file %s is empty; --ca-file '' means the authorities of the system", name))
	case block == nil && isDER(data):
		return "", usageError(fmt.Errorf("--ca-file %s is a certificate in DER; make PEM of it: openssl x509 -inform der -in %s -out ca.pem", name, name))
	case block == nil:
		return "", usageError(fmt.Errorf("--ca-file %s is no PEM: it has no line -----BEGIN CERTIFICATE-----; give the certificate of the authority that signs for the server", name))
	case strings.Contains(block.Type, "PRIVATE KEY"):
		return "", usageError(fmt.Errorf("--ca-file %s holds a private key, which belongs to the authority alone; give its certificate", name))
	case block.Type != "CERTIFICATE":
		return "", usageError(fmt.Errorf("--ca-file %s begins with a %s, not with a certificate; give the certificate of the authority that signs for the server", name, visible(block.Type)))
	}
	return string(data), nil
}

// isDER reports whether data is one certificate without PEM around it.
func isDER(data []byte) bool {
	_, err := x509.ParseCertificate(data)
	return err == nil
}

// timeout is nil where the node's own bound is meant.
func (t *transportFlags) timeout() *durationpb.Duration {
	if t.callTimeout == 0 {
		return nil
	}
	return durationpb.New(t.callTimeout)
}

func (c *cli) serverSet() *cobra.Command {
	var settings serverSettings
	cmd := &cobra.Command{
		Use:   "set NAME [-- COMMAND [ARGUMENT]…]",
		Short: "Change where a server is, what runs there, and how it is spoken to",
		Long: `Change where a server is, what runs there, and how it is spoken to. What is not
given stays as it is; a URL takes the place of a command, and a command that of a URL.
Where that may change what the server offers, it is discovered again at once. What was
approved stays pinned: a tool that has another definition there is changed, and blocked
until it is approved again. Of a server with another agent or command, nothing is
offered until it was discovered there.

A header that was given for one host is not sent to another one, and a variable that was
given for one program is not told to another, nor to another agent: give each anew or
remove it.`,
		Example: `  warder server set wiki --url https://wiki.corp/mcp --header "Authorization: Bearer $TOKEN"
  warder server set wiki --remove-header X-Tenant
  warder server set wiki --ca-file corp-ca.pem
  warder server set files --env LOG=debug --remove-env TOKEN
  warder server set files --agent desktop
  warder server set files --shared -- npx -y @modelcontextprotocol/server-filesystem@2025.8.21 /srv/notes
  warder server set wiki --call-timeout 2m --max-in-flight 16`,
		Args:              beforeDash(exactly("NAME")),
		ValidArgsFunction: c.completeWith(serverNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := settings.request(cmd, args[0], args[1:])
			if err != nil {
				return err
			}
			response, err := c.api().servers.UpdateServer(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			if err := c.print(response.Msg, func(w io.Writer) { printUpdated(w, response.Msg) }); err != nil {
				return err
			}
			if len(request.GetCommand()) == 0 && !slices.ContainsFunc(discoveredAfter, cmd.Flags().Changed) {
				return nil
			}
			return discoveryFailed(response.Msg.GetServer())
		},
	}
	settings.register(cmd.Flags())
	return cmd
}

// serverSettings are the flags of 'server set'.
type serverSettings struct {
	transportFlags
	url     string
	private bool
	headers []string
	remove  []string
	env     []string
	unset   []string
	agent   string
	dir     string
	shared  bool
}

// discoveredAfter are the flags of 'server set' after which a server is discovered
// again; settable are all of them.
var (
	discoveredAfter = []string{"url", "private", "header", "remove-header", "ca-file", "env", "remove-env", "agent", "dir", "shared"}
	settable        = append(slices.Clone(discoveredAfter), "call-timeout", "max-in-flight")
)

func (s *serverSettings) register(flags *pflag.FlagSet) {
	flags.StringVar(&s.url, "url", "", "endpoint of streamable HTTP")
	flags.BoolVar(&s.private, "private", false, "allow a loopback or private address (--private=false: no more)")
	flags.StringArrayVar(&s.headers, "header", nil, "`'K: V'` to be sent with each request, in the place of one with the same name; kept sealed, never shown")
	flags.StringArrayVar(&s.remove, "remove-header", nil, "the `name` of a header that is sent no more; may be given again")
	flags.StringArrayVar(&s.env, "env", nil, "`K=V` set for the command that an agent runs, in the place of one with the same name; kept sealed, never shown")
	flags.StringArrayVar(&s.unset, "remove-env", nil, "the `name` of a variable that is set no more; may be given again")
	flags.StringVar(&s.agent, "agent", "", "the `agent` that has the server from now on ('': none, nodes reach it by its URL)")
	flags.StringVar(&s.dir, "dir", "", "`directory` in which the agent runs the command ('': its own)")
	flags.BoolVar(&s.shared, "shared", false, "one process of the command for all sessions (--shared=false: one for each)")
	s.transportFlags.register(flags)
}

// request says what to change. It is a mistake to say nothing.
func (s *serverSettings) request(cmd *cobra.Command, name string, command []string) (*adminv1.UpdateServerRequest, error) {
	changed := cmd.Flags().Changed
	if !slices.ContainsFunc(settable, changed) && len(command) == 0 {
		return nil, usageError(fmt.Errorf("warder server set %s: say what to change with --%s, or behind -- with a command", name, strings.Join(settable, ", --")))
	}
	if changed("url") && len(command) > 0 {
		return nil, usageError(fmt.Errorf("warder server set %s: a server has a URL or a command, not both: give --url, or the command behind --", name))
	}
	if err := s.read(cmd); err != nil {
		return nil, err
	}
	request := &adminv1.UpdateServerRequest{Name: name, RemoveHeaders: s.remove, RemoveEnvironment: s.unset, Command: command}
	var err error
	if request.Environment, err = parseEnvironment(s.env); err != nil {
		return nil, err
	}
	if request.Headers, err = parseHeaders(s.headers); err != nil {
		return nil, err
	}
	if changed("url") {
		request.Url = new(s.url)
	}
	if changed("private") {
		request.Private = new(s.private)
	}
	if changed("ca-file") {
		request.CaCertificates = new(s.authorities)
	}
	if changed("agent") {
		request.Agent = new(s.agent)
	}
	if changed("dir") {
		request.Directory = new(s.dir)
	}
	if changed("shared") {
		request.Shared = new(s.shared)
	}
	if changed("call-timeout") {
		request.CallTimeout = durationpb.New(s.callTimeout)
	}
	if changed("max-in-flight") {
		request.MaxInFlight = new(s.maxInFlight)
	}
	return request, nil
}

func printUpdated(w io.Writer, m *adminv1.UpdateServerResponse) {
	s := m.GetServer()
	fmt.Fprintf(w, "Changed %s.\n", s.GetName())
	facts(w, "Where", whereabouts(s), "Directory", s.GetDirectory(), "Shared", shared(s), "Headers", strings.Join(s.GetHeaderNames(), ", "),
		"Environment", strings.Join(s.GetEnvironmentNames(), ", "), "Authorities", authorities(s), "Call timeout", timeout(s), "Calls at a time", atATime(s))
	printReport(w, s.GetName(), m.GetDiscovery())
	printWarnings(w, s)
}

// authorities says whose signature counts for a server; empty: the system's.
func authorities(s *adminv1.Server) string {
	if s.GetCaCertificates() == "" {
		return ""
	}
	return "of its own"
}

func timeout(s *adminv1.Server) string {
	if s.GetCallTimeout() == nil {
		return ""
	}
	return policy.Span(s.GetCallTimeout().AsDuration())
}

func atATime(s *adminv1.Server) string {
	if s.GetMaxInFlight() == 0 {
		return ""
	}
	return strconv.Itoa(int(s.GetMaxInFlight()))
}
