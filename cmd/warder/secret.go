package main

import (
	"fmt"
	"io"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) secretCommand() *cobra.Command {
	return group("secret", "How secrets are sealed in the database", c.secretList(), c.secretRewrap())
}

func (c *cli) secretList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the key-encryption keys, and how many secrets each has sealed; the keys themselves are never shown",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().secrets.ListKeyEncryptionKeys(cmd.Context(), connect.NewRequest(&adminv1.ListKeyEncryptionKeysRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printEncryptionKeys(w, response.Msg.GetKeys()) })
		},
	}
}

func (c *cli) secretRewrap() *cobra.Command {
	return &cobra.Command{
		Use:   "rewrap",
		Short: "Seal every secret under the newest key-encryption key",
		Long: `Seal every secret that an older key-encryption key sealed under the newest one,
row by row, while everything goes on. Afterwards the older keys are not needed any
more, but to open older backups of the database.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().secrets.RewrapSecrets(cmd.Context(), connect.NewRequest(&adminv1.RewrapSecretsRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				fmt.Fprintf(c.stderr, "Sealed %s anew.\n", counted(response.Msg.GetRewrapped(), "secret"))
				printEncryptionKeys(w, response.Msg.GetKeys())
			})
		},
	}
}

func printEncryptionKeys(w io.Writer, keys []*adminv1.KeyEncryptionKey) {
	var rows [][]string
	for _, k := range keys {
		state := "opens"
		switch {
		case !k.GetPresent():
			state = "missing"
		case k.GetSeals():
			state = "seals"
		}
		rows = append(rows, []string{k.GetId(), state, fmt.Sprint(k.GetSecrets())})
	}
	columns(w, []string{"ID", "STATE", "SECRETS"}, rows)
}
