package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/localsock"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

// api is the admin API of the running instance.
type api struct {
	servers      adminv1connect.ServerServiceClient
	tools        adminv1connect.ToolServiceClient
	users        adminv1connect.UserServiceClient
	roles        adminv1connect.RoleServiceClient
	login        adminv1connect.LoginServiceClient
	applications adminv1connect.ApplicationServiceClient
	keys         adminv1connect.KeyServiceClient
	denials      adminv1connect.DenialServiceClient
	issuers      adminv1connect.IssuerServiceClient
	secrets      adminv1connect.SecretServiceClient
	alerts       adminv1connect.AlertServiceClient
	policy       adminv1connect.PolicyServiceClient
	audit        adminv1connect.AuditServiceClient
	nodes        adminv1connect.NodeServiceClient
	agents       adminv1connect.AgentServiceClient
	enrollment   adminv1connect.EnrollmentServiceClient
	sealKeys     adminv1connect.SealKeyServiceClient
	providers    adminv1connect.ProviderServiceClient
	health       adminv1connect.HealthServiceClient
}

// localURL is where the API lies behind the socket. The name is never resolved.
const localURL = "http://warder.local"

// api connects to the instance of the data directory. Nothing is sent yet.
func (c *cli) api() *api {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return localsock.Dial(ctx, c.dataDir)
		},
	}
	client := &http.Client{Transport: transport}
	explain := connect.WithInterceptors(connect.UnaryInterceptorFunc(explainDial))
	return &api{
		servers:      adminv1connect.NewServerServiceClient(client, localURL, explain),
		tools:        adminv1connect.NewToolServiceClient(client, localURL, explain),
		users:        adminv1connect.NewUserServiceClient(client, localURL, explain),
		roles:        adminv1connect.NewRoleServiceClient(client, localURL, explain),
		login:        adminv1connect.NewLoginServiceClient(client, localURL, explain),
		applications: adminv1connect.NewApplicationServiceClient(client, localURL, explain),
		keys:         adminv1connect.NewKeyServiceClient(client, localURL, explain),
		denials:      adminv1connect.NewDenialServiceClient(client, localURL, explain),
		issuers:      adminv1connect.NewIssuerServiceClient(client, localURL, explain),
		secrets:      adminv1connect.NewSecretServiceClient(client, localURL, explain),
		alerts:       adminv1connect.NewAlertServiceClient(client, localURL, explain),
		policy:       adminv1connect.NewPolicyServiceClient(client, localURL, explain),
		audit:        adminv1connect.NewAuditServiceClient(client, localURL, explain),
		nodes:        adminv1connect.NewNodeServiceClient(client, localURL, explain),
		agents:       adminv1connect.NewAgentServiceClient(client, localURL, explain),
		enrollment:   adminv1connect.NewEnrollmentServiceClient(client, localURL, explain),
		sealKeys:     adminv1connect.NewSealKeyServiceClient(client, localURL, explain),
		providers:    adminv1connect.NewProviderServiceClient(client, localURL, explain),
		health:       adminv1connect.NewHealthServiceClient(client, localURL, explain),
	}
}

// explainDial brings what localsock says out from under the layers of an HTTP client.
func explainDial(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		response, err := next(ctx, request)
		return response, withoutLayers(err)
	}
}

// withoutLayers finds it by its type: an answer of the API has none of it.
func withoutLayers(err error) error {
	if dial, ok := errors.AsType[*fault.Error](err); ok {
		return dial
	}
	return err
}

// completeWith lets the shell complete arguments with live names. It gives up
// quickly: a shell that hangs is worse than one that completes nothing.
func (c *cli) completeWith(names func(context.Context, *api) []string) func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if c.readFlags(cmd) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), 500*time.Millisecond)
		defer cancel()
		return names(ctx, c.api()), cobra.ShellCompDirectiveNoFileComp
	}
}
