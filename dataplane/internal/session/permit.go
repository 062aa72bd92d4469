package session

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// permits are the decisions of one call about what its server may ask of the
// client. There are as many methods as places.
type permits struct {
	methods   [3]string
	decisions [3]policy.Decision
}

// permit decides whether the server of the call may ask this of the client, and
// records it: the same policy, asked about what is being called with the method
// of the server's request.
func (x *exchange) permit(method string, _ []byte) *mcp.Error {
	return x.recordAsk(&x.record.event, method, x.mayAsk(method))
}

func (x *exchange) mayAsk(method string) policy.Decision {
	for i, known := range x.permits.methods {
		if known == method {
			return x.permits.decisions[i]
		}
		if known == "" {
			x.permits.methods[i] = method
			x.permits.decisions[i] = x.in.Index.Decide(x.in.Caller, x.entry, method, x)
			return x.permits.decisions[i]
		}
	}
	return x.in.Index.Decide(x.in.Caller, x.entry, method, x)
}

// recordAsk records a decision about a server's request to a client: as an intent
// with its result, or as a refusal. About says on whose behalf and about what the
// server asks. It returns what the server is refused with; nil: it may ask.
func (s *Session) recordAsk(about *auditv1.Event, method string, decision policy.Decision) *mcp.Error {
	event := &auditv1.Event{
		CallId: newCallID(), At: timestamppb.New(s.now()),
		User: about.GetUser(), Application: about.GetApplication(), KeyId: about.GetKeyId(),
		Issuer: about.GetIssuer(), TokenId: about.GetTokenId(), Roles: about.GetRoles(), Groups: about.GetGroups(),
		ClientName: about.GetClientName(), ClientVersion: about.GetClientVersion(), RemoteAddress: about.GetRemoteAddress(),
		ProtocolVersion: about.GetProtocolVersion(), Method: shown(method), Server: about.GetServer(), Tool: about.GetTool(),
		Risk: about.GetRisk(), DefinitionHash: about.GetDefinitionHash(), Revision: decision.Revision, TraceId: about.GetTraceId(),
	}
	setDecision(event, decision)
	if !decision.Allowed() {
		s.metrics.decide(effectDeny, sortOf(decision), about.GetServer())
		event.Kind = auditv1.EventKind_EVENT_KIND_REFUSAL
		event.Outcome = auditv1.Outcome_OUTCOME_REFUSED
		s.refusals.record(kindDenied, event)
		return denied(decision, event.GetCallId())
	}
	if !s.asks.take(paced{caller: callerOf(about), server: about.GetServer()}, s.now()) {
		return s.recordTooOften(event)
	}
	event.Kind = auditv1.EventKind_EVENT_KIND_INTENT
	ticket, err := s.audit.Intent(event)
	if err != nil {
		s.metrics.decide(effectDeny, kindAudit, about.GetServer())
		return unrecordable(err)
	}
	s.metrics.decide(effectAllow, sortOf(decision), about.GetServer())
	ticket.Result(&auditv1.Event{
		Kind: auditv1.EventKind_EVENT_KIND_RESULT, CallId: event.GetCallId(), At: timestamppb.New(s.now()),
		Outcome: auditv1.Outcome_OUTCOME_OK, TraceId: event.GetTraceId(),
	})
	return nil
}

// recordTooOften refuses what a server would be let ask, if it did not ask so often.
func (s *Session) recordTooOften(event *auditv1.Event) *mcp.Error {
	s.metrics.decide(effectDeny, kindAsks, event.GetServer())
	event.Kind = auditv1.EventKind_EVENT_KIND_REFUSAL
	event.Decision = auditv1.Decision_DECISION_DENY
	event.Outcome = auditv1.Outcome_OUTCOME_REFUSED
	event.Rule, event.Reason = kindAsks, "the server asks more of clients than is recorded one by one"
	s.refusals.record(kindAsks, event)
	return &mcp.Error{Code: mcp.CodeRateLimited, Text: "the server asks too often", Offset: -1}
}

// callerOf returns the ID of the caller that an event names.
func callerOf(event *auditv1.Event) string {
	return credential.ID(&principal.Principal{
		User: event.GetUser(), Application: event.GetApplication(), KeyID: event.GetKeyId(), Issuer: event.GetIssuer(),
	})
}

// asker decides on what servers ask outside of a call, on the stream of a legacy
// client, for as long as that stream lives.
type asker struct {
	*Session
	about  *auditv1.Event // who
	caller *credential.Caller
	client policy.Client
}

// Facts implements gate.Call.
func (a *asker) Facts() *policy.Facts { return &policy.Facts{Client: a.client, Now: a.now()} }

// permit decides by what the node knows by now. There is nothing that is being
// called; what is asked is about the server as a whole.
func (a *asker) permit(server *gate.Server, method string, _ []byte) *mcp.Error {
	index := a.config.Current()
	about := &auditv1.Event{
		User: a.about.GetUser(), Application: a.about.GetApplication(), KeyId: a.about.GetKeyId(),
		Issuer: a.about.GetIssuer(), TokenId: a.about.GetTokenId(),
		ClientName: a.about.GetClientName(), ClientVersion: a.about.GetClientVersion(), RemoteAddress: a.about.GetRemoteAddress(),
		ProtocolVersion: a.about.GetProtocolVersion(), Server: server.Name(), TraceId: a.about.GetTraceId(),
	}
	decision := policy.Decision{Rule: policy.RuleDefaultDeny, Reason: "the credential is no longer valid"}
	if caller := index.Credentials().Renew(a.caller, a.now()); caller != nil {
		about.Roles, about.Groups = caller.Principal.Roles, caller.Principal.Groups
		decision = index.DecideServer(caller, server, method, a)
	}
	return a.recordAsk(about, method, decision)
}

// relay returns a server's request as the client gets it: with an id, raw, that leads
// the answer back to the server, from any node. On the aggregate it says who asks.
func (s *Session) relay(server string, aggregate bool, session *handle.Session, owner handle.Owner, r *upstream.ServerRequest) (message, id []byte, err error) {
	if !session.Capabilities.Allows(r.Method, r.Method == mcp.MethodElicit && mcp.URLMode(r.Scan.Params.Of(r.Message))) {
		return nil, nil, fault.New(fault.Invalid, "the client does not offer "+shown(r.Method))
	}
	now := s.now()
	token, err := s.config.Current().Sealer().SealServerRequest(&handle.ServerRequest{
		Server: server, SessionID: r.Session.ID, Version: r.Session.Version, ID: r.ID, Method: r.Method,
		Session: session.ID, Expires: now.Add(s.config.AskTime),
	}, owner, now)
	if err != nil {
		return nil, nil, err
	}
	asker := ""
	if aggregate {
		asker = server
	}
	id = mcp.AppendString(nil, token)
	return mcp.RewriteServerRequest(nil, r.Message, r.Scan, id, asker), id, nil
}

// decline tells a server that the client will not be asked.
func (x *exchange) decline(r *upstream.ServerRequest, why error) {
	text := apikey.Redact(fault.Text(why))
	message := mcp.WriteError(nil, r.ID, mcp.CodeMethodNotFound, text, nil)
	ctx, cancel := x.soon()
	defer cancel()
	if err := x.upstream.Respond(ctx, x.call.Server, r.Session, message); err != nil {
		x.log.Debug("a server's request was not declined", "server", x.call.Server.GetName(), "error", err)
	}
}
