package session

import (
	"context"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// govern decides on a request that is about a tool, a prompt or a resource and,
// if it is let through, forwards it. There is no other way to a server.
func (x *exchange) govern(ctx context.Context) Answer {
	if !x.resolve() {
		return x.unknown()
	}
	decision := x.in.Index.Decide(x.in.Caller, x.entry, x.question(), x)
	if decision.Allowed() {
		if refusal := x.checkParams(); refusal != nil {
			return x.refuse(kindMessage, refusal)
		}
		if kind, refusal := x.openState(); refusal != nil {
			return x.refuse(kind, refusal)
		}
		given, refusal := x.mayGive()
		if refusal != nil {
			return x.refuse(kindMessage, refusal)
		}
		if !given.Allowed() {
			decision = given
		}
	}
	decision = x.stillApproved(ctx, decision)
	event := x.begin()
	x.setEntry(event)
	setDecision(event, decision)
	if over, ok := x.charge(decision); !ok {
		return x.limited(event, over)
	}
	if !decision.Allowed() {
		x.countDecision(effectDeny, sortOf(decision), x.entry.Server.Name())
		x.recordRefusal(kindDenied, event)
		return reply(http.StatusOK, x.denial(decision))
	}
	event.Kind = auditv1.EventKind_EVENT_KIND_INTENT
	ticket, err := x.audit.Intent(event)
	if err != nil {
		return x.unrecorded(event, err)
	}
	x.countDecision(effectAllow, sortOf(decision), x.entry.Server.Name())
	return x.forward(ticket)
}

// question returns the method that the policy is asked about. Who may subscribe
// may also unsubscribe.
func (x *exchange) question() string {
	if x.req.Method == mcp.MethodResourcesUnsubscribe {
		return mcp.MethodResourcesSubscribe
	}
	return x.req.Method
}

// resolve finds what the request is about, by exact look-up. What is not in the
// snapshot (not approved, changed, disabled) does not exist; a resource that its
// server does not list is known by the server alone.
func (x *exchange) resolve() (ok bool) {
	index := x.in.Index
	switch kind, name := x.object(); {
	case kind == policy.Resource && x.req.Method == mcp.MethodComplete:
		if x.entry, x.own, ok = index.ResolveTemplate(x.server, name); ok {
			return true
		}
		x.entry, x.own, ok = index.Resolve(kind, x.server, name)
	default:
		x.entry, x.own, ok = index.Resolve(kind, x.server, name)
	}
	return ok
}

// object returns what the request names: as the client knows it.
func (x *exchange) object() (kind policy.Kind, name string) {
	switch x.req.Method {
	case mcp.MethodPromptsGet:
		return policy.Prompt, x.req.Name
	case mcp.MethodResourcesRead, mcp.MethodResourcesSubscribe, mcp.MethodResourcesUnsubscribe:
		return policy.Resource, x.req.URI
	case mcp.MethodComplete:
		if x.req.RefType == mcp.RefResource {
			return policy.Resource, x.req.RefURI
		}
		return policy.Prompt, x.req.RefName
	}
	return policy.Tool, x.req.Name
}

// unknown is the answer to a request about nothing, and about what is hidden: the
// two are the same.
func (x *exchange) unknown() Answer {
	switch kind, name := x.object(); kind {
	case policy.Prompt:
		return x.refuse(kindPrompt, invalidParams("Unknown prompt: "+shown(name)))
	case policy.Resource:
		refusal := invalidParams("Resource not found")
		if x.era == mcp.Legacy {
			refusal.Code = mcp.CodeResourceNotFound
		}
		refusal.Data = append(mcp.AppendString([]byte(`{"uri":`), name), '}')
		return x.refuse(kindResource, refusal)
	default:
		return x.refuse(kindTool, invalidParams("Unknown tool: "+shown(name)))
	}
}

// denial is the answer to a call that the policy forbids: it says which rule,
// and why, to the person who has to live with it.
func (x *exchange) denial(decision policy.Decision) []byte {
	refusal := denied(decision, x.record.callID[:])
	if x.unsure { // No rule forbids it, and nobody has to change one.
		refusal.Code, refusal.Text = mcp.CodeUnavailable, decision.Reason
	}
	return refusal.Append(nil, x.id())
}

// denied puts a decision into an error.
func denied(decision policy.Decision, callID []byte) *mcp.Error {
	text := "Denied by policy: " + decision.Reason
	if decision.Reason == "" {
		text = "Denied by policy (" + decision.Rule + ")."
	}
	data := append([]byte(nil), `{"rule":`...)
	data = mcp.AppendString(data, decision.Rule)
	data = append(data, `,"reason":`...)
	data = mcp.AppendString(data, decision.Reason)
	data = append(data, `,"callId":"`...)
	data = hex.AppendEncode(data, callID)
	return &mcp.Error{Code: mcp.CodeDenied, Text: text, Offset: -1, Data: append(data, `"}`...)}
}

// unrecorded refuses a call that was allowed and could not be recorded
// (security.md P-01, P-04). The refusal itself is recorded as soon as there is
// room.
func (x *exchange) unrecorded(event *auditv1.Event, err error) Answer {
	refusal := unrecordable(err)
	x.countDecision(effectDeny, kindAudit, event.GetServer())
	event.Rule, event.Reason = kindAudit, fault.Text(err)
	x.recordRefusal(kindAudit, event)
	return reply(http.StatusOK, refusal.Append(nil, x.id()))
}

func unrecordable(err error) *mcp.Error {
	text := "This call was refused because it cannot be recorded: " + fault.Text(err)
	return &mcp.Error{Code: mcp.CodeAuditUnavailable, Text: text, Offset: -1}
}

// Values of the label effect.
const (
	effectAllow = "allow"
	effectDeny  = "deny"
)

func (x *exchange) countDecision(effect, reason, server string) {
	if _, known := x.in.Index.Server(server); !known {
		server = ""
	}
	x.metrics.decide(effect, reason, server)
}

// sortOf returns what sort of thing decided. Names of rules and roles are not
// for labels: there may be many.
func sortOf(decision policy.Decision) string {
	switch decision.Rule {
	case policy.RuleDefaultDeny, policy.RuleDenyOverlay, policy.RuleKeyServers, policy.RuleDrift:
		return decision.Rule
	}
	if strings.HasPrefix(decision.Rule, policy.RuleRolePrefix) {
		return "role"
	}
	return "rule"
}
