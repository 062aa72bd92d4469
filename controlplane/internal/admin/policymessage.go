package admin

import (
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/risk"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func ruleMessages(rules []*snapshotv1.Rule) []*adminv1.Rule {
	out := make([]*adminv1.Rule, 0, len(rules))
	for _, rule := range rules {
		out = append(out, &adminv1.Rule{
			Name: rule.GetName(), Priority: rule.GetPriority(), Effect: effectName(rule.GetEffect()), Reason: rule.GetReason(),
			Users: rule.GetUsers(), Groups: rule.GetGroups(), Roles: rule.GetRoles(),
			Applications: rule.GetApplications(), Tools: rule.GetTools(), Methods: rule.GetMethods(),
			Prompts: rule.GetPrompts(), Resources: rule.GetResources(), When: rule.GetWhen(), Risks: riskNames(rule.GetRisks()),
		})
	}
	return out
}

func limitMessages(limits []*snapshotv1.Limit) []*adminv1.Limit {
	out := make([]*adminv1.Limit, 0, len(limits))
	for _, limit := range limits {
		out = append(out, &adminv1.Limit{
			Name: limit.GetName(), Per: policy.PerName(limit.GetPer()), Calls: limit.GetCalls(), Window: limit.GetWindow(), Burst: limit.GetBurst(),
			Users: limit.GetUsers(), Groups: limit.GetGroups(), Roles: limit.GetRoles(),
			Applications: limit.GetApplications(), Tools: limit.GetTools(), Risks: riskNames(limit.GetRisks()),
			Prompts: limit.GetPrompts(), Resources: limit.GetResources(),
		})
	}
	return out
}

func riskNames(risks []snapshotv1.Risk) []string {
	var names []string
	for _, category := range risks {
		names = append(names, risk.Name(category))
	}
	return names
}

func remarkMessages(remarks []policy.Remark) []*adminv1.Remark {
	var out []*adminv1.Remark
	for _, r := range remarks {
		out = append(out, &adminv1.Remark{Line: int32(r.Line), Column: int32(r.Column), Severity: r.Severity, Check: r.Check, Text: r.Text})
	}
	return out
}

// effectName is "allow" for that effect alone.
func effectName(e snapshotv1.Effect) string {
	if e == snapshotv1.Effect_EFFECT_ALLOW {
		return "allow"
	}
	return "deny"
}
