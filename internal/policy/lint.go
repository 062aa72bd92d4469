package policy

import (
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// The checks of Lint.
const (
	// CheckNeverMatches: no request is decided by the rule. It is only said where
	// that is proven.
	CheckNeverMatches = "never-matches"
	// CheckDuplicate: an earlier rule says the same; so no request is decided by
	// this one either.
	CheckDuplicate = "duplicate"
	// CheckAlwaysTrue: the condition might as well be left out.
	CheckAlwaysTrue = "always-true"
	// CheckAlwaysFails: the condition cannot be evaluated, so that the rule denies
	// all that it is about.
	CheckAlwaysFails = "always-fails"
	// CheckUnlikelyRisk: prompts and resources do not have such categories.
	CheckUnlikelyRisk = "unlikely-risk"
	// CheckNoTests: there are rules, and nothing says what they are for.
	CheckNoTests = "no-tests"
	// CheckTooLarge: not all of the document was checked.
	CheckTooLarge = "too-large"

	// These name what nobody knows; perhaps it will be there.
	CheckUnknownRole        = "unknown-role"
	CheckUnknownUser        = "unknown-user"
	CheckUnknownGroup       = "unknown-group"
	CheckUnknownApplication = "unknown-application"
	CheckUnknownServer      = "unknown-server"
)

// maxRemarks is how many remarks Lint makes; one more says that there would be more.
const maxRemarks = 1000

// Known is what exists outside of a document. A nil function knows everything, so
// that nothing is remarked on.
type Known struct {
	Role, User, Group, Application, Server func(name string) bool
}

// Lint returns what is not wrong with the document but worth a look, in the order of
// its lines.
func (d *Document) Lint(known Known) []Remark {
	l := linter{document: d, known: known}
	l.rules()
	for i, limit := range d.Limits {
		l.names(d.limits[i])
		l.unlikely(d.limits[i], "limit", limit)
	}
	if len(d.Rules) > 0 && len(d.Tests) == 0 {
		l.remark(1, 1, CheckNoTests, "the document has no tests; write some, and a change that breaks what they say is refused")
	}
	slices.SortStableFunc(l.remarks, ByPlace)
	if more := len(l.remarks) - maxRemarks; more > 0 {
		l.remarks = append(l.remarks[:maxRemarks], Remark{Severity: SeverityWarning, Check: CheckTooLarge, Text: fmt.Sprintf("there are %d more remarks", more)})
	}
	return l.remarks
}

// linter collects remarks.
type linter struct {
	document *Document
	known    Known
	remarks  []Remark
}

func (l *linter) remark(line, column int, check, format string, args ...any) {
	l.remarks = append(l.remarks, Remark{line, column, SeverityWarning, check, fmt.Sprintf(format, args...)})
}

// about remarks on a node.
func (l *linter) about(n *node, check, format string, args ...any) {
	at := n.begins()
	l.remark(at.Line, at.Column, check, n.path+": "+format, args...)
}

// placed is a rule with where it stands.
type placed struct {
	rule *snapshotv1.Rule
	node *node
	line line
}

// rules remarks on the rules one by one, and on those that others leave nothing.
func (l *linter) rules() {
	all := make([]placed, 0, len(l.document.Rules))
	for i, rule := range l.document.Rules {
		compiled, err := ruleLine(rule)
		if err != nil {
			continue // Compile refuses the document.
		}
		all = append(all, placed{rule, l.document.rules[i], compiled})
		l.names(l.document.rules[i])
		l.unlikely(l.document.rules[i], "rule", rule)
	}
	slices.SortFunc(all, func(a, b placed) int { return inOrder(a.rule, b.rule) })
	budget := maxComparisons
	for i := range all {
		switch l.constant(&all[i]) {
		case failed, yes:
			all[i].line.when = nil // It decides on all that its lists are about.
		case no:
			continue
		}
		l.shadowed(all[:i], &all[i], &budget)
	}
	if budget <= 0 {
		l.remark(1, 1, CheckTooLarge, "the document is too large to compare all rules with each other; some that can never match may go unremarked")
	}
}

// constant remarks on a condition that is the same for all requests, and returns
// what it is; undecided for any other, and for none.
func (l *linter) constant(p *placed) outcome {
	when := p.line.when
	if when == nil || when.reads != 0 {
		return undecided
	}
	field := p.node.field("when")
	result, err := when.evaluate(&evaluation{facts: &noFacts})
	switch result {
	case yes:
		l.about(field, CheckAlwaysTrue, "the condition is true for every request; leave it out")
	case no:
		l.about(p.node, CheckNeverMatches, "the rule can never match: its condition is false for every request")
	default:
		l.about(field, CheckAlwaysFails, "the condition cannot be evaluated for any request (%v), so that the rule denies all that it is about", err)
	}
	return result
}

// shadowed remarks on a rule before which another always decides.
func (l *linter) shadowed(earlier []placed, p *placed, budget *int) {
	for i := range earlier {
		first := &earlier[i]
		if *budget <= 0 {
			return
		}
		if first.line.when != nil && (p.line.when == nil || first.line.when.text != p.line.when.text) || !first.line.covers(&p.line, budget) {
			continue
		}
		at := first.node.line()
		if first.rule.GetEffect() == p.rule.GetEffect() && p.line.covers(&first.line, budget) {
			l.about(p.node, CheckDuplicate, "the rule can never match: rule %q in line %d comes first and says the same", first.rule.GetName(), at)
		} else {
			l.about(p.node, CheckNeverMatches, "the rule can never match: rule %q in line %d comes first and decides all that it is about", first.rule.GetName(), at)
		}
		return
	}
}

// unlikely remarks on categories that neither prompts nor resources have.
func (l *linter) unlikely(n *node, what string, about interface {
	GetTools() []string
	GetPrompts() []string
	GetResources() []string
	GetRisks() []snapshotv1.Risk
}) {
	others := len(about.GetPrompts()) + len(about.GetResources())
	if len(about.GetTools()) > 0 || others == 0 || len(about.GetRisks()) == 0 ||
		slices.Contains(about.GetRisks(), snapshotv1.Risk_RISK_READ) || slices.Contains(about.GetRisks(), snapshotv1.Risk_RISK_UNCLASSIFIED) {
		return
	}
	l.about(n.field("risk"), CheckUnlikelyRisk, "prompts and resources are read, and resources that no server lists are unclassified; the %s names neither", what)
}

// names remarks on what nobody knows in the lists of a rule or a limit.
func (l *linter) names(n *node) {
	for _, list := range []struct {
		field, check, what string
		known              func(string) bool
	}{
		{"users", CheckUnknownUser, "user", l.known.User},
		{"groups", CheckUnknownGroup, "group", l.known.Group},
		{"roles", CheckUnknownRole, "role", l.known.Role},
		{"applications", CheckUnknownApplication, "application", l.known.Application},
		{"tools", CheckUnknownServer, "server", l.known.Server},
		{"prompts", CheckUnknownServer, "server", l.known.Server},
		{"resources", CheckUnknownServer, "server", l.known.Server},
	} {
		if list.known == nil {
			continue
		}
		for _, item := range n.entries(list.field) {
			name, err := item.text()
			if err != nil {
				continue
			}
			if list.what == "server" {
				g, err := parseGlob(Resource, name) // The widest kind: any other would refuse more.
				if server, _ := g.exact(); err != nil || !server {
					continue
				}
				name = g.server[0]
			}
			if !list.known(name) {
				l.about(item, list.check, "there is no %s %q", list.what, name)
			}
		}
	}
}

// field returns a field of a mapping that was read before; the mapping itself if it
// has none of the name.
func (n *node) field(name string) *node {
	mapping, ok := n.value.(ast.MapNode)
	if !ok {
		return n
	}
	for members := mapping.MapRange(); members.Next(); {
		if key, ok := members.Key().(*ast.StringNode); ok && key.Value == name {
			return &node{path: n.path + "." + name, value: members.Value(), source: n.source}
		}
	}
	return n
}

// entries returns the entries of a list of a mapping that was read before.
func (n *node) entries(name string) []*node {
	list := n.field(name)
	if list == n {
		return nil
	}
	items, err := list.items(maxList)
	if err != nil {
		return nil
	}
	return items
}
