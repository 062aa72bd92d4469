package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// tokenAlgorithms are those of the API; see proto/warder/admin/v1/issuer.proto.
var tokenAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

func (c *cli) issuerCommand() *cobra.Command {
	return group("issuer", "Who may sign the tokens of MCP clients", c.issuerAdd(), c.issuerSet(), c.issuerList(), c.issuerRemove())
}

// issuerSettings are the flags of 'issuer add' and 'issuer set'.
type issuerSettings struct {
	issuer     adminv1.Issuer
	groupRoles []string
	caFile     string
}

func (s *issuerSettings) register(cmd *cobra.Command) {
	flags, i := cmd.Flags(), &s.issuer
	flags.StringVar(&i.Url, "issuer", "", "`URL` of the issuer, exactly as its tokens name it (iss)")
	flags.StringArrayVar(&i.Audiences, "audience", nil, "an `audience` (aud) of which a token must have one; may be given again (default: the URL of the endpoint that is called)")
	flags.StringVar(&i.JwksUrl, "jwks-url", "", "`URL` of the issuer's keys (default: found by its metadata)")
	chooseSome(cmd, &i.Algorithms, "algorithm", "an algorithm that tokens may be signed with (default RS256 and ES256)", tokenAlgorithms...)
	flags.StringVar(&i.UserClaim, "user-claim", "", "the `claim` that names the user (default sub)")
	flags.StringVar(&i.GroupsClaim, "groups-claim", "", "the `claim` with the user's groups (default: none)")
	flags.StringVar(&i.ApplicationClaim, "application-claim", "", "the `claim` that names the application (default client_id, or azp)")
	flags.StringVar(&i.UserPrefix, "user-prefix", "", "`text` before the names of its users, such as corp: (default: its names are those of the users here)")
	flags.StringArrayVar(&s.groupRoles, "group-role", nil, "`GROUP=ROLE` gives a role to who has a group; may be given again")
	flags.StringArrayVar(&i.Scopes, "scope", nil, "a `scope` that tokens must have and clients are told to ask for; may be given again")
	flags.BoolVar(&i.Private, "private", false, "allow http, and loopback or private addresses")
	flags.StringVar(&s.caFile, "ca-file", "", "PEM `file` of the authorities that sign for the issuer, in place of those of the system")
}

// read makes of the flags what they mean.
func (s *issuerSettings) read() error {
	var err error
	if s.issuer.GroupRoles, err = parseGroupRoles(s.groupRoles); err != nil {
		return err
	}
	if s.caFile == "" {
		return nil
	}
	s.issuer.CaCertificates, err = readAuthorities(s.caFile)
	return err
}

func (c *cli) issuerAdd() *cobra.Command {
	var settings issuerSettings
	cmd := &cobra.Command{
		Use:   "add NAME --issuer URL",
		Short: "Let MCP clients present the tokens of an issuer in place of an API key",
		Long: `Let MCP clients present the JWT access tokens of an issuer (an OAuth or OpenID
provider) in place of an API key. Its keys are found and fetched once before it is
saved.

A token is let in if it is signed with a key of the issuer, is for the endpoint
that is called or for one of --audience, and has not expired. It stands for the
user that --user-claim names, with the roles that a user of this name has here and
those of its groups by --group-role. Without a --user-prefix the issuer's users are
the users here: trust it as you trust 'warder user create'.`,
		Example: `  warder issuer add corp --issuer https://login.corp.example --user-prefix corp: --groups-claim groups --group-role engineering=operator
  warder issuer add dev --issuer http://127.0.0.1:8080/realms/dev --private --audience warder --user-claim preferred_username`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := settings.read(); err != nil {
				return err
			}
			settings.issuer.Name = args[0]
			response, err := c.api().issuers.AddIssuer(cmd.Context(), connect.NewRequest(&adminv1.AddIssuerRequest{Issuer: &settings.issuer}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				fmt.Fprintf(w, "Added %s.\n", args[0])
				printIssuer(w, response.Msg.GetIssuer())
			})
		},
	}
	settings.register(cmd)
	_ = cmd.MarkFlagRequired("issuer")
	return cmd
}

func (c *cli) issuerSet() *cobra.Command {
	var settings issuerSettings
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change an issuer",
		Long: `Change an issuer. What is not given stays as it is; a flag that may be given again
replaces all that it gave before, and with an empty value takes it away. The keys
are found anew where the issuer's URL changes and --jwks-url is not given.`,
		Example: `  warder issuer set corp --audience https://mcp.corp.example/mcp
  warder issuer set corp --group-role engineering=developer --group-role ops=operator`,
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(issuerNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings.groupRoles = given(settings.groupRoles)
			settings.issuer.Audiences, settings.issuer.Scopes = given(settings.issuer.Audiences), given(settings.issuer.Scopes)
			if err := settings.read(); err != nil {
				return err
			}
			issuer, err := c.findIssuer(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if !settings.change(issuer, cmd.Flags().Changed) {
				return usageError(fmt.Errorf("warder issuer set %s: say what to change; 'warder issuer set --help' shows the flags", args[0]))
			}
			response, err := c.api().issuers.UpdateIssuer(cmd.Context(), connect.NewRequest(&adminv1.UpdateIssuerRequest{Issuer: issuer}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				fmt.Fprintf(w, "Changed %s.\n", args[0])
				printIssuer(w, response.Msg.GetIssuer())
			})
		},
	}
	settings.register(cmd)
	return cmd
}

