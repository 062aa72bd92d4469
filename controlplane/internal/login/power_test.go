package login

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestP16_LacksNamesWhatIsMissing(t *testing.T) {
	reads := Grant{Risks: []string{"read"}}
	writes := Grant{Risks: []string{"write"}}
	both := Grant{Risks: []string{"read", "write"}}
	github := Grant{Tools: []string{"github/*"}}
	for _, c := range []struct {
		name  string
		holds []Grant
		gives Grant
		lacks string
	}{
		{"the same", []Grant{github}, github, ""},
		{"nothing", nil, github, "the grant of tools github/* of any risk"},
		{"everything", []Grant{{}}, github, ""},
		{"less of a risk", []Grant{both}, reads, ""},
		{"of two grants", []Grant{reads, writes}, both, ""},
		{"more of a risk", []Grant{reads}, both, "the grant of everything of risk write"},
		{"any risk", []Grant{reads}, Grant{}, "the grant of everything of any risk"},
		{"narrower glob", []Grant{github}, Grant{Tools: []string{"github/get_*", "github/list"}}, ""},
		{"wider glob", []Grant{{Tools: []string{"github/get_*"}}}, github, "the grant of tools github/* of any risk"},
		{"other kind", []Grant{github}, Grant{Prompts: []string{"github/*"}}, "the grant of prompts github/* of any risk"},
		{"all of one kind is not all", []Grant{{Tools: []string{"*"}}}, Grant{}, "the grant of everything of any risk"},
		{"all of one kind", []Grant{{Tools: []string{"**"}}}, github, ""},
		{"star in the middle", []Grant{{Tools: []string{"git*/*_issue*"}}}, Grant{Tools: []string{"github/get_issue"}}, ""},
		{"stars that overlap", []Grant{{Tools: []string{"a/x*x"}}}, Grant{Tools: []string{"a/x"}}, "the grant of tools a/x of any risk"},
		{"slash in a name", []Grant{{Resources: []string{"files/file:///pub/*"}}}, Grant{Resources: []string{"files/file:///pub/a/*"}}, ""},
		{"name for a server", []Grant{{Tools: []string{"*/get"}}}, Grant{Tools: []string{"a/b/get"}}, "the grant of tools a/b/get of any risk"},
	} {
		if got := (Power{Grants: c.holds}).Lacks(Power{Grants: []Grant{c.gives}}); got != c.lacks {
			t.Errorf("%s: lacks %q, want %q", c.name, got, c.lacks)
		}
	}
	if got := (Power{Permissions: []Permission{Read}}).Lacks(Power{Permissions: []Permission{Read, WriteKeys}}); got != "the permission keys:write" {
		t.Errorf("lacks %q", got)
	}
}

// Whoever lacks nothing of what he gives is allowed all that it allows, whatever
// the globs.
func TestP16_WhoLacksNothingIsAllowedAll(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	pattern := func() (s string) {
		for range random.IntN(4) {
			s += pick("a", "b", "*")
		}
		return s
	}
	grant := func() (g Grant) {
		for range random.IntN(3) {
			g.Tools = append(g.Tools, pick("*", "", "", "")+pattern()+"/"+pattern())
		}
		for range random.IntN(2) {
			g.Prompts = append(g.Prompts, pattern()+"/"+pattern())
		}
		for _, risk := range []string{"read", "write"} {
			if random.IntN(2) == 0 {
				g.Risks = append(g.Risks, risk)
			}
		}
		return g
	}
	var covered, lacking int
	for range 20_000 {
		holder := Power{Grants: []Grant{grant(), grant()}}
		given := grant()
		if holder.Lacks(Power{Grants: []Grant{given}}) != "" {
			lacking++
			continue
		}
		covered++
		for range 30 {
			kind, server, risk := pick("tools", "prompts", "resources"), text(random), pick("read", "write", "admin")
			name := text(random) + pick("", "/"+text(random))
			if allows(given, kind, server, name, risk) && !allows(holder.Grants[0], kind, server, name, risk) && !allows(holder.Grants[1], kind, server, name, risk) {
				t.Fatalf("%+v lacks nothing of %+v, but is not allowed %s %s/%s of risk %s", holder, given, kind, server, name, risk)
			}
		}
	}
	if covered < 500 || lacking < 500 {
		t.Fatalf("%d covered, %d lacking: says nothing", covered, lacking)
	}
}

func text(random *rand.Rand) string {
	b := make([]byte, random.IntN(4))
	for i := range b {
		b[i] = "ab"[random.IntN(2)]
	}
	return string(b)
}

// allows says what a grant allows by what is written of globs, not by power.go.
func allows(g Grant, kind, server, name, risk string) bool {
	if len(g.Risks) > 0 && !slices.Contains(g.Risks, risk) {
		return false
	}
	globs := map[string][]string{"tools": g.Tools, "prompts": g.Prompts, "resources": g.Resources}
	if len(g.Tools)+len(g.Prompts)+len(g.Resources) == 0 {
		return true
	}
	for _, glob := range globs[kind] {
		s, n, _ := strings.Cut(glob, "/")
		if glob == "*" || matches(s, server) && matches(n, name) {
			return true
		}
	}
	return false
}

func matches(pattern, text string) bool {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(text)
}
