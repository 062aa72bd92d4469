package session

import (
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// Kinds of refusals that no rule of the policy made. They stand in the event in
// place of a rule, and there is no more of them than stand here, in package
// listener and in package credential; kindMessage is followed by an mcp.Reason.
const (
	kindMessage   = "bad-message"
	kindMethod    = "unknown-method"
	kindServer    = "unknown-server"
	kindTool      = "unknown-tool"
	kindPrompt    = "unknown-prompt"
	kindResource  = "unknown-resource"
	kindNoSession = "session-missing"
	kindSession   = "unknown-session"
	kindState     = "bad-request-state"
	kindEvent     = "bad-event-id"
	kindNode      = "wrong-node"
	kindDenied    = "denied"
	kindLimited   = "rate-limited"
	kindAudit     = "audit-unavailable"
	kindAsks      = "asks-too-often"
	kindTells     = "tells-too-often"
	kindEnds      = "ends-too-often"
)

// record is the audit side of one message: the events and what they point to.
type record struct {
	event   auditv1.Event // the intent, or the refusal
	result  auditv1.Event
	at      timestamppb.Timestamp
	ended   timestamppb.Timestamp
	latency durationpb.Duration
	served  durationpb.Duration
	callID  [16]byte
	digest  [32]byte
}

// begin fills in what does not depend on the decision: who, what and when.
func (x *exchange) begin() *auditv1.Event {
	r := &x.record
	rand.Read(r.callID[:]) // never fails
	setTime(&r.at, x.in.Received)
	event := &r.event
	event.CallId, event.At = r.callID[:], &r.at
	setCaller(event, x.in.Caller.Principal)
	event.ClientName, event.ClientVersion = x.clientName()
	event.RemoteAddress = x.in.Remote
	event.ProtocolVersion = x.spoken()
	event.Method = shown(x.req.Method)
	event.Server = shown(x.in.Server)
	event.Tool = x.named()
	event.Revision = x.in.Index.Revision()
	event.RequestBytes = uint64(len(x.in.Body))
	if !x.req.Arguments.Empty() {
		event.ArgumentsDigest = x.in.Index.Digest(r.digest[:0], x.req.Arguments.Of(x.in.Body))
	}
	x.call.TraceParent = newSpan(x.parentSpan())
	event.TraceId = traceID(x.call.TraceParent)
	return event
}

// setCaller fills in who calls. The event shares the names, which nobody edits.
func setCaller(event *auditv1.Event, p *principal.Principal) {
	event.User, event.Application, event.KeyId = p.User, p.Application, p.KeyID
	event.Issuer, event.TokenId = p.Issuer, p.TokenID
	event.Roles, event.Groups = p.Roles, p.Groups
}

// named returns what the message is about, as its sender says.
func (x *exchange) named() string {
	kind, name := x.object()
	if kind == policy.Resource {
		return shownWithin(name, maxShownURI)
	}
	return shown(name)
}

// setEntry fills in what the name was resolved to. A URI of a template, or of an
// unlisted resource, is the client's.
func (x *exchange) setEntry(event *auditv1.Event) {
	entry := x.entry
	event.Server = entry.Server.Name()
	event.Tool = x.own
	if entry.Kind == policy.Resource {
		event.Tool = shownWithin(x.own, maxShownURI)
	}
	event.Risk = entry.Risk
	event.DefinitionHash = entry.Hash
}

// setDecision fills in what the policy said.
func setDecision(event *auditv1.Event, decision policy.Decision) {
	event.Decision = auditv1.Decision_DECISION_DENY
	if decision.Allowed() {
		event.Decision = auditv1.Decision_DECISION_ALLOW
	}
	event.Rule, event.Reason = decision.Rule, decision.Reason
}

func setTime(ts *timestamppb.Timestamp, at time.Time) {
	ts.Seconds, ts.Nanos = at.Unix(), int32(at.Nanosecond())
}

func newTime(at time.Time) *timestamppb.Timestamp { return timestamppb.New(at) }

func newDuration(of time.Duration) *durationpb.Duration { return durationpb.New(max(0, of)) }

func setDuration(d *durationpb.Duration, of time.Duration) {
	d.Seconds, d.Nanos = int64(of/time.Second), int32(of%time.Second)
}

// refuse records a refusal and answers with it.
func (x *exchange) refuse(kind string, refusal *mcp.Error) Answer {
	return x.refuseStatus(refusal.Status(x.era), kind, refusal)
}

func (x *exchange) refuseStatus(status int, kind string, refusal *mcp.Error) Answer {
	event := x.begin()
	if refusal.Reason != "" && kind == kindMessage {
		kind += ":" + string(refusal.Reason)
	}
	event.Rule, event.Reason = kind, apikey.Redact(refusal.Text)
	x.countDecision(effectDeny, kind, x.in.Server)
	x.recordRefusal(kind, event)
	return reply(status, refusal.Append(nil, x.id()))
}

// note records what a client did to its session, which no rule decides on: as an
// intent with its result at once. What cannot be recorded is done all the same, and
// stands in the log: nothing is called by it, and a session must come to its end.
func (x *exchange) note(reason string) {
	event := x.begin()
	if x.legacy.ClientName != "" {
		event.ClientName, event.ClientVersion = x.legacy.ClientName, x.legacy.ClientVersion
	}
	event.ProtocolVersion = x.legacy.Version
	event.Kind = auditv1.EventKind_EVENT_KIND_INTENT
	event.Decision = auditv1.Decision_DECISION_ALLOW
	event.Reason = reason
	ticket, err := x.audit.Intent(event)
	if err != nil {
		x.log.Warn("the beginning or end of a session is not recorded", "user", event.GetUser(), "application", event.GetApplication(), "error", err)
		return
	}
	ticket.Result(x.ended(&upstream.Answer{Outcome: auditv1.Outcome_OUTCOME_OK}))
}

// recordRefusal records an event whose rule and reason are set.
func (x *exchange) recordRefusal(kind string, event *auditv1.Event) {
	event.Kind = auditv1.EventKind_EVENT_KIND_REFUSAL
	event.Decision = auditv1.Decision_DECISION_DENY
	event.Outcome = auditv1.Outcome_OUTCOME_REFUSED
	setDuration(&x.record.latency, max(0, x.now().Sub(x.in.Received)))
	event.Latency = &x.record.latency
	x.failure = kind
	x.refusals.record(kind, event)
}

// clientName returns what the client says of itself, or else the first product of
// its User-Agent.
func (x *exchange) clientName() (name, version string) {
	if client := x.claims(); client != (policy.Client{}) {
		return client.Name, client.Version
	}
	return product(x.in.Header)
}

func clientInfo(object []byte) (name, version string) {
	// The object has been scanned already, so that the walk cannot fail; a value
	// that is no string says nothing.
	_ = mcp.Members(object, func(member string, value mcp.Span) error {
		switch member {
		case "name":
			name, _ = mcp.String(value.Of(object))
		case "version":
			version, _ = mcp.String(value.Of(object))
		}
		return nil
	})
	return shown(name), shown(version)
}

func product(header http.Header) (name, version string) {
	first, _, _ := strings.Cut(header.Get("User-Agent"), " ")
	name, version, _ = strings.Cut(first, "/")
	return shown(name), shown(version)
}

// spoken returns the protocol version that the message is in: a legacy client
// that names none speaks 2025-03-26 (mcp.md 1.1).
func (x *exchange) spoken() string {
	switch {
	case x.attached:
		return x.legacy.Version
	case x.era == mcp.Modern && x.req.ProtocolVersion != "":
		return shown(x.req.ProtocolVersion)
	case x.version != "":
		return shown(x.version)
	}
	return mcp.Version20250326
}

// parentSpan returns the client's traceparent: _meta goes before the header,
// which proxies on the way may have made.
func (x *exchange) parentSpan() string {
	if x.req.TraceParent.Empty() {
		return x.in.Header.Get("Traceparent")
	}
	parent, err := mcp.String(x.req.TraceParent.Of(x.in.Body))
	if err != nil {
		return ""
	}
	return parent
}

// Door is a refusal that came before there was a message to look at.
type Door struct {
	// Kind is one of a few constants, Text is for people.
	Kind, Text string
	// Caller is whose request it was, as far as that was proven; else nil.
	Caller   *credential.Caller
	Remote   string
	Header   http.Header
	Received time.Time
	Revision uint64
	// Bytes is the size of the body as far as it is known.
	Bytes uint64
}

// AtDoor records a refusal of the listener.
func (r *Refusals) AtDoor(d *Door) {
	event := &auditv1.Event{
		Kind:            auditv1.EventKind_EVENT_KIND_REFUSAL,
		CallId:          newCallID(),
		At:              timestamppb.New(d.Received),
		RemoteAddress:   d.Remote,
		ProtocolVersion: shown(d.Header.Get(mcp.HeaderVersion)),
		Decision:        auditv1.Decision_DECISION_DENY,
		Rule:            d.Kind,
		Reason:          d.Text,
		Revision:        d.Revision,
		RequestBytes:    d.Bytes,
		Outcome:         auditv1.Outcome_OUTCOME_REFUSED,
		Latency:         durationpb.New(max(0, r.now().Sub(d.Received))),
	}
	event.ClientName, event.ClientVersion = product(d.Header)
	if d.Caller != nil {
		setCaller(event, d.Caller.Principal)
	}
	r.metrics.decide(effectDeny, d.Kind, "")
	r.record(d.Kind, event)
}
