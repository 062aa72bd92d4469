// Command warder-agent is the agent as a program of its own: it runs beside MCP servers that nodes cannot reach.
//
//	warder-agent test NAME   start a server of the agent's file, list its tools, stop it
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/warder-gateway/warder/agent"
	"github.com/warder-gateway/warder/internal/build"
	"github.com/warder-gateway/warder/internal/fault"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, pflag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "warder-agent:", fault.Text(err))
		}
		os.Exit(exitCode(err))
	}
}

const usage = "usage: warder-agent test NAME [--config FILE]"

// run executes one command line.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := pflag.NewFlagSet("warder-agent", pflag.ContinueOnError)
	config := agent.Config{
		File: os.Getenv("WARDER_CONFIG"), Version: build.Version,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	config.Flags(flags)
	if err := flags.Parse(args); err != nil {
		return fault.Wrap(fault.Invalid, "bad flags: "+err.Error(), err)
	}
	if flags.NArg() != 2 || flags.Arg(0) != "test" {
		return fault.New(fault.Invalid, usage)
	}
	report, err := agent.Test(ctx, config, flags.Arg(1))
	if err != nil {
		return err
	}
	report.Print(stdout)
	return nil
}

// exitCode tells a wrong command line or file (2) from everything else (1).
func exitCode(err error) int {
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return 0
	case fault.Is(err, fault.Invalid):
		return 2
	}
	return 1
}
