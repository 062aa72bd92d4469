// Command withpg runs a command with a PostgreSQL for its tests:
//
//	go run ./internal/pgtest/cmd/withpg -- go test ./...
//
// It starts one throw-away server, names it to the command in
// WARDER_TEST_DATABASE_URL, passes signals on, removes the server when the
// command has ended, and exits as the command did. A server that the variable
// names already is used as it is.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/pgtest"
)

// Exit codes of withpg's own, as shells and env(1) use them.
const (
	exitUsage      = 2
	exitNoServer   = 125
	exitNotStarted = 127
)

// patience bounds the start and the stop of the server.
const patience = 2 * time.Minute

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: withpg -- command [argument…]")
		return exitUsage
	}
	// From here on signals are the command's business; withpg lives to clean up.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if os.Getenv(pgtest.EnvURL) != "" {
		return command(args, os.Environ(), signals)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cluster, err := pgtest.StartCluster(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", message(err))
		return exitNoServer
	}
	defer stop(cluster)
	go report(cluster)
	fmt.Fprintf(os.Stderr, "withpg: PostgreSQL %s\n", cluster.Version())
	return command(args, append(os.Environ(), pgtest.EnvURL+"="+cluster.URL()), signals)
}

// message is what a person reads: the text of a fault, which says what to do.
func message(err error) string {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return fault.Text(err)
	}
	return err.Error()
}

// report says so if the server ends under the tests, which would only see
// broken connections.
func report(cluster *pgtest.Cluster) {
	for err := range cluster.Done() {
		fmt.Fprintln(os.Stderr, "withpg:", message(err))
	}
}

func stop(cluster *pgtest.Cluster) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := cluster.Stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", message(err))
	}
}

// command runs the command and returns its exit code; 128 and the signal's
// number if a signal ended it, as shells have it.
func command(args, env []string, signals <-chan os.Signal) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
		return exitNotStarted
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case s := <-signals:
				_ = cmd.Process.Signal(s) // It fails only if the command has ended.
			case <-done:
				return
			}
		}
	}()
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal())
		}
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
		return 1
	}
	return 0
}
