// Command warder-dataplane is the data plane as a process of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"github.com/spf13/pflag"

	"github.com/warder-gateway/warder/dataplane"
	"github.com/warder-gateway/warder/internal/build"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/stopsignal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), stopsignal.All()...)
	defer stop()
	stopsignal.OutliveReaders()
	if err := run(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, pflag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "warder-dataplane:", err)
		}
		os.Exit(exitCode(err))
	}
}

func run(ctx context.Context, args []string) error {
	flags := pflag.NewFlagSet("warder-dataplane", pflag.ContinueOnError)
	config := dataplane.Config{
		DataDir: os.Getenv("WARDER_DATA_DIR"),
		Version: build.Version,
		Log:     slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	}
	config.Flags(flags)
	if err := flags.Parse(args); err != nil {
		return fault.Wrap(fault.Invalid, "bad flags", err)
	}
	return dataplane.Run(ctx, config)
}

// exitCode tells a wrong command line (2) from everything else (1).
func exitCode(err error) int {
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return 0
	case fault.Is(err, fault.Invalid):
		return 2
	}
	return 1
}
