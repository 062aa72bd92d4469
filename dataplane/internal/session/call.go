package session

import (
	"context"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// toolsCall decides on a call and, if it is let through, makes it.
func (x *exchange) toolsCall(ctx context.Context, sink upstream.Sink) Answer {
	tool, ok := x.findTool()
	if !ok {
		return x.refuse(kindTool, invalidParams("Unknown tool: "+shown(x.req.Name)))
	}
	decision := x.in.Index.Decide(x.in.Key, tool)
	if decision.Allowed() {
		if refusal := x.checkParams(tool); refusal != nil {
			return x.refuse(kindMessage, refusal)
		}
	}
	event := x.begin()
	setTool(event, tool)
	setDecision(event, decision)
	if !decision.Allowed() {
		x.countDecision(effectDeny, sortOf(decision), tool.Server.Name())
		x.recordRefusal(kindDenied, event)
		return reply(http.StatusOK, x.denial(decision))
	}
	event.Kind = auditv1.EventKind_EVENT_KIND_INTENT
	ticket, err := x.audit.Intent(event)
	if err != nil {
		return x.unrecorded(event, err)
	}
	x.countDecision(effectAllow, sortOf(decision), tool.Server.Name())
	return x.forward(ctx, tool, ticket, sink)
}

// findTool resolves the name by exact look-up. A tool that is not in the
// snapshot (not approved, changed, disabled) does not exist.
func (x *exchange) findTool() (*gate.Tool, bool) {
	if x.server != nil {
		return x.server.Tool(x.req.Name)
	}
	return x.in.Index.Exposed(x.req.Name)
}

// denial is the answer to a call that the policy forbids: it says which rule,
// and why, to the person who has to live with it.
func (x *exchange) denial(decision policy.Decision) []byte {
	text := "Denied by policy: " + decision.Reason
	if decision.Reason == "" {
		text = "Denied by policy (" + decision.Rule + ")."
	}
	data := append([]byte(nil), `{"rule":`...)
	data = mcp.AppendString(data, decision.Rule)
	data = append(data, `,"reason":`...)
	data = mcp.AppendString(data, decision.Reason)
	data = append(data, `,"callId":"`...)
	data = hex.AppendEncode(data, x.record.callID[:])
	return mcp.WriteError(nil, x.id(), mcp.CodeDenied, text, append(data, `"}`...))
}

// unrecorded refuses a call that was allowed and could not be recorded
// (security.md P-01, P-04). The refusal itself is recorded as soon as there is
// room.
func (x *exchange) unrecorded(event *auditv1.Event, err error) Answer {
	text := "This call was refused because it cannot be recorded: " + fault.Text(err)
	x.countDecision(effectDeny, kindAudit, event.GetServer())
	event.Rule, event.Reason = kindAudit, fault.Text(err)
	x.recordRefusal(kindAudit, event)
	return reply(http.StatusOK, mcp.WriteError(nil, x.id(), mcp.CodeAuditUnavailable, text, nil))
}

// forward makes the call and records its result, also if the call panics.
func (x *exchange) forward(ctx context.Context, tool *gate.Tool, ticket Ticket, sink upstream.Sink) Answer {
	answer := &upstream.Answer{Outcome: auditv1.Outcome_OUTCOME_SERVER_FAILED, Error: "internal error"}
	defer func() { ticket.Result(x.ended(answer)) }()

	x.call.Server = tool.Server.Item
	x.call.Principal = x.in.Key.Principal
	x.call.Era = x.era
	x.call.ClientVersion = x.record.event.ProtocolVersion
	x.call.Body = x.in.Body
	x.call.Request = &x.req
	x.call.Tool = tool.Name()
	x.call.Header = x.in.Header
	got, err := x.upstream.Do(ctx, &x.call, sink)
	switch {
	case err != nil || got == nil:
		answer = x.cancelled(ctx, err)
		if got != nil {
			answer.ServerLatency = got.ServerLatency
		}
	default:
		answer = got
	}
	return reply(http.StatusOK, answer.Body)
}

// cancelled is the answer to a call whose client went away, or whose node is
// going to: most of the time nobody is there to read it.
func (x *exchange) cancelled(ctx context.Context, err error) *upstream.Answer {
	text := "the client went away before the answer came"
	if cause := context.Cause(ctx); cause != nil && fault.KindOf(cause) != fault.Internal {
		text = fault.Text(cause)
	}
	x.log.DebugContext(ctx, "call ended early", "server", x.call.Server.GetName(), "error", err)
	return &upstream.Answer{
		Body:    mcp.WriteError(nil, x.id(), mcp.CodeUnavailable, text, nil),
		Outcome: auditv1.Outcome_OUTCOME_CANCELLED,
		Error:   text,
	}
}

// ended makes the result event: the intent has all that went before.
func (x *exchange) ended(answer *upstream.Answer) *auditv1.Event {
	r := &x.record
	now := x.now()
	setTime(&r.ended, now)
	setDuration(&r.latency, max(0, now.Sub(x.in.Received)))
	setDuration(&r.served, max(0, answer.ServerLatency))
	event := &r.result
	event.Kind = auditv1.EventKind_EVENT_KIND_RESULT
	event.CallId, event.At = r.callID[:], &r.ended
	event.Outcome = answer.Outcome
	event.Error = answer.Error
	event.Latency, event.ServerLatency = &r.latency, &r.served
	event.ResponseBytes = uint64(len(answer.Body))
	event.TraceId = r.event.TraceId
	x.failure = failureOf(answer.Outcome)
	return event
}

// failureOf returns the error_type of an outcome, empty for a success.
func failureOf(outcome auditv1.Outcome) string {
	switch outcome {
	case auditv1.Outcome_OUTCOME_OK:
		return ""
	case auditv1.Outcome_OUTCOME_TOOL_ERROR:
		return "tool_error"
	case auditv1.Outcome_OUTCOME_PROTOCOL_ERROR:
		return "protocol_error"
	case auditv1.Outcome_OUTCOME_CANCELLED:
		return "cancelled"
	}
	return "server_failed"
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
	x.metrics.decisions.WithLabelValues(effect, reason, server).Inc()
}

// sortOf returns what sort of thing decided. Names of rules and roles are not
// for labels: there may be many.
func sortOf(decision policy.Decision) string {
	switch {
	case decision.Rule == policy.RuleDefaultDeny || decision.Rule == policy.RuleDenyOverlay:
		return decision.Rule
	case strings.HasPrefix(decision.Rule, policy.RuleRolePrefix):
		return "role"
	}
	return "rule"
}
