package admin

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	"github.com/warder-gateway/warder/internal/risk"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// simulate decides all calls of the test again under a document.
func (r *rig) simulate(t *testing.T, document string) *adminv1.SimulatePolicyResponse {
	t.Helper()
	return must(r.local.policy.SimulatePolicy(t.Context(), connect.NewRequest(&adminv1.SimulatePolicyRequest{
		Document: document, Filter: &adminv1.CallFilter{Since: timestamppb.New(noon)},
	}))).or(t)
}

// insertCalls writes many calls at once.
func (r *rig) insertCalls(t *testing.T, calls []db.CopyAuditCallsParams) {
	t.Helper()
	err := r.Store.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.CopyAuditCalls(t.Context(), calls)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// recordedCall is call n, at n seconds past noon.
func recordedCall(n int) db.CopyAuditCallsParams {
	return db.CopyAuditCallsParams{
		ID: fmt.Appendf(nil, "%016d", n), At: noon.Add(time.Duration(n) * time.Second), Node: "n1", Epoch: 1,
		UserName: "ana", Application: "cursor", KeyID: "k", ClientName: "inspector", ClientVersion: "1", Method: "tools/call",
		Server: "github", Tool: "list_repos", Risk: "read", Decision: "allow", Rule: "role:developer",
		Roles: []string{"developer"}, Groups: []string{},
	}
}

func TestSimulateTellsWhichCallsWouldBeDecidedOtherwise(t *testing.T) {
	r := policed(t)
	change := func(n int, change func(*db.CopyAuditCallsParams)) db.CopyAuditCallsParams {
		call := recordedCall(n)
		change(&call)
		return call
	}
	r.insertCalls(t, []db.CopyAuditCallsParams{
		recordedCall(1), recordedCall(2),
		change(3, func(c *db.CopyAuditCallsParams) { c.Tool, c.Risk = "delete_repo", "destructive" }),
		change(4, func(c *db.CopyAuditCallsParams) { c.Tool, c.Decision, c.Rule = "delete_repo", "deny", "no-deletes" }),
		change(5, func(c *db.CopyAuditCallsParams) { c.ClientName = "other" }),
		change(6, func(c *db.CopyAuditCallsParams) { c.Decision, c.Rule, c.Risk = "deny", "unknown-tool", "" }),
		change(7, func(c *db.CopyAuditCallsParams) { c.Decision, c.Rule = "deny", policy.RuleDenyOverlay }),
		change(8, func(c *db.CopyAuditCallsParams) { c.Decision, c.Rule = "deny", "limit:slow" }),
		change(9, func(c *db.CopyAuditCallsParams) { c.Method, c.Risk = "initialize", "" }),
		// Had no roles then, and has some today.
		change(10, func(c *db.CopyAuditCallsParams) { c.Roles, c.Decision, c.Rule = []string{}, "deny", "default-deny" }),
		// Of before roles were recorded: those of today count.
		change(11, func(c *db.CopyAuditCallsParams) { c.Roles = nil }),
		change(12, func(c *db.CopyAuditCallsParams) { c.At = noon.Add(-time.Minute) }),
	})
	got := r.simulate(t, `rules:
  - {name: no-inspector, effect: deny, when: 'client.name == "inspector"', tools: ["github/list_*"]}
  - {name: open, effect: deny, tools: ["github/delete_*"], when: 'arguments.name == "x"'}
`)
	want := map[string]int64{"calls": 11, "aside": 4, "unchanged": 2, "open": 2, "now denied": 3, "now allowed": 0}
	have := map[string]int64{
		"calls": got.GetCalls(), "aside": got.GetAside(), "unchanged": got.GetUnchanged(), "open": got.GetOpen(),
		"now denied": got.GetNowDenied(), "now allowed": got.GetNowAllowed(),
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
	flips := got.GetFlips()
	if len(flips) != 3 || got.GetTruncated() || got.GetOldestAt().AsTime() != noon.Add(time.Second) {
		t.Fatalf("%v", got)
	}
	first := flips[0]
	if first.GetCalls() != 3 || first.GetTool() != "list_repos" || first.GetBefore() != "allow" || first.GetBeforeRule() != "role:developer" ||
		first.GetAfter() != "deny" || first.GetAfterRule() != "no-inspector" || first.GetOpen() ||
		first.GetExampleId() != hex.EncodeToString(recordedCall(11).ID) || first.GetLastAt().AsTime() != recordedCall(11).At {
		t.Errorf("%v", first)
	}
	for _, open := range flips[1:] {
		if !open.GetOpen() || open.GetAfter() != "" || open.GetTool() != "delete_repo" {
			t.Errorf("%v", open)
		}
	}
	must(r.local.policy.SimulatePolicy(t.Context(), connect.NewRequest(&adminv1.SimulatePolicyRequest{Filter: &adminv1.CallFilter{}}))).
		refused(t, connect.CodeInvalidArgument, "filter.since")
}

// gamble draws documents and calls from few words, so that they meet.
type gamble struct{ *rand.Rand }

func (g gamble) of(words ...string) string { return words[g.IntN(len(words))] }

// some returns none, one or two of the words.
func (g gamble) some(words ...string) (list []string) {
	for range g.IntN(3) {
		list = append(list, g.of(words...))
	}
	return list
}

func (g gamble) document() string {
	text := "rules:\n"
	for i := range 1 + g.IntN(6) {
		rule := policy.FormatRule(&snapshotv1.Rule{
			Name: fmt.Sprintf("r%d", i), Effect: snapshotv1.Effect(1 + g.IntN(2)), Priority: g.Int32N(3),
			Users: g.some("ana", "bo"), Groups: g.some("web", "ops"), Roles: g.some("developer", "viewer"), Applications: g.some("cursor", "ci"),
			Tools: g.some("github/*", "*/delete_*", "mail/send"), Resources: g.some("*", "files/file:///a*"), Risks: []snapshotv1.Risk(nil),
			When: g.of("", "", `client.name == "inspector"`, "now.getMinutes() < 2", `principal.user == "ana" && tool.risk != "read"`,
				`tool.kind == "resource" && arguments.uri.endsWith("b")`),
		})
		text += "  " + strings.ReplaceAll(strings.TrimSuffix(rule, "\n"), "\n", "\n  ") + "\n"
	}
	return text
}

func (g gamble) call(n int) db.CopyAuditCallsParams {
	call := recordedCall(n)
	call.UserName, call.Application, call.ClientName = g.of("ana", "bo", ""), g.of("cursor", "ci", ""), g.of("inspector", "")
	call.Roles, call.Groups = append([]string{}, g.some("developer", "viewer", "owner")...), append([]string{}, g.some("web", "ops")...)
	call.Server, call.Tool, call.Risk = g.of("github", "mail"), g.of("list_repos", "delete_repo", "send"), g.of("read", "destructive", "unclassified")
	if g.IntN(4) == 0 {
		call.Method, call.Server, call.Tool = g.of("resources/read", "resources/subscribe"), "files", g.of("file:///a", "file:///b")
	}
	call.Decision, call.Rule = g.of("allow", "deny"), g.of("r1", "role:viewer", "default-deny")
	return call
}

// decideAgain is what policy says of a recorded call under a document.
func decideAgain(t *testing.T, tools []*adminv1.Tool, set *policy.Set, call *db.CopyAuditCallsParams) policy.Decision {
	category, err := risk.Parse(call.Risk)
	if err != nil {
		t.Fatal(err)
	}
	target := policy.Target{Server: call.Server, Name: call.Tool, Risk: category}
	if strings.HasPrefix(call.Method, "resources/") {
		target.Kind = policy.Resource
	}
	for _, tool := range tools { // The category of today counts.
		if tool.GetServer() == call.Server && tool.GetName() == call.Tool {
			target.Risk, _ = risk.Parse(tool.GetRisk())
		}
	}
	return policy.Decide(set, &policy.Request{
		Principal: &principal.Principal{User: call.UserName, Application: call.Application, KeyID: call.KeyID, Roles: call.Roles, Groups: call.Groups},
		Method:    call.Method, Target: target,
		Facts: policy.Facts{Client: policy.Client{Name: call.ClientName, Version: call.ClientVersion}, Now: call.At},
	})
}

// Where nothing is open, a simulation says what policy.Decide says of each call.
func TestSimulateDecidesAsTheCallsWouldHaveBeenDecided(t *testing.T) {
	r := policed(t)
	random := gamble{rand.New(rand.NewPCG(4, 2))}
	calls := make([]db.CopyAuditCallsParams, 300)
	for n := range calls {
		calls[n] = random.call(n)
	}
	r.insertCalls(t, calls)
	now, err := policies{r.API}.surroundings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tools := must(r.local.tools.ListTools(t.Context(), connect.NewRequest(&adminv1.ListToolsRequest{}))).or(t).GetTools()
	seen := map[string]int64{}
	for range 60 {
		text := random.document()
		document, err := policy.ParseDocument([]byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		set, err := policy.Compile(0, document.Rules, now.roles, nil)
		if err != nil {
			t.Fatal(err)
		}
		want, flips := &adminv1.SimulatePolicyResponse{Calls: int64(len(calls))}, map[string]int64{}
		for i := range calls {
			decision := decideAgain(t, tools, set, &calls[i])
			switch after := effectName(decision.Effect); {
			case after == calls[i].Decision:
				want.Unchanged++
				continue
			case decision.Allowed():
				want.NowAllowed++
			default:
				want.NowDenied++
			}
			flips[fmt.Sprint(calls[i].UserName, calls[i].Application, calls[i].Method, calls[i].Server, calls[i].Tool, calls[i].Rule, effectName(decision.Effect), decision.Rule)]++
		}
		got := r.simulate(t, text)
		found := map[string]int64{}
		for _, f := range got.GetFlips() {
			found[fmt.Sprint(f.GetUser(), f.GetApplication(), f.GetMethod(), f.GetServer(), f.GetTool(), f.GetBeforeRule(), f.GetAfter(), f.GetAfterRule())] += f.GetCalls()
		}
		if got.GetUnchanged() != want.Unchanged || got.GetNowAllowed() != want.NowAllowed || got.GetNowDenied() != want.NowDenied || got.GetOpen() != 0 || got.GetCalls() != want.Calls {
			t.Fatalf("got %v, want %v\n%s", got, want, text)
		}
		if diff := cmp.Diff(flips, found); diff != "" {
			t.Fatal(diff)
		}
		seen["allowed"] += want.NowAllowed
		seen["denied"] += want.NowDenied
		seen["unchanged"] += want.Unchanged
	}
	if seen["allowed"] == 0 || seen["denied"] == 0 || seen["unchanged"] == 0 {
		t.Errorf("seen: %v", seen)
	}
}

// A ledger with many calls, each of another kind, costs no more memory than a page
// of it and the flips that are kept; all are counted.
func TestSimulateOfManyCallsIsBounded(t *testing.T) {
	total := 50_000
	if testing.Short() {
		total = 5_000
	}
	r := policed(t)
	for first := 0; first < total; first += 5000 {
		calls := make([]db.CopyAuditCallsParams, 5000)
		for i := range calls {
			calls[i] = recordedCall(first + i)
			calls[i].Method, calls[i].Server, calls[i].Tool = "resources/read", "files", fmt.Sprintf("file:///%s/%d", strings.Repeat("x", 200), first+i)
			if (first+i)%10 == 0 {
				calls[i].Tool = "file:///often"
			}
		}
		r.insertCalls(t, calls)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	again := &replay{out: new(adminv1.SimulatePolicyResponse), flips: map[flipKey]*adminv1.Flip{}}
	var err error
	if again.today, err = (policies{r.API}).surroundings(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again.set, err = policy.Compile(0, []*snapshotv1.Rule{{Id: "none", Effect: snapshotv1.Effect_EFFECT_DENY}}, again.today.roles, nil); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := again.run(t.Context(), r.Store.Queries, &adminv1.CallFilter{Since: timestamppb.New(noon)}, int64(total)); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	kept := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d calls in %v, %d flips and %d KiB kept", total, time.Since(start).Round(time.Millisecond), len(again.flips), kept>>10)
	if len(again.flips) > 4*maxFlips || kept > 16<<20 {
		t.Errorf("%d flips and %d bytes are kept", len(again.flips), kept)
	}
	got := again.answer()
	listed := got.GetUnlisted()
	for _, f := range got.GetFlips() {
		listed += f.GetCalls()
	}
	if got.GetNowDenied() != int64(total) || listed != int64(total) || len(got.GetFlips()) != maxFlips || got.GetTruncated() {
		t.Errorf("%d of %d, %d flips, %d listed or not", got.GetNowDenied(), total, len(got.GetFlips()), listed)
	}
	if most := got.GetFlips()[0]; most.GetTool() != "file:///often" || most.GetCalls() != int64(total/10) {
		t.Errorf("most calls: %v", most)
	}
}

func TestSimulateEndsWithItsCallerAndAtItsBounds(t *testing.T) {
	r := policed(t)
	calls := make([]db.CopyAuditCallsParams, 2500)
	for n := range calls {
		calls[n] = recordedCall(n)
	}
	r.insertCalls(t, calls)
	request := &adminv1.SimulatePolicyRequest{Filter: &adminv1.CallFilter{Since: timestamppb.New(noon)}, MaxCalls: 1500}
	got := must(r.local.policy.SimulatePolicy(t.Context(), connect.NewRequest(request))).or(t)
	if got.GetCalls() != 1500 || !got.GetTruncated() || got.GetOldestAt().AsTime() != calls[1000].At {
		t.Errorf("%v", got)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (policies{r.API}).SimulatePolicy(gone, connect.NewRequest(request)); err == nil {
		t.Error("a caller who has gone is still worked for")
	}
	for range maxReplays {
		r.replays <- struct{}{}
	}
	must(r.local.policy.SimulatePolicy(t.Context(), connect.NewRequest(request))).refused(t, connect.CodeResourceExhausted, "run already")
	<-r.replays
	must(r.local.policy.SimulatePolicy(t.Context(), connect.NewRequest(request))).or(t)
}

// A page has many calls, and each may cost seconds under conditions that somebody made
// up: who has gone, or has had his minute, is not worked for to the end of the page.
func TestP13_ASimulationEndsWithinAPage(t *testing.T) {
	r := policed(t)
	calls, groups := make([]db.CopyAuditCallsParams, 900), make([]string, 300)
	for i := range groups {
		groups[i] = fmt.Sprint("g", i)
	}
	for n := range calls {
		calls[n] = recordedCall(n)
		calls[n].UserName, calls[n].Groups = fmt.Sprint("u", n), groups
	}
	r.insertCalls(t, calls)
	document := "rules:\n"
	for i := range 20 {
		document += fmt.Sprintf("  - {name: r%d, effect: deny, when: 'principal.user == \"x%d\" || principal.groups.exists(g, principal.groups.exists(h, g + h == \"x\"))'}\n", i, i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := tell(policies{r.API}.SimulatePolicy, ctx, &adminv1.SimulatePolicyRequest{Document: document, Filter: &adminv1.CallFilter{Since: timestamppb.New(noon)}})
	if took := time.Since(began); err == nil || took > 10*time.Second {
		t.Errorf("%v after %v", err, took)
	}
}
