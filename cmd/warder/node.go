package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) nodeCommand() *cobra.Command {
	return group("node", "The data planes", c.nodeList(), c.nodeIssue())
}

func (c *cli) nodeList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the nodes and the revision that each serves",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().nodes.ListNodes(cmd.Context(), connect.NewRequest(&adminv1.ListNodesRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				var rows [][]string
				for _, n := range response.Msg.GetNodes() {
					state := "away"
					if n.GetConnected() {
						state = "connected"
					}
					rows = append(rows, []string{n.GetName(), state,
						strconv.FormatUint(n.GetRevision(), 10) + "/" + strconv.FormatUint(n.GetDesiredRevision(), 10),
						n.GetVersion(), n.GetAddress(), ago(n.GetLastSeenAt()), n.GetRefusal()})
				}
				columns(w, []string{"NAME", "STATE", "REVISION", "VERSION", "ADDRESS", "SEEN", "REFUSAL"}, rows)
			})
		},
	}
}

func (c *cli) nodeIssue() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "issue NAME --out DIR",
		Short: "Make the identity with which a data plane may connect",
		Long: `Make the identity with which a data plane of this name may connect: cert.pem,
key.pem and ca.pem in DIR, for 'warder dataplane --identity-dir DIR'.`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			response, err := c.api().nodes.IssueNode(cmd.Context(), connect.NewRequest(&adminv1.IssueNodeRequest{Name: args[0]}))
			if err != nil {
				return err
			}
			if err := writeIdentity(out, response.Msg); err != nil {
				return err
			}
			response.Msg.PrivateKey = "" // It is in the file; a terminal keeps what it shows.
			return c.print(response.Msg, func(w io.Writer) {
				fmt.Fprintf(w, "The identity of %s is in %s, valid until %s.\n", args[0], out, clock(response.Msg.GetExpiresAt()))
			})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the `directory` to write to")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

// writeIdentity writes the three files, the key readable by its owner alone.
// It does not replace an identity that is there.
func writeIdentity(dir string, m *adminv1.IssueNodeResponse) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	for _, file := range []struct{ name, content string }{
		{"key.pem", m.GetPrivateKey()}, {"cert.pem", m.GetCertificate()}, {"ca.pem", m.GetAuthority()},
	} {
		path := filepath.Join(dir, file.name)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			return usageError(fmt.Errorf("%s exists: name an empty directory with --out", path))
		}
		if err != nil {
			return fmt.Errorf("write the identity: %w", err)
		}
		_, err = f.WriteString(file.content)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

func (c *cli) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Say how the running instance is",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().health.GetHealth(cmd.Context(), connect.NewRequest(&adminv1.GetHealthRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				h := response.Msg
				facts(w, "Version", h.GetVersion(), "Database ready", strconv.FormatBool(h.GetDatabaseReady()),
					"Revision", strconv.FormatUint(h.GetRevision(), 10), "Nodes connected", strconv.Itoa(int(h.GetNodesConnected())),
					"Started", ago(h.GetStartedAt()), "Setup needed", strconv.FormatBool(h.GetSetupNeeded()))
			})
		},
	}
}
