package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) providerCommand() *cobra.Command {
	return group("provider", "OpenID providers by which people sign in to the dashboard",
		c.providerAdd(), c.providerList(), c.providerSet(), c.providerRemove(), c.providerLink())
}

// providerFlags are the settings of a provider on a command line.
type providerFlags struct {
	message    adminv1.Provider
	secretFile string
	groupRoles []string
	caFile     string
}

func (p *providerFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&p.message.Title, "title", "", "what the button of the sign-in page says; default: the name")
	flags.StringVar(&p.message.ClientId, "client-id", "", "the client that is registered at the provider")
	flags.StringVar(&p.secretFile, "client-secret-file", "", "`file` with the client's secret, - for standard input; kept sealed, never shown. An empty one: a public client")
	flags.StringArrayVar(&p.message.Scopes, "scope", nil, "a `scope` to ask for beside openid; may be given again")
	flags.StringVar(&p.message.UserClaim, "user-claim", "", "the `claim` with the name of a new user (default preferred_username, else a verified email)")
	flags.StringVar(&p.message.GroupsClaim, "groups-claim", "", "the `claim` with the groups (default groups)")
	flags.StringArrayVar(&p.groupRoles, "group-role", nil, "`GROUP=ROLE`: who has the group at the provider has the role here; may be given again")
	flags.BoolVar(&p.message.Private, "private", false, "allow loopback and private addresses, and http://")
	flags.StringVar(&p.caFile, "ca-file", "", "PEM `file` of the authorities that sign for the provider, in place of those of the system")
}

// apply puts the flags that were given over what m has, and returns the secret: nil
// where none was given.
func (p *providerFlags) apply(c *cli, cmd *cobra.Command, m *adminv1.Provider) (secret *string, err error) {
	changed := cmd.Flags().Changed
	for flag, set := range map[string]func(){
		"title":        func() { m.Title = p.message.GetTitle() },
		"client-id":    func() { m.ClientId = p.message.GetClientId() },
		"scope":        func() { m.Scopes = p.message.GetScopes() },
		"user-claim":   func() { m.UserClaim = p.message.GetUserClaim() },
		"groups-claim": func() { m.GroupsClaim = p.message.GetGroupsClaim() },
		"private":      func() { m.Private = p.message.GetPrivate() },
	} {
		if changed(flag) {
			set()
		}
	}
	if changed("group-role") {
		if m.GroupRoles, err = parseGroupRoles(p.groupRoles); err != nil {
			return nil, err
		}
	}
	if changed("ca-file") {
		m.CaCertificates = ""
		if p.caFile != "" {
			if m.CaCertificates, err = readAuthorities(p.caFile); err != nil {
				return nil, err
			}
		}
	}
	if !changed("client-secret-file") {
		return nil, nil
	}
	value, err := c.readSecret(p.secretFile)
	return &value, err
}

// parseGroupRoles splits each GROUP=ROLE at its last =: a group's name may hold
// one, a role's cannot.
func parseGroupRoles(given []string) (all []*adminv1.GroupRole, err error) {
	for _, s := range given {
		at := strings.LastIndex(s, "=")
		if at <= 0 || at == len(s)-1 {
			return nil, usageError(fmt.Errorf("--group-role takes GROUP=ROLE, not %q", s))
		}
		all = append(all, &adminv1.GroupRole{Group: s[:at], Role: s[at+1:]})
	}
	return all, nil
}

// maxSecret bounds the file of a secret, in bytes.
const maxSecret = 4096

// readSecret reads a secret from a file, or from standard input for "-", without
// the end of its line.
func (c *cli) readSecret(name string) (string, error) {
	in := c.stdin
	if name == "" {
		return "", nil
	}
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return "", usageError(fmt.Errorf("--client-secret-file: %w", err))
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, maxSecret+1))
	if err != nil {
		return "", usageError(fmt.Errorf("--client-secret-file: %w", err))
	}
	secret := strings.TrimRight(string(data), "\r\n")
	if secret == "" || len(data) > maxSecret {
		return "", usageError(errors.New("--client-secret-file: there is no secret in it, or one that is too long; '' means a public client"))
	}
	return secret, nil
}

