package policy

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/warder-gateway/warder/internal/fault"
)

// Severities of remarks. A document with errors is not applied.
const (
	SeverityError   = "error"
	SeverityWarning = "warning"
)

// Remark is what a check says of a place in a document.
type Remark struct {
	// Line and Column are from 1; 0 if it is about no place.
	Line, Column int
	Severity     string
	// Check names what was checked, in few words with hyphens between them.
	Check string
	Text  string
}

// String returns the remark as compilers write theirs.
func (r Remark) String() string {
	if r.Line == 0 {
		return fmt.Sprintf("%s: %s", r.Severity, r.Text)
	}
	return fmt.Sprintf("line %d, column %d: %s: %s", r.Line, r.Column, r.Severity, r.Text)
}

// ByPlace orders remarks as the document goes on.
func ByPlace(a, b Remark) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Check, b.Check))
}

// CheckInvalid is the check of what does not parse or compile.
const CheckInvalid = "invalid"

// RemarkOf returns an error of ParseDocument, or of Check, as a remark.
func RemarkOf(err error) Remark {
	remark := Remark{Severity: SeverityError, Check: CheckInvalid, Text: fault.Text(err)}
	if at, ok := errors.AsType[*misplaced](err); ok {
		remark.Line, remark.Column, remark.Text = at.line, at.column, at.text
	}
	return remark
}

// misplaced is the cause of an error about a place.
type misplaced struct {
	line, column int
	text         string // without the place
}

// Error names the place.
func (m *misplaced) Error() string { return fmt.Sprintf("at %d:%d of the document", m.line, m.column) }
