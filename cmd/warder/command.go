package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/warder-gateway/warder/internal/build"
	"github.com/warder-gateway/warder/internal/localpg"
)

// cli is one run of the command.
type cli struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	// Persistent flags.
	output  string
	dataDir string
}

// command builds the tree of commands.
func (c *cli) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "warder",
		Short:         "A security gateway for the Model Context Protocol",
		Version:       build.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Long: `Warder is one endpoint in front of all MCP servers: it authenticates the caller,
decides what is used, forwards, and records every call.

Start it with 'warder up'. The other commands find the running instance by its
data directory and need no login on the same machine.`,
		Example: `  warder up
  warder server add everything --url http://127.0.0.1:3001/mcp --private
  warder server approve everything
  warder user create ana --role operator
  warder key create --user ana --application cursor
  warder audit tail -f`,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return c.readFlags(cmd) },
	}
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.SetIn(c.stdin)
	root.SetVersionTemplate("warder {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(err) })
	flags := root.PersistentFlags()
	c.output = "table"
	flags.VarP(&choice{&c.output, []string{"table", "json"}}, "output", "o", "how to print results: table or json (the API's message)")
	if err := root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // The flag is not there.
	}
	flags.StringVar(&c.dataDir, "data-dir", "", "where the instance keeps its data and its socket (default "+defaultDataDir()+")")
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run:"},
		&cobra.Group{ID: "servers", Title: "Servers and what they offer:"},
		&cobra.Group{ID: "access", Title: "Who may do what:"},
		&cobra.Group{ID: "observe", Title: "See what happens:"},
	)
	addTo(root, "run", c.upCommand(), c.controlPlaneCommand(), c.dataPlaneCommand(), c.agentCommand())
	addTo(root, "servers", c.serverCommand(), c.entryCommand(toolFamily), c.entryCommand(promptFamily),
		c.entryCommand(resourceFamily))
	addTo(root, "access", c.userCommand(), c.roleCommand(), c.sessionCommand(), c.keyCommand(), c.applicationCommand(),
		c.issuerCommand(), c.providerCommand(), c.denyCommand(), c.policyCommand(), c.sealKeysCommand(),
		c.secretCommand(), c.joinTokenCommand(), c.authorityCommand())
	addTo(root, "observe", c.auditCommand(), c.alertCommand(), c.nodeCommand(), c.healthCommand())
	return root
}

func addTo(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, command := range commands {
		command.GroupID = group
		root.AddCommand(command)
	}
}

// group returns a command that only holds others. Without one, or with an
// unknown one, it is a mistake rather than silence.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	parent := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError(fmt.Errorf("%s needs one of: %s", cmd.CommandPath(), childNames(cmd)))
			}
			return usageError(fmt.Errorf("%s has no %q; it has: %s", cmd.CommandPath(), args[0], childNames(cmd)))
		},
	}
	parent.AddCommand(commands...)
	return parent
}

func childNames(cmd *cobra.Command) string {
	var names []string
	for _, child := range cmd.Commands() {
		names = append(names, child.Name())
	}
	return strings.Join(names, ", ")
}

// readFlags fills the flags that were not given from the environment
// (WARDER_<FLAG>), and checks the persistent ones.
func (c *cli) readFlags(cmd *cobra.Command) error {
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := variable(f.Name)
		value, ok := os.LookupEnv(name)
		if f.Changed || !ok || f.Name == "help" || f.Name == "version" {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil && failed == nil {
			failed = usageError(fmt.Errorf("%s: %w", name, err))
		}
	})
	if failed != nil {
		return failed
	}
	if c.dataDir == "" {
		c.dataDir = defaultDataDir()
	}
	return nil
}

// variable is the variable of the environment that stands for a flag.
func variable(flag string) string {
	return "WARDER_" + strings.ToUpper(strings.ReplaceAll(strings.TrimLeft(flag, "-"), "-", "_"))
}

func defaultDataDir() string {
	dir, err := localpg.DefaultRoot()
	if err != nil {
		return ".warder"
	}
	return dir
}

// exactly is cobra.ExactArgs with a text that names the arguments.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return usageError(fmt.Errorf("%s takes no arguments; got %q", cmd.CommandPath(), args[0]))
		}
		return usageError(fmt.Errorf("%s takes %s; got %s", cmd.CommandPath(), strings.Join(names, " "), counted(len(args), "argument")))
	}
}
