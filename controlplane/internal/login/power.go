package login

import (
	"fmt"
	"slices"
	"strings"
)

// Power is what a role carries, or somebody by all his roles: permissions of the
// administration, and what policy grants of tools, prompts and resources.
type Power struct {
	Permissions []Permission
	Grants      []Grant
}

// Grant is a grant of a role: globs of each kind, and risk categories; see
// internal/policy.
type Grant struct{ Tools, Prompts, Resources, Risks []string }

// Lacks says what of other p does not hold, for people; empty: p holds all of it
// (security.md P-16). It errs towards lacking: what several grants allow only
// together, glob by glob, p is taken not to hold.
func (p Power) Lacks(other Power) string {
	for _, permission := range other.Permissions {
		if !slices.Contains(p.Permissions, permission) {
			return "the permission " + string(permission)
		}
	}
	for _, grant := range other.Grants {
		for part := range grant.parts() {
			if !slices.ContainsFunc(p.Grants, func(g Grant) bool { return g.covers(part) }) {
				return "the grant of " + part.String()
			}
		}
	}
	return ""
}

// part is a grant of one glob and one category; either may be any.
type part struct{ kind, glob, risk string }

// unlimited is a glob or category that a grant does not limit.
const unlimited = ""

// parts yields what a grant is made of: it allows what any of its parts allows.
func (g Grant) parts() func(yield func(part) bool) {
	risks := g.Risks
	if len(risks) == 0 {
		risks = []string{unlimited}
	}
	return func(yield func(part) bool) {
		for _, risk := range risks {
			if g.everything() && !yield(part{glob: unlimited, risk: risk}) {
				return
			}
			for kind, globs := range g.globs() {
				for _, glob := range globs {
					if !yield(part{kind, glob, risk}) {
						return
					}
				}
			}
		}
	}
}

// globs yields the globs by kind, in order.
func (g Grant) globs() func(yield func(kind string, globs []string) bool) {
	return func(yield func(kind string, globs []string) bool) {
		_ = yield("tools", g.Tools) && yield("prompts", g.Prompts) && yield("resources", g.Resources)
	}
}

// everything reports whether the grant has no glob, and so speaks of all kinds.
func (g Grant) everything() bool { return len(g.Tools)+len(g.Prompts)+len(g.Resources) == 0 }

// covers reports whether the grant allows all that the part allows.
func (g Grant) covers(p part) bool {
	if len(g.Risks) > 0 && !slices.Contains(g.Risks, p.risk) {
		return false
	}
	if g.everything() {
		return true
	}
	for kind, globs := range g.globs() {
		if kind == p.kind && slices.ContainsFunc(globs, func(glob string) bool { return within(p.glob, glob) }) {
			return true
		}
	}
	return false
}

// String names the part for people.
func (p part) String() string {
	what, risk := "everything", "any risk"
	if p.glob != unlimited {
		what = p.kind + " " + p.glob
	}
	if p.risk != unlimited {
		risk = "risk " + p.risk
	}
	return fmt.Sprintf("%s of %s", what, risk)
}

// within reports whether all that the glob inner matches is matched by outer. It
// may say no where that is so, and never yes where it is not.
func within(inner, outer string) bool {
	if outer == "*" || outer == "**" || inner == outer {
		return true
	}
	innerServer, innerName, found := strings.Cut(inner, "/")
	outerServer, outerName, ok := strings.Cut(outer, "/")
	return found && ok && patternWithin(innerServer, outerServer) && patternWithin(innerName, outerName)
}

// patternWithin matches inner as if it were a text. No literal of outer is a
// star, so each star of inner lies in what a star of outer stands for, and so does
// whatever stands in its place.
func patternWithin(inner, outer string) bool {
	parts := strings.Split(outer, "*")
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return inner == outer
	}
	rest, ok := strings.CutPrefix(inner, first)
	if !ok {
		return false
	}
	if rest, ok = strings.CutSuffix(rest, last); !ok {
		return false
	}
	for _, middle := range parts[1 : len(parts)-1] {
		at := strings.Index(rest, middle)
		if at < 0 {
			return false
		}
		rest = rest[at+len(middle):]
	}
	return true
}
