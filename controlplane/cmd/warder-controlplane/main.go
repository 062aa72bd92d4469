// Command warder-controlplane is the control plane as a process of its own.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"github.com/spf13/pflag"

	"github.com/warder-gateway/warder/controlplane"
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
			fmt.Fprintln(os.Stderr, "warder-controlplane:", err)
		}
		os.Exit(exitCode(err))
	}
}

func run(ctx context.Context, args []string) error {
	flags := pflag.NewFlagSet("warder-controlplane", pflag.ContinueOnError)
	config := controlplane.Config{
		DataDir: os.Getenv("WARDER_DATA_DIR"),
		KEKFile: os.Getenv("WARDER_KEK_FILE"),
		Version: build.Version,
		Log:     slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	}
	config.Flags(flags)
	if err := flags.Parse(args); err != nil {
		return fault.Wrap(fault.Invalid, "bad flags", err)
	}
	// Secrets are not defaults of flags, which help would show.
	config.DatabaseURL = cmp.Or(config.DatabaseURL, os.Getenv("WARDER_DATABASE_URL"))
	config.MigrateURL = cmp.Or(config.MigrateURL, os.Getenv("WARDER_MIGRATE_URL"))
	return controlplane.Run(ctx, config)
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
