package admin

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	"github.com/warder-gateway/warder/internal/risk"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

const (
	// maxReplays is how many simulations may run at once; one more is refused.
	maxReplays = 2
	// replayTime is how long one may take.
	replayTime = time.Minute
	// replayPage is how many calls are in memory at once.
	replayPage = 1000
	// defaultReplay is how many calls are decided again if the request does not say.
	defaultReplay = 100_000
	// maxFlips is how many flips an answer has; of four times as many it is counted
	// which have the most calls. The calls of those beyond are counted together.
	maxFlips = 1000
)

// SimulatePolicy decides recorded calls again.
//
//	audit_call ──pages, newest first──▶ replay ──▶ unchanged, open, aside, or a flip
//	                                      ▲
//	document, roles and categories of today, callers of then
func (p policies) SimulatePolicy(ctx context.Context, r *connect.Request[adminv1.SimulatePolicyRequest]) (*connect.Response[adminv1.SimulatePolicyResponse], error) {
	if r.Msg.GetFilter().GetSince() == nil {
		return nil, fault.New(fault.Invalid, "filter.since: say since when calls are decided again")
	}
	select {
	case p.replays <- struct{}{}:
		defer func() { <-p.replays }()
	default:
		return nil, fault.Newf(fault.Exhausted, "%d simulations run already; try again in a moment", maxReplays)
	}
	again, err := p.replay(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, replayTime)
	defer cancel()
	most := cmp.Or(int64(r.Msg.GetMaxCalls()), defaultReplay)
	err = again.run(limited, p.Store.Queries, r.Msg.GetFilter(), most)
	if ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		again.out.Truncated, err = true, nil
	}
	if err != nil {
		return nil, err
	}
	return reply(again.answer()), nil
}

// replay is one simulation. It belongs to one goroutine.
type replay struct {
	set   *policy.Set
	today *surroundings
	out   *adminv1.SimulatePolicyResponse
	flips map[flipKey]*adminv1.Flip
}

// flipKey is what calls have in common that are told as one flip.
type flipKey struct {
	user, application, method, server, tool string
	before, beforeRule, after, afterRule    string
	open                                    bool
}

// replay prepares a simulation under the document of the request, or the version.
func (p policies) replay(ctx context.Context, m *adminv1.SimulatePolicyRequest) (*replay, error) {
	text := m.GetDocument()
	if text == "" {
		row, err := p.version(ctx, m.GetVersion())
		if err != nil {
			return nil, err
		}
		text = cmp.Or(row.Document, "rules: []")
	}
	document, err := policy.ParseDocument([]byte(text))
	if err != nil {
		return nil, err
	}
	today, err := p.surroundings(ctx)
	if err != nil {
		return nil, err
	}
	set, err := policy.Compile(0, document.Rules, today.roles, nil)
	if err != nil {
		return nil, err
	}
	return &replay{set: set, today: today, out: new(adminv1.SimulatePolicyResponse), flips: map[flipKey]*adminv1.Flip{}}, nil
}

// run decides the calls of the filter again, newest first, at most so many.
func (r *replay) run(ctx context.Context, q *db.Queries, filter *adminv1.CallFilter, most int64) error {
	server, tool := toolFilter(filter.GetTool())
	query := db.ListDecidedCallsParams{
		UserName: filter.GetUser(), Application: filter.GetApplication(), Server: server, Tool: tool,
		Decision: filter.GetDecision(), Outcome: filter.GetOutcome(),
		Since: filter.GetSince().AsTime(), Until: time.Now(), RowLimit: replayPage,
	}
	if filter.GetUntil() != nil {
		query.Until = filter.GetUntil().AsTime()
	}
	for {
		rows, err := q.ListDecidedCalls(ctx, query)
		if err != nil {
			return err
		}
		for i := range rows {
			if r.out.Calls == most {
				r.out.Truncated = true
				return nil
			}
			if err := ctx.Err(); err != nil { // Conditions may cost, and a page has many calls.
				return err
			}
			r.take(&rows[i])
		}
		if len(rows) < replayPage {
			return nil
		}
		last := rows[len(rows)-1]
		query.BeforeAt, query.BeforeID = &last.At, last.ID
	}
}

// take decides one call again.
func (r *replay) take(row *db.ListDecidedCallsRow) {
	r.out.Calls++
	r.out.OldestAt = timestamppb.New(row.At)
	if !byPolicy(row) {
		r.out.Aside++
		return
	}
	caller, target := r.caller(row), r.target(row)
	facts := &policy.Facts{Client: policy.Client{Name: row.ClientName, Version: row.ClientVersion}, Now: row.At}
	decision, open := r.set.Profile(caller).Verdict(target, row.Method).Presume(caller, target, facts)
	after := effectName(decision.Effect)
	switch {
	case open:
		r.out.Open++
	case after == row.Decision:
		r.out.Unchanged++
		return
	case decision.Allowed():
		r.out.NowAllowed++
	default:
		r.out.NowDenied++
	}
	r.flip(row, after, decision.Rule, open)
}

