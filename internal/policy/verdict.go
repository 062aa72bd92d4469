package policy

import (
	"encoding/binary"
	"slices"

	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Verdict is what a policy says to a profile of a target and a method before
// arguments, client and time are known: the rules whose conditions wait for them,
// in order, and what is decided if none of those matches. It is immutable and safe
// for concurrent use.
type Verdict struct {
	set    *Set
	open   []int32 // lines
	method string  // what there are arguments for; "" if nothing is open
	final  Decision
}

// VerdictKey tells verdicts of one set apart.
type VerdictKey struct {
	Decision Decision
	Method   string
	Open     string
}

// Key returns what tells the verdict from others of its set: verdicts with the same
// key decide the same.
func (v *Verdict) Key() VerdictKey {
	key := VerdictKey{Decision: v.final, Method: v.method}
	if len(v.open) > 0 {
		var open []byte
		for _, i := range v.open {
			open = binary.BigEndian.AppendUint32(open, uint32(i))
		}
		key.Open = string(open)
	}
	return key
}

// Final returns the decision if no open condition stands before it: it is the same
// for all facts then. Otherwise it returns what is decided if no open condition is
// satisfied, and false.
func (v *Verdict) Final() (Decision, bool) { return v.final, len(v.open) == 0 }

// Listed reports whether there may be facts for which it is allowed. What is not
// listed is denied for all facts.
func (v *Verdict) Listed() bool {
	return v.final.Allowed() || slices.ContainsFunc(v.open, func(i int32) bool {
		return v.set.lines[i].effect == snapshotv1.Effect_EFFECT_ALLOW
	})
}

// Decide evaluates the open conditions in order, on the caller and the target that
// the verdict is about, and the facts of the call; nil facts: there is no call, so
// that arguments, client and time are absent. Without open conditions it allocates
// nothing.
func (v *Verdict) Decide(p *principal.Principal, t *Target, f *Facts) Decision {
	if len(v.open) == 0 {
		return v.final
	}
	if p == nil || t == nil {
		return v.set.deny(RuleDefaultDeny, unmatched)
	}
	e := newEvaluation(p, t, v.method, f)
	for _, i := range v.open {
		l := &v.set.lines[i]
		switch outcome, _ := l.when.evaluate(e); outcome {
		case yes:
			return l.decision(v.set.revision)
		case no:
		default:
			return l.failure(v.set.revision)
		}
	}
	return v.final
}

// closeVerdicts makes the verdicts without open conditions, which profiles share.
func (s *Set) closeVerdicts() {
	s.closed = make([]Verdict, len(s.lines)+1)
	for i := range s.lines {
		s.closed[i] = Verdict{set: s, final: s.lines[i].decision(s.revision)}
	}
	s.closed[len(s.lines)] = Verdict{set: s, final: s.deny(RuleDefaultDeny, unmatched)}
}

// Verdict returns what the policy says of a target and a method before there is a
// call. It allocates nothing where rules without conditions decide, but for a URI
// with something percent-encoded in it where denials name resources. Its cost
// depends on the lines about the caller that name the target, its server or no
// server, not on all. The target is not kept. A nil one, and one of a kind that
// does not exist, are denied.
func (p *Profile) Verdict(t *Target, method string) *Verdict {
	if verdict := p.barred(t); verdict != nil {
		return verdict
	}
	var open []int32
	for after := -1; ; {
		found := p.next(after, t, method)
		if found == len(p.set.lines) {
			return p.set.closed[found].behind(open, method)
		}
		l := &p.set.lines[found]
		switch p.outcome(l, t, method) {
		case yes:
			return p.set.closed[found].behind(open, method)
		case no:
		case undecided:
			open = append(open, int32(found))
		default:
			broken := Verdict{set: p.set, final: l.failure(p.set.revision)}
			return broken.behind(open, method)
		}
		after = found
	}
}

// behind returns the verdict behind open conditions.
func (v *Verdict) behind(open []int32, method string) *Verdict {
	if len(open) == 0 {
		return v
	}
	return &Verdict{set: v.set, open: open, method: method, final: v.final}
}

// Decide answers for one target and method whatever the facts: it allows only if
// each call would be allowed, and an open condition of a denial denies. Whoever has
// the facts asks Verdict.
func (p *Profile) Decide(t *Target, method string) Decision {
	verdict := p.Verdict(t, method)
	for _, i := range verdict.open {
		if l := &p.set.lines[i]; l.effect != snapshotv1.Effect_EFFECT_ALLOW {
			return l.decision(p.set.revision)
		}
	}
	return verdict.final
}

// barred returns the verdict where no rule is asked, or nil.
func (p *Profile) barred(t *Target) *Verdict {
	switch {
	case p.refusal != nil:
		return p.refusal
	case t == nil || t.Kind >= kinds:
		return &p.set.closed[len(p.set.lines)]
	}
	if reason := p.set.overlay.target(t); reason != "" {
		return &Verdict{set: p.set, final: p.set.deny(RuleDenyOverlay, reason)}
	}
	if reason := outsideKey(&p.as, t); reason != "" {
		return &Verdict{set: p.set, final: p.set.deny(RuleKeyServers, reason)}
	}
	return nil
}

// outsideKey returns why the key is not good for a target, or "".
func outsideKey(p *principal.Principal, t *Target) string {
	if p.Servers == nil || slices.Contains(p.Servers, t.Server) {
		return ""
	}
	return "the key is not good for server " + t.Server
}

// next returns the first line behind after that matches but for its condition, or
// the number of lines.
func (p *Profile) next(after int, t *Target, method string) int {
	in := span{after, len(p.set.lines)}
	for _, x := range p.indexes {
		in.found = x.first(p.set.lines, in, t, method)
	}
	return in.found
}

// outcome returns what the condition of a line says before there is a call.
func (p *Profile) outcome(l *line, t *Target, method string) outcome {
	switch {
	case l.when == nil:
		return yes
	case l.when.open():
		return undecided
	case l.when.ofCaller():
		return p.settled[l.static]
	}
	outcome, _ := l.when.evaluate(newEvaluation(&p.as, t, method, nil))
	return outcome
}
