package risk

import (
	"slices"
	"strings"

	"github.com/warder-gateway/warder/internal/fault"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// The categories, by short names for the tables of this package.
const (
	nothing      = snapshotv1.Risk_RISK_UNSPECIFIED // no evidence, not a category
	read         = snapshotv1.Risk_RISK_READ
	write        = snapshotv1.Risk_RISK_WRITE
	destructive  = snapshotv1.Risk_RISK_DESTRUCTIVE
	admin        = snapshotv1.Risk_RISK_ADMIN
	execute      = snapshotv1.Risk_RISK_EXECUTE
	external     = snapshotv1.Risk_RISK_EXTERNAL
	unclassified = snapshotv1.Risk_RISK_UNCLASSIFIED
)

// names is indexed by category.
var names = [...]string{"", "read", "write", "destructive", "admin", "execute", "external", "unclassified"}

// severity orders the categories; the place in the list counts.
var severity = [...]snapshotv1.Risk{nothing, read, write, external, destructive, admin, execute, unclassified}

// Name returns the category's name in lower case. A category that this build
// does not know is "unclassified".
func Name(r snapshotv1.Risk) string { return names[Known(r)] }

// Names returns the names of all categories, least risky first.
func Names() []string {
	all := make([]string, 0, len(severity)-1)
	for _, r := range severity[1:] {
		all = append(all, names[r])
	}
	return all
}

// Parse returns the category of a name. The error is fault.Invalid and lists
// the names.
func Parse(name string) (snapshotv1.Risk, error) {
	if i := slices.Index(names[1:], name); i >= 0 {
		return snapshotv1.Risk(i + 1), nil
	}
	return 0, fault.Newf(fault.Invalid, "no risk category %q; the categories are %s", name, strings.Join(Names(), ", "))
}

// Known returns r, and unclassified in place of a category that is not set or
// that this build does not know.
func Known(r snapshotv1.Risk) snapshotv1.Risk {
	if r <= 0 || int(r) >= len(names) {
		return unclassified
	}
	return r
}

// Riskier reports whether a is riskier than b.
func Riskier(a, b snapshotv1.Risk) bool {
	return slices.Index(severity[:], a) > slices.Index(severity[:], b)
}
