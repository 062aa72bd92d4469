package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) keyCommand() *cobra.Command {
	return group("key", "API keys of MCP clients", c.keyCreate(), c.keyList(), c.keyRotate(), c.keyRevoke())
}

func (c *cli) keyCreate() *cobra.Command {
	request := &adminv1.CreateKeyRequest{}
	cmd := &cobra.Command{
		Use:   "create --user USER --application APPLICATION",
		Short: "Create a key; its secret is printed once",
		Example: `  warder key create --user ana --application cursor --expires 30d
  warder key create --user ana --application cursor --server github --server jira
  export WARDER_KEY=$(warder key create --user ci --application pipeline -o json | jq -r .key)`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().keys.CreateKey(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				c.printNewKey(w, response.Msg.GetKey(), response.Msg.GetDetails())
			})
		},
	}
	cmd.Flags().StringVar(&request.User, "user", "", "the user whose rights the key has")
	cmd.Flags().StringVar(&request.Application, "application", "", "the client program that uses it; created if new")
	cmd.Flags().StringArrayVar(&request.Servers, "server", nil, "a server that the key is good for; may be given again (default all, also later ones)")
	span(cmd, &request.ExpiresIn, "expires", "time until it expires, for example 30d or 12h (default never)")
	_ = cmd.MarkFlagRequired("user")
	_ = cmd.MarkFlagRequired("application")
	return cmd
}

// printNewKey prints a key whose secret is shown this once: the key alone where a
// program may take it, the rest beside.
func (c *cli) printNewKey(w io.Writer, key string, d *adminv1.Key) {
	fmt.Fprintf(w, "%s\n", key)
	fmt.Fprintf(c.stderr, "This is the only time the key is shown. Send it as 'Authorization: Bearer …'.\nId %s, user %s, application %s, servers %s, expires %s.\n",
		d.GetId(), d.GetUser(), d.GetApplication(), orAll(d.GetServers()), orNever(clock(d.GetExpiresAt())))
}

func orAll(servers []string) string {
	if len(servers) == 0 {
		return "all"
	}
	return strings.Join(servers, ", ")
}

// spanValue is a flag that takes a span of time, such as 30d or 12h.
type spanValue struct {
	target **durationpb.Duration
	least  time.Duration // 0 if "0" is a span, else days says
}

func (s spanValue) String() string {
	if s.target == nil || *s.target == nil {
		return ""
	}
	return (*s.target).AsDuration().String()
}

func (s spanValue) Type() string { return "span" }

func (s spanValue) Set(text string) error {
	if text == "0" && s.least == 0 {
		*s.target = durationpb.New(0)
		return nil
	}
	d, err := days(text)
	if err == nil {
		*s.target = durationpb.New(d)
	}
	return err
}

// span adds a flag for a span of time that is not 0.
func span(cmd *cobra.Command, target **durationpb.Duration, name, usage string) {
	cmd.Flags().Var(spanValue{target, 1}, name, usage)
}

func orNever(s string) string {
	if s == "" {
		return "never"
	}
	return s
}

func (c *cli) keyList() *cobra.Command {
	request := &adminv1.ListKeysRequest{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys, without their secrets",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().keys.ListKeys(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				var rows [][]string
				for _, k := range response.Msg.GetKeys() {
					rows = append(rows, []string{k.GetId(), k.GetUser(), k.GetApplication(), ago(k.GetCreatedAt()),
						orNever(clock(k.GetExpiresAt())), orAll(k.GetServers()), minute(k.GetLastUsedAt()), keyEnd(k)})
				}
				columns(w, []string{"ID", "USER", "APPLICATION", "CREATED", "EXPIRES", "SERVERS", "LAST USED", "STATE"}, rows)
			})
		},
	}
	cmd.Flags().StringVar(&request.User, "user", "", "only of this user")
	return cmd
}

// keyEnd says whether a key is good, and if not, what became of it.
func keyEnd(k *adminv1.Key) string {
	switch {
	case k.GetRevokedAt() != nil:
		return "revoked " + clock(k.GetRevokedAt())
	case k.GetSuccessor() != "":
		return "rotated to " + k.GetSuccessor()
	case k.GetExpiresAt() != nil && !k.GetExpiresAt().AsTime().After(time.Now()):
		return "expired"
	}
	return "active"
}

func (c *cli) keyRotate() *cobra.Command {
	request := &adminv1.RotateKeyRequest{}
	cmd := &cobra.Command{
		Use:   "rotate ID",
		Short: "Make a successor of a key, which works on for a while; the new secret is printed once",
		Long: `Make a key with the same user, application and servers. The old one works for the
overlap, a day unless --overlap says otherwise, and then expires. The successor
lasts as long as the old key was given, unless --expires says otherwise.`,
		Example: `  warder key rotate k3v9q2m8w1xz --overlap 2h
  warder key rotate k3v9q2m8w1xz --overlap 0   # the old key ends at once`,
		Args:              exactly("ID"),
		ValidArgsFunction: c.completeWith(keyIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Id = args[0]
			response, err := c.api().keys.RotateKey(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				c.printNewKey(w, response.Msg.GetKey(), response.Msg.GetDetails())
				fmt.Fprintf(c.stderr, "The old key %s expires %s.\n", request.GetId(), clock(response.Msg.GetOld().GetExpiresAt()))
			})
		},
	}
	cmd.Flags().Var(spanValue{&request.Overlap, 0}, "overlap", "how long the old key still works, for example 2h; 0: not at all (default a day)")
	span(cmd, &request.ExpiresIn, "expires", "time until the successor expires, for example 30d (default as the old key was given)")
	return cmd
}

func (c *cli) keyRevoke() *cobra.Command {
	request := &adminv1.RevokeKeyRequest{}
	cmd := &cobra.Command{
		Use:               "revoke ID",
		Short:             "Revoke a key, for good",
		Args:              exactly("ID"),
		ValidArgsFunction: c.completeWith(keyIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Id = args[0]
			response, err := c.api().keys.RevokeKey(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { fmt.Fprintf(w, "Revoked %s.\n", response.Msg.GetKey().GetId()) })
		},
	}
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the record")
	return cmd
}

func keyIDs(ctx context.Context, a *api) []string {
	response, err := a.keys.ListKeys(ctx, connect.NewRequest(&adminv1.ListKeysRequest{}))
	if err != nil {
		return nil
	}
	var ids []string
	for _, k := range response.Msg.GetKeys() {
		if k.GetRevokedAt() == nil {
			ids = append(ids, k.GetId())
		}
	}
	return ids
}
