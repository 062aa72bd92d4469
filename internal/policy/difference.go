package policy

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"
)

// Change is how a rule or a limit differs between two documents.
type Change struct {
	// What is "rule" or "limit".
	What string
	Name string
	// Change is "added", "removed" or "changed".
	Change string
	// Before and After are the entries as YAML; empty where there is none.
	Before, After string
}

// Diff returns how the other document differs from this one: rules first, each kind
// by name. The order of rules in a document means nothing, and tests decide nothing,
// so neither is a difference. A nil document is empty.
func (d *Document) Diff(other *Document) []Change {
	var none Document
	if d == nil {
		d = &none
	}
	if other == nil {
		other = &none
	}
	return append(changes("rule", d.Rules, other.Rules, FormatRule), changes("limit", d.Limits, other.Limits, FormatLimit)...)
}

func changes[T interface {
	proto.Message
	GetName() string
}](what string, before, after []T, format func(T) string) []Change {
	was, all := map[string]T{}, []Change{}
	for _, item := range before {
		was[item.GetName()] = item
	}
	for _, item := range after {
		old, known := was[item.GetName()]
		delete(was, item.GetName())
		switch {
		case !known:
			all = append(all, Change{what, item.GetName(), "added", "", format(item)})
		case !proto.Equal(old, item):
			all = append(all, Change{what, item.GetName(), "changed", format(old), format(item)})
		}
	}
	for name, item := range was {
		all = append(all, Change{what, name, "removed", format(item), ""})
	}
	slices.SortFunc(all, func(a, b Change) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
