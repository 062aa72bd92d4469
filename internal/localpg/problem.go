package localpg

import (
	"errors"
	"strings"

	"github.com/warder-gateway/warder/internal/fault"
)

// problem is what a person reads when the database cannot run: what happened,
// why, how to fix it. The way around this package is added to each.
type problem struct {
	what  string
	why   string
	fix   []string
	cause error
}

// Code is the code of everything that keeps a private PostgreSQL from running.
const Code = "WARDER-DB-001"

// instead is the way around every problem of this package.
const instead = "or use a PostgreSQL of your own (15 or newer): --database-url postgres://user:password@host/database (or WARDER_DATABASE_URL)"

// fault returns the problem as a precondition that somebody must put right.
func (p problem) fault() error {
	var b strings.Builder
	b.WriteString(p.what)
	if p.why != "" {
		b.WriteString("\n  why: " + p.why)
	}
	for _, f := range append(p.fix, instead) {
		b.WriteString("\n  fix: " + f)
	}
	if p.cause == nil {
		return fault.New(fault.Precondition, b.String()).Coded(Code)
	}
	return fault.Wrap(fault.Precondition, b.String(), p.cause).Coded(Code)
}

// classified returns the fault in the chain of err, if there is one.
func classified(err error) (*fault.Error, bool) { return errors.AsType[*fault.Error](err) }

// unwritable is the problem of a directory that this process may not write.
func unwritable(dir string, err error) error {
	return problem{
		what: "the directory of the embedded PostgreSQL cannot be written: " + dir,
		why:  err.Error(), cause: err,
		fix: []string{"make it writable for " + whoami() + ", or choose another: --data-dir /path (or WARDER_DATA_DIR)"},
	}.fault()
}
