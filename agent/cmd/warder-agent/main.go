// Command warder-agent is the agent as a program of its own: it runs beside MCP servers that nodes cannot reach.
//
//	warder-agent run         join, connect, and serve until it is told to stop; in a terminal, show what happens
//	warder-agent test NAME   start a server of the agent's file, list its tools, stop it
//	warder-agent version     say which version it is
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/warder-gateway/warder/agent"
	"github.com/warder-gateway/warder/internal/build"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/stopsignal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), stopsignal.All()...)
	defer stop()
	context.AfterFunc(ctx, func() {
		stopsignal.OutliveTerminal()
		stop() // A second signal ends it at once.
	})
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, pflag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "warder-agent:", fault.Text(err))
		}
		os.Exit(exitCode(err))
	}
}

const usage = `usage: warder-agent run --control-plane HOST:PORT [--join-token-file FILE] [--data-dir DIR] [--config FILE]
       warder-agent test NAME [--config FILE]
       warder-agent version`

// run executes one command line.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := pflag.NewFlagSet("warder-agent", pflag.ContinueOnError)
	config := agent.Config{
		File: os.Getenv("WARDER_CONFIG"), ControlPlane: os.Getenv("WARDER_CONTROL_PLANE"), JoinTokenFile: os.Getenv("WARDER_JOIN_TOKEN_FILE"),
		DataDir: cmp.Or(os.Getenv("WARDER_DATA_DIR"), agent.DefaultDataDir()), Version: build.Version,
	}
	config.RunFlags(flags)
	flags.StringVar(&config.DataDir, "data-dir", config.DataDir, "directory for the agent's identity and its last orders")
	level := slog.LevelInfo
	flags.TextVar(&level, "log-level", level, "what is logged at least: debug, info, warn, error")
	version := flags.Bool("version", false, "say which version it is")
	flags.Usage = func() { fmt.Fprintf(stdout, "%s\n\nFlags:\n%s", usage, flags.FlagUsages()) }
	if err := flags.Parse(args); err != nil {
		return fault.Wrap(fault.Invalid, "bad flags: "+err.Error(), err)
	}
	switch {
	case *version, flags.NArg() == 1 && flags.Arg(0) == "version":
		fmt.Fprintln(stdout, "warder-agent", build.Version)
		return nil
	case flags.NArg() == 1 && flags.Arg(0) == "run":
		config.Log = logger(level)
		stopsignal.OutliveReaders()
		config.Screen = agent.FindScreen(os.Stdin, stdout, os.Stderr)
		return agent.Run(ctx, config)
	case flags.NArg() == 2 && flags.Arg(0) == "test":
		config.Log = logger(max(level, slog.LevelWarn))
		report, err := agent.Test(ctx, config, flags.Arg(1))
		if err != nil {
			return err
		}
		report.Print(stdout)
		return nil
	}
	return fault.New(fault.Invalid, usage)
}

// logger writes text for people, and JSON for everything else.
func logger(level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, options))
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
