package conformance

import (
	"cmp"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Loss is one kind of check of one scenario that ends worse through Warder than directly.
type Loss struct {
	Scenario, Check string
	Direct, Through Tally
}

// String says what was lost.
func (l Loss) String() string {
	return fmt.Sprintf("%s / %s: directly %s, through Warder %s", l.Scenario, l.Check, l.Direct, l.Through)
}

// String says how the checks ended.
func (t Tally) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{t.Passed, "passed"}, {t.Failed, "failed"}, {t.Warned, "warned"}, {t.Skipped, "skipped"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "nothing")
}

// Compare returns, in order, the checks of which fewer passed through Warder than directly, or more failed or warned. In a
// scenario that fails directly, a check that was not reached there may end as it likes: no run says how it should.
func Compare(direct, through Results) []Loss {
	var losses []Loss
	for _, scenario := range slices.Sorted(maps.Keys(both(direct, through))) {
		d, t := direct[scenario], through[scenario]
		broken := failed(d)
		for _, check := range slices.Sorted(maps.Keys(both(d, t))) {
			l := Loss{scenario, check, d[check], t[check]}
			if _, reached := d[check]; !reached && broken {
				continue
			}
			if l.Through.Passed < l.Direct.Passed || l.Through.Failed > l.Direct.Failed || l.Through.Warned > l.Direct.Warned {
				losses = append(losses, l)
			}
		}
	}
	return losses
}

// failed reports whether a check of a scenario failed.
func failed(checks map[string]Tally) bool {
	for _, t := range checks {
		if t.Failed > 0 {
			return true
		}
	}
	return false
}

// both has the keys of two maps.
func both[V any](a, b map[string]V) map[string]V {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]V{}
	}
	maps.Copy(all, b)
	return all
}

// Excuses are what may be lost, each with its reason: scenarios, or single checks as "scenario / check". With "server, "
// before it, it holds for one server only.
type Excuses map[string]string

var (
	//go:embed renamed.txt
	renamed string
	//go:embed optional.txt
	optional string
)

// Renamed are the scenarios that cannot pass through the aggregate, since it renames tools and prompts and prefixes URIs.
func Renamed() Excuses { return parseExcuses(renamed) }

// Optional are the checks that come out otherwise through Warder, on any way, because what they look for has no place
// there.
func Optional() Excuses { return parseExcuses(optional) }

// parseExcuses reads lines "what: reason", between comments.
func parseExcuses(text string) Excuses {
	excuses := Excuses{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		what, reason, _ := strings.Cut(line, ": ")
		excuses[what] = reason
	}
	return excuses
}

// Excuse returns the losses with a server that have no excuse, and for the others the excuses that were needed.
func (e Excuses) Excuse(server string, losses []Loss) (real []Loss, used []string) {
	for _, l := range losses {
		check := l.Scenario + " / " + l.Check
		what := []string{server + ", " + check, check, server + ", " + l.Scenario, l.Scenario}
		if i := slices.IndexFunc(what, func(w string) bool { return e[w] != "" }); i >= 0 {
			used = append(used, what[i])
		} else {
			real = append(real, l)
		}
	}
	return real, used
}