// given returns what a list flag was given, without the empty text that stands for
// nothing.
func given(values []string) []string {
	return slices.DeleteFunc(values, func(v string) bool { return v == "" })
}

func (c *cli) findIssuer(ctx context.Context, name string) (*adminv1.Issuer, error) {
	response, err := c.api().issuers.ListIssuers(ctx, connect.NewRequest(&adminv1.ListIssuersRequest{}))
	if err != nil {
		return nil, err
	}
	for _, i := range response.Msg.GetIssuers() {
		if i.GetName() == name {
			return i, nil
		}
	}
	return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no issuer %q; 'warder issuer list' shows the issuers", name))
}

// change makes the changes that were given, and reports whether there are any.
func (s *issuerSettings) change(i *adminv1.Issuer, changed func(string) bool) (any bool) {
	if changed("issuer") && !changed("jwks-url") {
		i.JwksUrl = ""
	}
	for flag, set := range map[string]func(){
		"issuer":            func() { i.Url = s.issuer.Url },
		"audience":          func() { i.Audiences = s.issuer.Audiences },
		"jwks-url":          func() { i.JwksUrl = s.issuer.JwksUrl },
		"algorithm":         func() { i.Algorithms = s.issuer.Algorithms },
		"user-claim":        func() { i.UserClaim = s.issuer.UserClaim },
		"groups-claim":      func() { i.GroupsClaim = s.issuer.GroupsClaim },
		"application-claim": func() { i.ApplicationClaim = s.issuer.ApplicationClaim },
		"user-prefix":       func() { i.UserPrefix = s.issuer.UserPrefix },
		"group-role":        func() { i.GroupRoles = s.issuer.GroupRoles },
		"scope":             func() { i.Scopes = s.issuer.Scopes },
		"private":           func() { i.Private = s.issuer.Private },
		"ca-file":           func() { i.CaCertificates = s.issuer.CaCertificates },
	} {
		if changed(flag) {
			set()
			any = true
		}
	}
	return any
}

func (c *cli) issuerList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the issuers",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().issuers.ListIssuers(cmd.Context(), connect.NewRequest(&adminv1.ListIssuersRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				var rows [][]string
				for _, i := range response.Msg.GetIssuers() {
					rows = append(rows, []string{i.GetName(), i.GetUrl(), audiences(i), i.GetUserPrefix() + "<" + i.GetUserClaim() + ">",
						strings.Join(rolesOfGroups(i), ", "), ago(i.GetCreatedAt())})
				}
				columns(w, []string{"NAME", "ISSUER", "AUDIENCE", "USER", "GROUP ROLES", "CREATED"}, rows)
			})
		},
	}
}

func printIssuer(w io.Writer, i *adminv1.Issuer) {
	facts(w, "Issuer", i.GetUrl(), "Keys", i.GetJwksUrl(), "Algorithms", strings.Join(i.GetAlgorithms(), ", "), "Audience", audiences(i),
		"User", i.GetUserPrefix()+"<"+i.GetUserClaim()+">", "Groups", i.GetGroupsClaim(), "Group roles", strings.Join(rolesOfGroups(i), ", "),
		"Application", i.GetApplicationClaim(), "Scopes", strings.Join(i.GetScopes(), " "))
}

func audiences(i *adminv1.Issuer) string {
	if len(i.GetAudiences()) == 0 {
		return "the endpoint"
	}
	return strings.Join(i.GetAudiences(), ", ")
}

func rolesOfGroups(i *adminv1.Issuer) (pairs []string) {
	for _, g := range i.GetGroupRoles() {
		pairs = append(pairs, g.GetGroup()+"="+g.GetRole())
	}
	return pairs
}

func (c *cli) issuerRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME",
		Aliases:           []string{"rm"},
		Short:             "Refuse the tokens of an issuer from now on, and close their streams",
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(issuerNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			response, err := c.api().issuers.RemoveIssuer(cmd.Context(), connect.NewRequest(&adminv1.RemoveIssuerRequest{Name: args[0]}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { fmt.Fprintf(w, "Removed %s.\n", args[0]) })
		},
	}
}

func issuerNames(ctx context.Context, a *api) []string {
	response, err := a.issuers.ListIssuers(ctx, connect.NewRequest(&adminv1.ListIssuersRequest{}))
	if err != nil {
		return nil
	}
	var names []string
	for _, i := range response.Msg.GetIssuers() {
		names = append(names, i.GetName())
	}
	return names
}
