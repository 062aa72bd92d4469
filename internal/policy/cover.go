package policy

import (
	"slices"
	"strings"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// maxComparisons bounds the work of comparing rules with each other, in entries of
// lists: some seconds' worth of the largest documents.
const maxComparisons = 50_000_000

// covers reports whether whatever the lists of another line match, those of this one
// match too. It says so only if it is certain. What it compares comes off the
// budget; without any left it is not certain.
func (l *line) covers(other *line, budget *int) bool {
	*budget--
	return l.riskCovers(other) &&
		coversList(l.users, other.users, budget) && coversList(l.applications, other.applications, budget) &&
		coversList(l.groups, other.groups, budget) && coversList(l.roles, other.roles, budget) &&
		coversList(l.methods, other.methods, budget) && l.coversGlobs(other, budget)
}

// coversList: who has one of the names of the other list has one of this.
func coversList(list, other []string, budget *int) bool {
	if len(list) == 0 {
		return true
	}
	if len(other) == 0 {
		return false
	}
	for _, name := range other {
		if *budget -= len(list); *budget <= 0 || !slices.Contains(list, name) {
			return false
		}
	}
	return true
}

// allRisks has the bit of each category.
const allRisks riskSet = 1<<(snapshotv1.Risk_RISK_UNCLASSIFIED+1) - 2

func (l *line) riskCovers(other *line) bool {
	return l.risks == 0 || l.risks == allRisks || other.risks != 0 && other.risks&^l.risks == 0
}

func (l *line) coversGlobs(other *line, budget *int) bool {
	if l.everything() {
		return true
	}
	if other.everything() {
		return false
	}
	for kind, globs := range other.globs {
		for i := range globs {
			if *budget -= len(l.globs[kind]); *budget <= 0 {
				return false
			}
			if !slices.ContainsFunc(l.globs[kind], func(g glob) bool { return g.covers(&globs[i]) }) {
				return false
			}
			if Kind(kind) == Resource && len(other.folded) > 0 && !l.coversFolded(&other.folded[i]) {
				return false
			}
		}
	}
	return true
}

// coversFolded: what the other line denies in each spelling, this one matches in each.
func (l *line) coversFolded(folded *glob) bool {
	return len(folded.name) == 0 || // It matches nothing.
		slices.ContainsFunc(l.globs[Resource], func(g glob) bool { return g.server.covers(folded.server) && g.name.covers(anything) }) ||
		slices.ContainsFunc(l.folded, func(g glob) bool { return g.covers(folded) })
}

// anything is the pattern of a star alone.
var anything = parsePattern("*")

// covers reports whether whatever another glob matches, this one matches too.
func (g *glob) covers(other *glob) bool {
	return g.server.covers(other.server) && g.name.covers(other.name)
}

// covers compares with the other pattern as a text in which a character that no
// pattern has stands for each star: wherever it lands, only a star of this pattern
// can match it, and a star matches whatever it stands for.
func (p pattern) covers(other pattern) bool {
	return len(p) > 0 && p.matches(strings.Join(other, "\x00"))
}
