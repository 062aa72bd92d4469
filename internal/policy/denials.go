package policy

import (
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Denials are the deny overlay by itself, for who keeps it beside a set that was
// compiled without it: it changes in a moment, and the set stays. Asked first, and
// then the set, they decide as a set that was compiled with both. It is immutable.
type Denials struct{ overlay overlay }

// CompileDenials makes denials of the entries of the overlay. The error is
// fault.Invalid and names the entry.
func CompileDenials(denies []*snapshotv1.Deny) (*Denials, error) {
	o, err := compileOverlay(denies)
	if err != nil {
		return nil, fault.New(fault.Invalid, err.Error())
	}
	return &Denials{o}, nil
}

// Caller returns why everything that a caller asks is denied, or "".
func (d *Denials) Caller(p *principal.Principal) string { return d.overlay.caller(p) }

// Target returns why a target is denied to all, or "".
func (d *Denials) Target(t *Target) string { return d.overlay.target(t) }

// OfTargets reports whether any target is denied.
func (d *Denials) OfTargets() bool { return len(d.overlay.servers)+len(d.overlay.tools) > 0 }

// Verdict is the verdict for a reason, at a revision. It is final.
func (d *Denials) Verdict(reason string, revision uint64) *Verdict {
	return &Verdict{final: Decision{Effect: snapshotv1.Effect_EFFECT_DENY, Rule: RuleDenyOverlay, Reason: reason, Revision: revision}}
}
