package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/internal/fault"
)

// The exit codes, a contract for scripts.
const (
	exitOK           = 0
	exitError        = 1
	exitUsage        = 2
	exitCheckFailed  = 3 // a check answered no: policy explain under --expect
	exitNotFound     = 4
	exitDenied       = 5
	exitUnavailable  = 6 // try again later
	exitConflict     = 7
	exitPrecondition = 10 // 'up' and the planes cannot start: port, database, lock
	exitInterrupted  = 130
)

// exitCodeError carries an exit code past cobra.
type exitCodeError struct {
	code int
	err  error
}

func (e *exitCodeError) Error() string { return e.err.Error() }
func (e *exitCodeError) Unwrap() error { return e.err }

// usageError marks a mistake in the command line.
func usageError(err error) error { return &exitCodeError{exitUsage, err} }

// startError marks what keeps a process from starting; err is for people.
func startError(err error) error {
	if err == nil {
		return nil
	}
	return &exitCodeError{exitPrecondition, err}
}

// report writes err where people and scripts look for it, and returns the exit
// code that it stands for.
func (c *cli) report(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	code, kind, text := classify(err)
	if ctx.Err() != nil && code != exitPrecondition {
		return exitInterrupted
	}
	if c.output == "json" {
		line, _ := json.Marshal(map[string]any{"error": map[string]string{"code": kind, "message": text}})
		fmt.Fprintln(c.stderr, string(line))
		return code
	}
	fmt.Fprintln(c.stderr, "warder:", visible(text))
	if _, remote := errors.AsType[*connect.Error](err); code == exitUsage && !remote {
		fmt.Fprintln(c.stderr, "Run the command with --help to see how it is used.")
	}
	return code
}

// classify returns the exit code, the name of the kind, and the text of err.
func classify(err error) (code int, kind, text string) {
	if e, ok := errors.AsType[*exitCodeError](err); ok {
		return e.code, kindNames[e.code], fullText(e.err)
	}
	if e, ok := errors.AsType[*connect.Error](err); ok {
		code = exitOf(e.Code())
		return code, e.Code().String(), e.Message()
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		code = exitOf(connect.CodeOf(fault.Connect(err)))
		return code, fault.KindOf(err).String(), fullText(err)
	}
	if isUsage(err) {
		return exitUsage, kindNames[exitUsage], err.Error()
	}
	return exitError, "error", err.Error()
}

// isUsage knows the mistakes that cobra finds itself, which have no type.
func isUsage(err error) bool {
	for _, prefix := range []string{"unknown command", "required flag(s)", "unknown flag", "unknown shorthand"} {
		if strings.HasPrefix(err.Error(), prefix) {
			return true
		}
	}
	return false
}

// fullText is the text of a fault, which was written for people, or else the
// whole chain: the command line runs on the operator's own machine.
func fullText(err error) string {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return fault.Text(err)
	}
	return err.Error()
}

var kindNames = map[int]string{
	exitUsage:        "usage",
	exitCheckFailed:  "check_failed",
	exitUnavailable:  "unavailable",
	exitPrecondition: "start_precondition",
}

func exitOf(code connect.Code) int {
	switch code {
	case connect.CodeInvalidArgument:
		return exitUsage
	case connect.CodeNotFound:
		return exitNotFound
	case connect.CodeUnauthenticated, connect.CodePermissionDenied:
		return exitDenied
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeResourceExhausted:
		return exitUnavailable
	case connect.CodeAlreadyExists, connect.CodeAborted, connect.CodeFailedPrecondition:
		return exitConflict
	default:
		return exitError
	}
}
