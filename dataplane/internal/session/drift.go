package session

import (
	"context"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Drift knows what servers offer besides what is in the snapshot. *drift.Watch is
// one.
type Drift interface {
	// Check waits, for a bounded time, until it is known whether a server still has an
	// entry as it was approved. An error is a fault and says why it must not be used; of
	// kind Unavailable if that could not be found out.
	Check(ctx context.Context, entry *gate.Entry) error
}

// stillApproved denies what the policy allows if the server has something else by
// now, or may have (security.md T-04).
func (x *exchange) stillApproved(ctx context.Context, decision policy.Decision) policy.Decision {
	if x.config.Drift == nil || !decision.Allowed() {
		return decision
	}
	err := x.config.Drift.Check(ctx, x.entry)
	if err == nil {
		return decision
	}
	x.unsure = fault.Is(err, fault.Unavailable)
	decision.Effect, decision.Rule, decision.Reason = snapshotv1.Effect_EFFECT_DENY, policy.RuleDrift, fault.Text(err)
	return decision
}
