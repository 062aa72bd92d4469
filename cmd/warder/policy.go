package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/warder-gateway/warder/internal/policy"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) policyCommand() *cobra.Command {
	return group("policy", "The rules that decide each call",
		c.policyGet(), c.policyApply(), c.policyLint(), c.policyTest(), c.policyDiff(), c.policySimulate(), c.policyExplain(),
		c.policyHistory(), c.policyRollback(), c.policySchema())
}

// maxDocument bounds what is read of a policy file, in bytes; the API has the
// same bound.
const maxDocument = policy.MaxDocument

// fileFlag adds the flag that names the policy file.
func fileFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "file", "f", "", "the policy file; - for standard input")
	_ = cmd.MarkFlagRequired("file")
}

// readFile reads a policy file, or standard input for "-".
func (c *cli) readFile(name string) (string, error) {
	in := c.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", usageError(fmt.Errorf("open the policy file: %w", err))
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxDocument+1))
	if err != nil {
		return "", fmt.Errorf("read the policy file: %w", err)
	}
	if len(data) > maxDocument {
		return "", usageError(fmt.Errorf("%s is larger than %d bytes", name, maxDocument))
	}
	if len(data) == 0 {
		return "", usageError(fmt.Errorf("%s is empty; 'rules: []' means no rules", name))
	}
	return string(data), nil
}

func (c *cli) policyGet() *cobra.Command {
	request := &adminv1.GetPolicyRequest{}
	cmd := &cobra.Command{
		Use:   "get",
		Short: "Show the document in force, or a version, as it was applied",
		Example: `  warder policy get >policy.yaml
  warder policy get --version 3`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().policy.GetPolicy(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				p := response.Msg.GetPolicy()
				if p.GetVersion() == 0 {
					fmt.Fprintln(w, "# no rules yet: roles alone decide\nrules: []")
					return
				}
				fmt.Fprintf(w, "# version %d, by %s, %s\n%s", p.GetVersion(), visible(p.GetCreatedBy()), clock(p.GetCreatedAt()), visible(p.GetDocument()))
			})
		},
	}
	cmd.Flags().Int64Var(&request.Version, "version", 0, "the version (default: the one in force)")
	return cmd
}

func (c *cli) policyHistory() *cobra.Command {
	request := &adminv1.ListPoliciesRequest{}
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List the versions of the policy, newest first: who applied them, when and why",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().policy.ListPolicies(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				var rows [][]string
				for _, p := range response.Msg.GetPolicies() {
					of := ""
					if p.GetRollbackOf() != 0 {
						of = strconv.FormatInt(p.GetRollbackOf(), 10)
					}
					rows = append(rows, []string{strconv.FormatInt(p.GetVersion(), 10), clock(p.GetCreatedAt()), p.GetCreatedBy(), of, short(p.GetReason(), 80)})
				}
				columns(w, []string{"VERSION", "TIME", "BY", "ROLLBACK-OF", "REASON"}, rows)
			})
		},
	}
	count(cmd.Flags(), &request.PageSize, "limit", 50, 1, 1000, "how many at most")
	cmd.Flags().StringVar(&request.PageToken, "after", "", "go on behind a page, by its `next_page_token`")
	return cmd
}

func (c *cli) policyRollback() *cobra.Command {
	request := &adminv1.RollbackPolicyRequest{}
	var expected int64
	cmd := &cobra.Command{
		Use:   "rollback VERSION",
		Short: "Apply the document of an earlier version anew",
		Long: `Apply the document of an earlier version as a new version. It is refused if it does
not hold today: if it does not compile, or its tests fail.`,
		Example: "  warder policy rollback 3 --reason 'version 4 denied the release'",
		Args:    exactly("VERSION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			version, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || version < 1 {
				return usageError(fmt.Errorf("%q is no version; 'warder policy history' lists them", args[0]))
			}
			request.Version = version
			if cmd.Flags().Changed("expect-version") {
				request.ExpectedVersion = &expected
			}
			response, err := c.api().policy.RollbackPolicy(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				fmt.Fprintf(w, "Version %d, which is version %d again, is in force from revision %d.\n",
					response.Msg.GetPolicy().GetVersion(), version, response.Msg.GetRevision())
			})
		},
	}
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the history")
	expectFlag(cmd, &expected)
	return cmd
}

// expectFlag adds the flag of whoever must not overwrite what he has not seen.
func expectFlag(cmd *cobra.Command, expected *int64) {
	cmd.Flags().Int64Var(expected, "expect-version", 0, "fail (exit 7) unless this version is in force; 0: none yet")
}

func (c *cli) policySchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of policy files, for editors",
		Long: `Print the JSON Schema (2020-12) of policy files. The control plane serves it at
/schemas/policy.json. An editor with a language server for YAML takes it from a
comment at the top of the file:

    # yaml-language-server: $schema=http://127.0.0.1:7070/schemas/policy.json`,
		Example: "  warder policy schema >policy.schema.json",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			_, err := c.stdout.Write(policy.Schema)
			return err
		},
	}
}

// checkFailed is the end of a check that answered no; the result is on standard
// output.
func checkFailed(format string, args ...any) error {
	return &exitCodeError{exit: exitCheckFailed, err: fmt.Errorf(format, args...)}
}

var errNoTarget = errors.New("say what is asked for: exactly one of --tool, --prompt and --resource, or --call")
