package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/warder-gateway/warder/internal/fault"
)

// maxFlaws is how many errors of a document are told at once.
const maxFlaws = 100

// flaws collects what is wrong with a document: whoever corrects one thing wants to
// know of the others. The zero value has none.
type flaws struct {
	errs []error // each about one place
	more int     // further ones
}

// add takes an error, or those that an error of flaws holds; nil is none.
func (f *flaws) add(err error) {
	if several, ok := errors.AsType[*flaws](err); ok {
		for _, one := range several.errs {
			f.add(one)
		}
		f.more += several.more
		return
	}
	switch {
	case err == nil:
	case len(f.errs) < maxFlaws:
		f.errs = append(f.errs, err)
	default:
		f.more++
	}
}

// asError returns nil, the one error, or one that holds all of them in the order of
// their lines.
func (f *flaws) asError() error {
	switch len(f.errs) {
	case 0:
		return nil
	case 1:
		return f.errs[0]
	}
	slices.SortStableFunc(f.errs, func(a, b error) int { return ByPlace(RemarkOf(a), RemarkOf(b)) })
	return fault.Wrap(fault.Invalid, f.text(), f)
}

// Error counts them; the text of the fault around it lists them.
func (f *flaws) Error() string { return fmt.Sprintf("%d errors", len(f.errs)+f.more) }

// text lists the errors, one a line.
func (f *flaws) text() string {
	lines := make([]string, 0, len(f.errs)+1)
	for _, err := range f.errs {
		lines = append(lines, fault.Text(err))
	}
	if f.more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", f.more))
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the errors.
func (f *flaws) Unwrap() []error { return f.errs }

// RemarksOf returns an error of ParseDocument as remarks, one for each thing that is
// wrong; any other error as one.
func RemarksOf(err error) []Remark {
	several, ok := errors.AsType[*flaws](err)
	if !ok {
		return []Remark{RemarkOf(err)}
	}
	remarks := make([]Remark, 0, len(several.errs)+1)
	for _, one := range several.errs {
		remarks = append(remarks, RemarkOf(one))
	}
	if several.more > 0 {
		remarks = append(remarks, Remark{Severity: SeverityError, Check: CheckTooLarge, Text: fmt.Sprintf("there are %d more errors", several.more)})
	}
	return remarks
}
