package ledger

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/risk"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

const (
	// maxName cuts what is indexed, in bytes: an index entry has a limit.
	maxName = 512
	// maxText cuts everything else.
	maxText = 4096
	// callIDSize is the length of a call's id.
	callIDSize = 16
)

// sorter turns the events of one batch into rows: calls that are new, and
// results of calls that earlier batches entered. A result whose intent is in the
// same batch completes the row before it is written.
type sorter struct {
	node        string
	epoch       int64
	transaction int64
	at          time.Time

	calls    []db.CopyAuditCallsParams
	index    map[string]int // call id → place in calls
	results  db.CompleteAuditCallsParams
	poisoned int
}

// add takes one event. What is no event of a call is counted.
func (s *sorter) add(encoded []byte) {
	event := new(auditv1.Event)
	if err := proto.Unmarshal(encoded, event); err != nil {
		s.poisoned++
		return
	}
	if err := s.enter(event); err != nil {
		s.poisoned++
	}
}

// enter takes a decoded event.
func (s *sorter) enter(event *auditv1.Event) error {
	if len(event.GetCallId()) != callIDSize {
		return fmt.Errorf("call id has %d bytes", len(event.GetCallId()))
	}
	switch event.GetKind() {
	case auditv1.EventKind_EVENT_KIND_RESULT:
		return s.result(event)
	case auditv1.EventKind_EVENT_KIND_INTENT:
		return s.call(event, nil)
	case auditv1.EventKind_EVENT_KIND_REFUSAL:
		return s.call(event, new(outcomes[auditv1.Outcome_OUTCOME_REFUSED]))
	default:
		return errors.New("event of a kind that this control plane does not know")
	}
}

// outcomes names the outcomes that a node can report.
var outcomes = map[auditv1.Outcome]string{
	auditv1.Outcome_OUTCOME_OK:             "ok",
	auditv1.Outcome_OUTCOME_TOOL_ERROR:     "tool_error",
	auditv1.Outcome_OUTCOME_PROTOCOL_ERROR: "protocol_error",
	auditv1.Outcome_OUTCOME_SERVER_FAILED:  "server_failed",
	auditv1.Outcome_OUTCOME_CANCELLED:      "cancelled",
	auditv1.Outcome_OUTCOME_REFUSED:        "refused",
	auditv1.Outcome_OUTCOME_INPUT_REQUIRED: "input_required",
}

// decisions names the decisions.
var decisions = map[auditv1.Decision]string{
	auditv1.Decision_DECISION_ALLOW: "allow",
	auditv1.Decision_DECISION_DENY:  "deny",
}

// call adds a new call; outcome is nil while it runs.
func (s *sorter) call(event *auditv1.Event, outcome *string) error {
	decision, known := decisions[event.GetDecision()]
	if !known || !event.GetAt().IsValid() {
		return errors.New("event without a decision or a time")
	}
	id := string(event.GetCallId())
	if _, twice := s.index[id]; twice {
		return errors.New("call id came twice")
	}
	row := db.CopyAuditCallsParams{
		ID: event.GetCallId(), At: event.GetAt().AsTime(), Node: s.node, Epoch: s.epoch,
		UserName: clean(event.GetUser(), maxName), Application: clean(event.GetApplication(), maxName),
		KeyID: clean(event.GetKeyId(), maxName), ClientName: clean(event.GetClientName(), maxName),
		ClientVersion: clean(event.GetClientVersion(), maxName), RemoteAddress: clean(event.GetRemoteAddress(), maxName),
		ProtocolVersion: clean(event.GetProtocolVersion(), maxName), Method: clean(event.GetMethod(), maxName),
		Server: clean(event.GetServer(), maxName), Tool: clean(event.GetTool(), maxName),
		Risk: riskName(event.GetRisk()), DefinitionHash: event.GetDefinitionHash(),
		Decision: decision, Rule: clean(event.GetRule(), maxText), Reason: clean(event.GetReason(), maxText),
		Revision: signed(event.GetRevision()), ArgumentsDigest: event.GetArgumentsDigest(),
		RequestBytes: signed(event.GetRequestBytes()), TraceID: clean(event.GetTraceId(), maxName),
		Suppressed: signed(event.GetSuppressed()), Error: clean(event.GetError(), maxText),
		Roles: cleanAll(event.GetRoles()), Groups: cleanAll(event.GetGroups()),
		Issuer: clean(event.GetIssuer(), maxName), TokenID: clean(event.GetTokenId(), maxName),
	}
	if outcome != nil {
		s.settle(&row, *outcome, event)
	}
	s.index[id] = len(s.calls)
	s.calls = append(s.calls, row)
	return nil
}

// result completes a call, of this batch or of an earlier one.
func (s *sorter) result(event *auditv1.Event) error {
	outcome, known := outcomes[event.GetOutcome()]
	if !known {
		return errors.New("result with an outcome that this control plane does not know")
	}
	if place, here := s.index[string(event.GetCallId())]; here {
		row := &s.calls[place]
		if row.Outcome != nil {
			return errors.New("call has a result already")
		}
		row.Error = clean(event.GetError(), maxText)
		s.settle(row, outcome, event)
		return nil
	}
	r := &s.results
	r.CompletedAt, r.Settled, r.Node, r.Epoch = s.at, s.transaction, s.node, s.epoch
	r.Ids = append(r.Ids, event.GetCallId())
	r.Outcomes = append(r.Outcomes, outcome)
	r.Errors = append(r.Errors, clean(event.GetError(), maxText))
	r.LatenciesUs = append(r.LatenciesUs, micros(event.GetLatency()))
	r.ServerLatenciesUs = append(r.ServerLatenciesUs, micros(event.GetServerLatency()))
	r.ResponsesBytes = append(r.ResponsesBytes, signed(event.GetResponseBytes()))
	return nil
}

// settle gives a row its outcome.
func (s *sorter) settle(row *db.CopyAuditCallsParams, outcome string, event *auditv1.Event) {
	row.Outcome, row.CompletedAt, row.Settled = &outcome, &s.at, &s.transaction
	row.LatencyUs = new(micros(event.GetLatency()))
	row.ServerLatencyUs = new(micros(event.GetServerLatency()))
	row.ResponseBytes = signed(event.GetResponseBytes())
}

// riskName names a category; a call that concerns no tool has none.
func riskName(r snapshotv1.Risk) string {
	if r == snapshotv1.Risk_RISK_UNSPECIFIED {
		return ""
	}
	return risk.Name(r)
}

// micros returns a duration in microseconds; what is no duration, or negative,
// is 0.
func micros(d *durationpb.Duration) int64 {
	if d == nil || !d.IsValid() {
		return 0
	}
	return max(0, d.AsDuration().Microseconds())
}

// signed returns n, cut to what a column holds.
func signed(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// cleanAll cleans names. None are an empty list, not NULL.
func cleanAll(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = clean(name, maxName)
	}
	return out
}

// clean makes text fit for a column: about limit bytes at most, escapes among
// them, since an index that refuses a long entry would stop the queue; and without
// the control characters that PostgreSQL (NUL) or a terminal would choke on, which
// are escaped visibly.
func clean(text string, limit int) string {
	if len(text) <= limit && strings.IndexFunc(text, unicode.IsControl) < 0 {
		return text
	}
	var b strings.Builder
	for _, c := range text {
		if b.Len()+utf8.RuneLen(c) > limit {
			b.WriteRune('…')
			break
		}
		if unicode.IsControl(c) {
			fmt.Fprintf(&b, `\u%04x`, c)
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}
