package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/internal/fault"
)

// The exit codes, a contract for scripts.
const (
	exitOK           = 0
	exitError        = 1
	exitUsage        = 2
	exitCheckFailed  = 3 // a check answered no: policy lint and test, explain under --expect
	exitNotFound     = 4
	exitDenied       = 5
	exitUnavailable  = 6 // try again later
	exitConflict     = 7
	exitPrecondition = 10 // 'up' and the planes cannot start: port, database, lock
	exitInterrupted  = 130
)

// exitCodeError carries an exit code past cobra, and a code of the documentation if
// it is another than that of all errors which exit so.
type exitCodeError struct {
	exit int
	code string
	err  error
}

func (e *exitCodeError) Error() string { return e.err.Error() }
func (e *exitCodeError) Unwrap() error { return e.err }

// usageError marks a mistake in the command line.
func usageError(err error) error { return &exitCodeError{exit: exitUsage, err: err} }

// startError marks what keeps a process from starting; err is for people.
func startError(err error) error {
	if err == nil {
		return nil
	}
	code := fault.Code(err)
	if coded, ok := errors.AsType[*exitCodeError](err); ok {
		code = coded.code
	}
	return &exitCodeError{exitPrecondition, code, err}
}

// report writes err where people and scripts look for it, and returns the exit
// code that it stands for.
func (c *cli) report(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	f := classify(err)
	if ctx.Err() != nil && f.exit != exitPrecondition {
		return exitInterrupted
	}
	if c.output == "json" {
		f.writeJSON(c.stderr)
		return f.exit
	}
	fmt.Fprintf(c.stderr, "warder: %s [%s]\n", visible(f.text), f.code)
	if _, remote := errors.AsType[*connect.Error](err); f.exit == exitUsage && !remote {
		fmt.Fprintln(c.stderr, "Run the command with --help to see how it is used.")
	}
	return f.exit
}

// failure is an error as the command line tells it.
type failure struct {
	exit int
	code string
	text string
}

// writeJSON writes one object on one line. Its form is a contract for scripts.
func (f failure) writeJSON(w io.Writer) {
	known := errorCodes[f.code]
	line, err := json.Marshal(map[string]any{"error": map[string]string{
		"code": f.code, "kind": known.kind, "message": f.text, "hint": known.hint, "docs": docsOf(f.code),
	}})
	if err != nil { // Strings always have a form.
		line = []byte(`{"error":{"code":"` + codeInternal + `"}}`)
	}
	fmt.Fprintln(w, string(line))
}

// classify tells what an error is.
func classify(err error) failure {
	if e, ok := errors.AsType[*exitCodeError](err); ok {
		code := cmp.Or(e.code, codeOfExit[e.exit])
		return failure{e.exit, code, fullText(e.err)}
	}
	if e, ok := errors.AsType[*connect.Error](err); ok {
		return failure{exitOf(e.Code()), cmp.Or(fault.Code(err), codeOf(e.Code())), e.Message()}
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		kind := connect.CodeOf(fault.Connect(err))
		return failure{exitOf(kind), cmp.Or(fault.Code(err), codeOf(kind)), fullText(err)}
	}
	if isUsage(err) {
		return failure{exitUsage, codeUsage, oneLine(err.Error())}
	}
	return failure{exitError, codeInternal, err.Error()}
}

// oneLine writes what cobra proposes for a misspelt command behind the mistake: as
// cobra has it, it is a list of lines with tabs.
func oneLine(text string) string {
	mistake, proposed, found := strings.Cut(text, "\n\nDid you mean this?\n")
	if !found {
		return text
	}
	return mistake + "; did you mean " + strings.Join(strings.Fields(proposed), " or ") + "?"
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
