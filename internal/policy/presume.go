package policy

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Presume is Decide where nobody knows the arguments any more, as those of a call
// that was recorded; Facts.Arguments is not read. Either the effect is the same
// whatever they were, or it is open: it may be another one. The decision is the one
// that is made if no condition which depends on them is satisfied.
func (v *Verdict) Presume(p *principal.Principal, t *Target, f *Facts) (decision Decision, open bool) {
	if p == nil || t == nil || f == nil {
		return v.Decide(p, t, nil), false
	}
	e := newEvaluation(p, t, v.method, f)
	depends, mayAllow := false, false
	decision = v.final
rules:
	for _, i := range v.open {
		l := &v.set.lines[i]
		switch l.when.presume(e) {
		case yes:
			decision = l.decision(v.set.revision)
			break rules
		case no:
		case unsatisfied:
			depends = true
		case undecided:
			// If it cannot be evaluated on them it denies, whatever its effect.
			depends, mayAllow = true, mayAllow || l.effect == snapshotv1.Effect_EFFECT_ALLOW
		default:
			decision = l.failure(v.set.revision)
			break rules
		}
	}
	return decision, depends && (mayAllow || decision.Allowed())
}

// presume is evaluate where the arguments that a client sent are not known:
// undecided if it depends on them, unsatisfied if something else is absent, so that it
// cannot be satisfied, and a value of the arguments may still make it fail first.
func (c *condition) presume(e *evaluation) outcome {
	if c.reads&readsArguments == 0 || !hasArguments(e.method) || e.method == MethodRead {
		outcome, _ := c.evaluate(e)
		return outcome
	}
	program, err := c.partial()
	if err != nil {
		return undecided
	}
	out, _, err := program.Eval(&blind{e})
	switch {
	case err != nil && absent(err):
		return unsatisfied
	case err != nil, types.IsUnknown(out): // With arguments, another error may come first, or none.
		return undecided
	case out == types.True:
		return yes
	case out == types.False:
		return no
	}
	return failed
}

// blind is an evaluation without the arguments.
type blind struct{ *evaluation }

// ResolveName implements the activation of CEL.
func (b *blind) ResolveName(name string) (any, bool) {
	if name == "arguments" {
		return nil, false
	}
	return b.evaluation.ResolveName(name)
}

// UnknownAttributePatterns implements the partial activation of CEL.
func (b *blind) UnknownAttributePatterns() []*cel.AttributePatternType { return unknownArguments }

// AsPartialActivation implements the partial activation of CEL.
func (b *blind) AsPartialActivation() (cel.PartialActivation, bool) { return b, true }

var unknownArguments = []*cel.AttributePatternType{cel.AttributePattern("arguments")}
