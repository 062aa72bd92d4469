package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/warder-gateway/warder/internal/risk"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// entryRisk sets a risk category, or takes it back.
func (c *cli) entryRisk(f *family) *cobra.Command {
	request := new(adminv1.SetRiskRequest)
	var back bool
	cmd := &cobra.Command{
		Use:   "risk " + f.argument + " CATEGORY",
		Short: "Choose the risk category of a " + f.name + " yourself",
		Long: "Choose the risk category of a " + f.name + ` yourself, also for definitions to come:
` + either(risk.Names()) + `.
--classifier takes it back. What the categories mean is in docs/concepts.md.`,
		Example: fmt.Sprintf("  warder %[1]s risk %[2]s write --reason 'it can be undone'\n  warder %[1]s risk %[2]s --classifier", f.name, f.example),
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case back && len(args) == 1, !back && len(args) == 2 && slices.Contains(risk.Names(), args[1]):
				return nil
			case !back && len(args) == 2:
				return usageError(fmt.Errorf("no risk category %q; it is %s", args[1], either(risk.Names())))
			}
			return usageError(errors.New("give " + f.argument + " and a category, or " + f.argument + " and --classifier"))
		},
		ValidArgsFunction: c.completeWith(f.names),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := c.findEntry(cmd.Context(), f, args[0])
			if err != nil {
				return err
			}
			request.Name, request.Kind = args[0], found.GetTool().GetKind()
			if !back {
				request.Risk = args[1]
			}
			response, err := c.api().tools.SetRisk(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %s\n", visible(fullName(response.Msg.GetTool())), visible(riskName(response.Msg.GetTool())))
			})
		},
	}
	cmd.Flags().BoolVar(&back, "classifier", false, "take the category of the classifier again")
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the record")
	return cmd
}
