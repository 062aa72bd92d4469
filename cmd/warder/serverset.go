package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// maxAuthorities bounds what is read of a file of certificates, in bytes; the API
// has the same bound.
const maxAuthorities = 256 << 10

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
	flags.Int32Var(&t.maxInFlight, "max-in-flight", 0, "how many calls the server may have at a time, per node (0: the node's own bound)")
}

// read reads the file of authorities and looks at the values.
func (t *transportFlags) read(cmd *cobra.Command) error {
	if t.callTimeout < 0 || t.callTimeout > 0 && t.callTimeout < time.Millisecond {
		return usageError(fmt.Errorf("--call-timeout %s: give a time of at least 1ms, for example 30s", t.callTimeout))
	}
	if t.maxInFlight < 0 {
		return usageError(fmt.Errorf("--max-in-flight %d: give a number of calls; 0 is the node's own bound", t.maxInFlight))
	}
	if !cmd.Flags().Changed("ca-file") || t.caFile == "" {
		return nil
	}
	file, err := os.Open(t.caFile)
	if err != nil {
		return usageError(fmt.Errorf("open the file of authorities: %w", err))
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxAuthorities+1))
	if err != nil {
		return fmt.Errorf("read the file of authorities: %w", err)
	}
	if len(data) > maxAuthorities {
		return usageError(fmt.Errorf("%s is larger than %d bytes", t.caFile, maxAuthorities))
	}
	if len(data) == 0 {
		return usageError(fmt.Errorf("%s is empty; --ca-file '' means the authorities of the system", t.caFile))
	}
	t.authorities = string(data)
	return nil
}

// timeout is nil where the node's own bound is meant.
func (t *transportFlags) timeout() *durationpb.Duration {
	if t.callTimeout == 0 {
		return nil
	}
	return durationpb.New(t.callTimeout)
}

func (c *cli) serverSet() *cobra.Command {
	var transport transportFlags
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change how a server is spoken to",
		Long: `Change how a server is spoken to. What is not given stays as it is. With other
authorities, what the server offers is discovered again.`,
		Example: `  warder server set wiki --ca-file corp-ca.pem
  warder server set wiki --call-timeout 2m --max-in-flight 16`,
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(serverNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := transport.read(cmd); err != nil {
				return err
			}
			request := &adminv1.UpdateServerRequest{Name: args[0]}
			if cmd.Flags().Changed("ca-file") {
				request.CaCertificates = new(transport.authorities)
			}
			if cmd.Flags().Changed("call-timeout") {
				request.CallTimeout = durationpb.New(transport.callTimeout)
			}
			if cmd.Flags().Changed("max-in-flight") {
				request.MaxInFlight = new(transport.maxInFlight)
			}
			response, err := c.api().servers.UpdateServer(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			if err := c.print(response.Msg, func(w io.Writer) { printUpdated(w, response.Msg) }); err != nil {
				return err
			}
			if request.CaCertificates == nil {
				return nil
			}
			return discoveryFailed(response.Msg.GetServer())
		},
	}
	transport.register(cmd.Flags())
	return cmd
}

func printUpdated(w io.Writer, m *adminv1.UpdateServerResponse) {
	s := m.GetServer()
	fmt.Fprintf(w, "Changed %s.\n", s.GetName())
	facts(w, "Authorities", authorities(s), "Call timeout", timeout(s), "Calls at a time", atATime(s))
	printReport(w, s.GetName(), m.GetDiscovery())
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
	return s.GetCallTimeout().AsDuration().String()
}

func atATime(s *adminv1.Server) string {
	if s.GetMaxInFlight() == 0 {
		return ""
	}
	return strconv.Itoa(int(s.GetMaxInFlight()))
}
