// Command warder is the command that people use: it runs the gateway and
// administers it.
//
//	warder up                       all planes in one process tree
//	warder controlplane|dataplane   one plane, to be run apart
//	warder server|tool|user|…       the administrator's verbs
//
// The verbs speak the admin API over the Unix socket in the data directory of
// the running instance; the socket tells who calls, so there is no login on the
// same machine. Results go to stdout, as a table or, with -o json, as the API's
// own message in protojson; everything else goes to stderr. The exit code says
// what sort of failure it was (exit.go).
package main

import (
	"context"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/pflag"

	"github.com/warder-gateway/warder/internal/stopsignal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), stopsignal.All()...)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &cli{stdin: stdin, stdout: stdout, stderr: stderr}
	root := c.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && wantsJSON(args) {
		c.output = "json"
	}
	return c.report(ctx, err)
}

// wantsJSON reads -o out of a command line that may be wrong elsewhere: a script
// that asked for JSON gets it for its mistakes as well.
func wantsJSON(args []string) bool {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	output := flags.StringP("output", "o", os.Getenv("WARDER_OUTPUT"), "")
	_ = flags.Parse(args) // What else is wrong is being reported.
	return *output == "json"
}
