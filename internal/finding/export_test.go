package finding

import (
	"slices"
	"strings"
	"testing"
)

// LookAlikes lets tests spell names as an attacker would.
var LookAlikes = lookAlikes

// TestCheckThatFailsIsAFinding holds that nothing passes because a check broke.
func TestCheckThatFailsIsAFinding(t *testing.T) {
	broken := append(slices.Clone(checks), check{"broken", func(_ *scan, t *text) {
		if t.member == "description" {
			panic("no")
		}
	}})
	found := scanWith(broken, Definition{Kind: Tool, Raw: []byte("{\"name\":\"a\",\"description\":\"b\u200b\"}")}, nil)
	if i := slices.IndexFunc(found, func(f Finding) bool { return f.Check == "scan.degraded" }); i < 0 ||
		found[i].Severity != Hard || found[i].Path != "/description" || !strings.Contains(found[i].Explanation, `"broken"`) {
		t.Errorf("the check that failed is no finding: %+v", found)
	}
	if !slices.ContainsFunc(found, func(f Finding) bool { return f.Check == "hidden.zero_width" }) {
		t.Errorf("the other checks stopped: %+v", found)
	}
}

// TestRulesAreWellFormed holds what the matcher relies on.
func TestRulesAreWellFormed(t *testing.T) {
	for i, r := range rules {
		if len(r.steps) == 0 || len(r.steps) > maxSteps {
			t.Errorf("rule %d of %s has %d steps", i, r.check, len(r.steps))
		}
	}
	names := make(map[string]bool)
	for _, m := range meanings {
		if names[m.name] {
			t.Errorf("class %s is there twice", m.name)
		}
		names[m.name] = true
	}
}