func (c *cli) providerAdd() *cobra.Command {
	var flags providerFlags
	cmd := &cobra.Command{
		Use:   "add NAME --issuer URL --client-id ID --group-role GROUP=ROLE…",
		Short: "Let people sign in to the dashboard by an OpenID provider",
		Long: `Let people sign in to the dashboard by an OpenID provider (authorization code with
PKCE). The provider is asked for its metadata at once. The redirect URL that is
printed has to be registered there.

Whoever signs in has the roles that his groups give, and no others, from then on
until he signs in again. Who has no such group may not sign in. His name comes from
a claim at his first sign-in; a user who has that name already stays another
person, until 'warder provider link' says that he is not.`,
		Example: `  warder provider add corp --issuer https://login.corp.example/realms/main --client-id warder \
    --client-secret-file secret.txt --scope profile --group-role /platform=owner --group-role /dev=viewer`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m := &adminv1.Provider{Name: args[0], Url: flags.message.GetUrl()}
			secret, err := flags.apply(c, cmd, m)
			if err != nil {
				return err
			}
			request := &adminv1.AddProviderRequest{Provider: m}
			if secret != nil {
				request.ClientSecret = *secret
			}
			response, err := c.api().providers.AddProvider(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				fmt.Fprintf(w, "Added %s. Register this redirect URL at the provider:\n\n  %s\n", args[0], response.Msg.GetRedirectUrl())
				if len(m.GetGroupRoles()) == 0 {
					fmt.Fprintf(w, "\nNobody can sign in by it yet: no group has a role. Give one: warder provider set %s --group-role GROUP=ROLE\n", args[0])
				}
			})
		},
	}
	cmd.Flags().StringVar(&flags.message.Url, "issuer", "", "the issuer's `URL`, exactly as in the provider's documentation")
	flags.register(cmd)
	_ = cmd.MarkFlagRequired("issuer")
	_ = cmd.MarkFlagRequired("client-id")
	return cmd
}

func (c *cli) providerList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the providers and what their groups give",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().providers.ListProviders(cmd.Context(), connect.NewRequest(&adminv1.ListProvidersRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printProviders(w, response.Msg.GetProviders()) })
		},
	}
}

func printProviders(w io.Writer, providers []*adminv1.Provider) {
	var rows [][]string
	for _, p := range providers {
		var roles []string
		for _, g := range p.GetGroupRoles() {
			roles = append(roles, g.GetGroup()+"="+g.GetRole())
		}
		rows = append(rows, []string{p.GetName(), p.GetUrl(), p.GetClientId(), strconv.FormatBool(p.GetHasClientSecret()), listed(roles)})
	}
	columns(w, []string{"NAME", "ISSUER", "CLIENT", "SECRET", "GROUP ROLES"}, rows)
}

func (c *cli) providerSet() *cobra.Command {
	var flags providerFlags
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change a provider",
		Long: `Change a provider. What is not given stays as it is; of scopes and group roles all
are given anew. Another issuer is another provider: add that under a name of its
own. Whoever is signed in keeps his roles until he signs in again.`,
		Example: `  warder provider set corp --group-role /platform=owner --group-role /ops=operator
  warder provider set corp --client-secret-file - <secret.txt`,
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(providerNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().NFlag() == 0 {
				return usageError(fmt.Errorf("warder provider set %s: say what to change; --help lists the flags", args[0]))
			}
			m, err := c.provider(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			secret, err := flags.apply(c, cmd, m)
			if err != nil {
				return err
			}
			response, err := c.api().providers.UpdateProvider(cmd.Context(), connect.NewRequest(&adminv1.UpdateProviderRequest{Provider: m, ClientSecret: secret}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printProviders(w, []*adminv1.Provider{response.Msg.GetProvider()}) })
		},
	}
	flags.register(cmd)
	return cmd
}

// provider returns one; a name that nobody has is the API's to refuse.
func (c *cli) provider(ctx context.Context, name string) (*adminv1.Provider, error) {
	response, err := c.api().providers.ListProviders(ctx, connect.NewRequest(&adminv1.ListProvidersRequest{}))
	if err != nil {
		return nil, err
	}
	for _, p := range response.Msg.GetProviders() {
		if p.GetName() == name {
			return p, nil
		}
	}
	return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no provider %q; 'warder provider list' shows them", name))
}

func (c *cli) providerRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME",
		Aliases:           []string{"rm"},
		Short:             "Remove a provider and end the sessions that began by it; its users stay, with their roles and keys",
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(providerNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			response, err := c.api().providers.RemoveProvider(cmd.Context(), connect.NewRequest(&adminv1.RemoveProviderRequest{Name: args[0]}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { fmt.Fprintf(w, "Removed %s.\n", args[0]) })
		},
	}
}

func (c *cli) providerLink() *cobra.Command {
	request := &adminv1.LinkUserRequest{}
	cmd := &cobra.Command{
		Use:   "link NAME USER --subject SUBJECT",
		Short: "Say that an account at a provider is a user who exists here",
		Long: `Say that an account at a provider is a user who exists here. From his next sign-in
by it he holds the roles that his groups there give, and no others. The subject is
the account's claim sub: the page that refuses him shows it.`,
		Example: "  warder provider link corp ana --subject 248289761001",
		Args:    exactly("NAME", "USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Provider, request.User = args[0], args[1]
			response, err := c.api().providers.LinkUser(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				fmt.Fprintf(w, "The account is %s here. At the next sign-in by %s, roles come from its groups.\n", args[1], args[0])
			})
		},
	}
	cmd.Flags().StringVar(&request.Subject, "subject", "", "the claim sub of the account")
	_ = cmd.MarkFlagRequired("subject")
	return cmd
}

func providerNames(ctx context.Context, a *api) []string {
	response, err := a.providers.ListProviders(ctx, connect.NewRequest(&adminv1.ListProvidersRequest{}))
	if err != nil {
		return nil
	}
	var names []string
	for _, p := range response.Msg.GetProviders() {
		names = append(names, p.GetName())
	}
	return names
}