// byOthers are the rules in the ledger that are no rules: a node refused for another
// reason than policy.
var byOthers = map[string]bool{
	policy.RuleDenyOverlay: true, policy.RuleKeyServers: true, policy.RuleDrift: true,
	"audit-unavailable": true, "asks-too-often": true, "tells-too-often": true,
}

// byPolicy reports whether rules and roles decided on the call. What was not found
// has no category.
func byPolicy(row *db.ListDecidedCallsRow) bool {
	return row.Risk != "" && slices.Contains(policy.Methods(), row.Method) &&
		!byOthers[row.Rule] && !strings.HasPrefix(row.Rule, policy.RuleLimitPrefix)
}

// caller returns who called, as of then. Of calls from before there were roles in the
// ledger, the roles are those of today.
func (r *replay) caller(row *db.ListDecidedCallsRow) *principal.Principal {
	caller := &principal.Principal{
		User: row.UserName, Application: row.Application, KeyID: row.KeyID, Groups: row.Groups, Roles: row.Roles,
		Issuer: row.Issuer, TokenID: row.TokenID,
	}
	if row.Roles == nil {
		caller.Roles = r.today.users[row.UserName]
	}
	return caller
}

// target returns what was called, with the category of today; what is in no
// catalogue has that of then.
func (r *replay) target(row *db.ListDecidedCallsRow) *policy.Target {
	target := &policy.Target{Kind: r.today.kindOf(row.Method, row.Server, row.Tool), Server: row.Server, Name: row.Tool}
	category, found := r.today.risk(*target)
	if !found {
		category, _ = risk.Parse(row.Risk) // What cannot be read is unclassified.
	}
	target.Risk = category
	return target
}

// kindOf returns what kind of thing a recorded call was about. Where the method does
// not tell, the catalogue does, and only URIs have a colon.
func (s *surroundings) kindOf(method, server, name string) policy.Kind {
	for _, kind := range policy.Kinds() {
		if method == kind.Method() {
			return kind
		}
	}
	if method == policy.MethodSubscribe || strings.Contains(name, ":") {
		return policy.Resource
	}
	for _, kind := range policy.Kinds() {
		if _, found := s.risk(policy.Target{Kind: kind, Server: server, Name: name}); found && slices.Contains(kind.Methods(), method) {
			return kind
		}
	}
	if method == policy.MethodComplete {
		return policy.Prompt
	}
	return policy.Tool
}

// flip counts a call whose answer would be, or may be, another. When there are too
// many kinds of them, it forgets those with the fewest calls.
func (r *replay) flip(row *db.ListDecidedCallsRow, after, rule string, open bool) {
	key := flipKey{row.UserName, row.Application, row.Method, row.Server, row.Tool, row.Decision, row.Rule, after, rule, open}
	if known := r.flips[key]; known != nil {
		known.Calls++
		return
	}
	if len(r.flips) >= 4*maxFlips {
		r.shed()
	}
	flip := &adminv1.Flip{
		User: row.UserName, Application: row.Application, Method: row.Method, Server: row.Server, Tool: row.Tool,
		Before: row.Decision, BeforeRule: row.Rule, After: after, AfterRule: rule, Open: open,
		Calls: 1, LastAt: timestamppb.New(row.At), ExampleId: hex.EncodeToString(row.ID),
	}
	if open { // Nobody knows which rule it would be.
		flip.After, flip.AfterRule = "", ""
	}
	r.flips[key] = flip
}

// shed forgets the flips beyond half of those that are kept.
func (r *replay) shed() {
	keys := slices.SortedFunc(maps.Keys(r.flips), func(a, b flipKey) int { return mostCalls(r.flips[a], r.flips[b]) })
	for _, key := range keys[2*maxFlips:] {
		r.out.Unlisted += r.flips[key].GetCalls()
		delete(r.flips, key)
	}
}

// answer returns what was found.
func (r *replay) answer() *adminv1.SimulatePolicyResponse {
	flips := slices.SortedFunc(maps.Values(r.flips), mostCalls)
	for _, flip := range flips[min(len(flips), maxFlips):] {
		r.out.Unlisted += flip.GetCalls()
	}
	r.out.Flips = flips[:min(len(flips), maxFlips)]
	return r.out
}

// mostCalls orders flips: those that are certain first, then by calls, then the
// latest.
func mostCalls(a, b *adminv1.Flip) int {
	if a.GetOpen() != b.GetOpen() {
		if a.GetOpen() {
			return 1
		}
		return -1
	}
	return cmp.Or(
		cmp.Compare(b.GetCalls(), a.GetCalls()),
		b.GetLastAt().AsTime().Compare(a.GetLastAt().AsTime()),
		cmp.Compare(a.GetExampleId(), b.GetExampleId()),
	)
}
