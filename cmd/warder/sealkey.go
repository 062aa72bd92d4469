package main

import (
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) sealKeysCommand() *cobra.Command {
	return group("keys", "The gateway's own keys, which seal what clients carry", c.sealKeysList(), c.sealKeysRotate())
}

func (c *cli) sealKeysList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the seal keys by their turn; the keys themselves are never shown",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().sealKeys.ListSealKeys(cmd.Context(), connect.NewRequest(&adminv1.ListSealKeysRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printSealKeys(w, response.Msg.GetKeys()) })
		},
	}
}

func (c *cli) sealKeysRotate() *cobra.Command {
	request := &adminv1.RotateSealKeysRequest{}
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Let a new key seal sessions, cursors and request states",
		Long: `Make a new key that seals what clients carry: session ids, cursors, request
states. It takes over in five minutes, when every node has it; the old ones open
what they sealed until nothing of that can live any more. No session ends. It
happens by itself every 30 days.

If a key may be known to others, --now --forget drops the old ones at once. Every
session of every client ends with that: clients have to begin anew, and some do
so only when they are restarted.`,
		Example: `  warder keys rotate
  warder keys rotate --now --forget   # in an emergency: ends all sessions`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if request.Forget && !request.Now {
				return usageError(errors.New("--forget ends every session of every client, at once; if you mean that, say --now --forget"))
			}
			response, err := c.api().sealKeys.RotateSealKeys(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			if request.Forget {
				fmt.Fprintln(c.stderr, "All old keys are dropped: every session, cursor and request state of every client has ended.")
			}
			return c.print(response.Msg, func(w io.Writer) { printSealKeys(w, response.Msg.GetKeys()) })
		},
	}
	cmd.Flags().BoolVar(&request.Now, "now", false, "the new key seals at once; a node that does not have it yet refuses, for a moment, what others sealed")
	cmd.Flags().BoolVar(&request.Forget, "forget", false, "drop all other keys, which ends all sessions; only with --now")
	return cmd
}

func printSealKeys(w io.Writer, keys []*adminv1.SealKey) {
	var rows [][]string
	waits := false
	for _, k := range keys {
		state := "opens"
		switch {
		case k.GetSeals():
			state, waits = "seals", true
		case waits:
			state = "waits"
		}
		rows = append(rows, []string{k.GetName(), state, clock(k.GetSealsFrom()), ago(k.GetCreatedAt())})
	}
	columns(w, []string{"NAME", "STATE", "SEALS FROM", "CREATED"}, rows)
}
