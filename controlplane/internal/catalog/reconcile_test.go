package catalog

import (
	"crypto/sha256"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/warder-gateway/warder/internal/fault"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func hash(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }

func offer(name, text string) Entry {
	return Entry{Kind: Tool, Name: name, Hash: hash(text), Risk: snapshotv1.Risk_RISK_WRITE}
}

func TestReconcileByState(t *testing.T) {
	for _, c := range []struct {
		name    string
		known   Known
		offered string // empty: gone
		state   State  // empty: nothing to write
		missing bool
	}{
		{"pending, same", Known{State: Pending}, "v1", "", false},
		{"pending, other", Known{State: Pending}, "v2", Pending, false},
		{"approved, same", Known{State: Approved}, "v1", "", false},
		{"T-03 approved, other", Known{State: Approved}, "v2", Changed, false},
		{"T-03 changed, other again", Known{State: Changed}, "v2", Changed, false},
		{"changed, same", Known{State: Changed}, "v1", "", false},
		{"rejected, same", Known{State: Rejected}, "v1", "", false},
		{"rejected, other", Known{State: Rejected}, "v2", Pending, false},
		{"approved, gone", Known{State: Approved}, "", "", true},
		{"missing, still gone", Known{State: Approved, Missing: true}, "", "", false},
		{"missing, back the same", Known{State: Approved, Missing: true}, "v1", Approved, false},
		{"missing, back another", Known{State: Approved, Missing: true}, "v2", Changed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.known.ID, c.known.Kind, c.known.Name, c.known.Offered, c.known.Risk = 7, Tool, "a", hash("v1"), "read"
			var offered []Entry
			if c.offered != "" {
				offered = []Entry{offer("a", c.offered)}
			}
			plan := Reconcile([]Known{c.known}, offered)
			if got := len(plan.Missing) == 1; got != c.missing || len(plan.Add) != 0 {
				t.Fatalf("plan %+v", plan)
			}
			if c.state == "" {
				if len(plan.Update) != 0 {
					t.Fatalf("update %+v, want none", plan.Update)
				}
				return
			}
			if len(plan.Update) != 1 || plan.Update[0].State != c.state {
				t.Fatalf("update %+v, want %s", plan.Update, c.state)
			}
			if want := map[bool]string{true: "write", false: "read"}[plan.Update[0].Redefined]; plan.Update[0].Risk != want {
				t.Fatalf("risk %s, want %s", plan.Update[0].Risk, want)
			}
		})
	}
}

func TestReconcileReports(t *testing.T) {
	known := []Known{
		{ID: 1, Kind: Tool, Name: "same", State: Approved, Offered: hash("v1")},
		{ID: 2, Kind: Tool, Name: "other", State: Approved, Offered: hash("v1")},
		{ID: 3, Kind: Tool, Name: "gone", State: Approved, Offered: hash("v1")},
		{ID: 4, Kind: Tool, Name: "moved", State: Pending, Offered: hash("v1"), Position: 5},
	}
	plan := Reconcile(known, []Entry{offer("same", "v1"), offer("other", "v2"), offer("new", "v1"), offer("moved", "v1")})
	want := Report{
		Added: []string{"s/new"}, Changed: []string{"s/other"}, Missing: []string{"s/gone"}, Unchanged: 2,
		Refused: []string{"s/#2: it has no name"},
	}
	if diff := cmp.Diff(want, plan.report("s", []Refusal{{Tool, "#2", "it has no name"}}, nil)); diff != "" {
		t.Fatal(diff)
	}
}

// A name stands for itself in each kind.
func TestReconcileTellsKindsApart(t *testing.T) {
	var known []Known
	var offered []Entry
	for i, kind := range Kinds() {
		known = append(known, Known{ID: int64(i), Kind: kind, Name: "a", State: Approved, Offered: hash("v1")})
		offered = append(offered, Entry{Kind: kind, Name: "a", Hash: hash("v1")})
	}
	if plan := Reconcile(known, offered); !plan.Empty() || plan.Unchanged != len(known) {
		t.Fatalf("plan %+v", plan)
	}
	plan := Reconcile(known, offered[1:])
	if len(plan.Missing) != 1 || plan.Missing[0].Kind != Tool || plan.Unchanged != len(known)-1 {
		t.Fatalf("plan %+v", plan)
	}
	got := plan.report("s", nil, []Failure{{Prompt, fault.New(fault.Unavailable, "it is down")}})
	if diff := cmp.Diff(Report{Missing: []string{"s/a"}, Unchanged: 4, Failed: []string{"prompts: it is down"}}, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestNodesAreConcernedByWhatTheyKnow(t *testing.T) {
	for name, c := range map[string]struct {
		plan Plan
		want bool
	}{
		"a new tool":                  {Plan{Add: []Entry{{Kind: Tool}}}, false},
		"a new prompt":                {Plan{Add: []Entry{{Kind: Prompt}}}, false},
		"a new resource is withheld":  {Plan{Add: []Entry{{Kind: Resource}}}, true},
		"a pending tool goes":         {Plan{Missing: []Known{{Kind: Tool, State: Pending}}}, false},
		"a pending template goes":     {Plan{Missing: []Known{{Kind: Template, State: Pending}}}, true},
		"approved instructions go":    {Plan{Missing: []Known{{Kind: Instructions, State: Approved}}}, true},
		"an approved prompt changes":  {Plan{Update: []Update{{Known: Known{Kind: Prompt, State: Approved}}}}, true},
		"a rejected prompt changes":   {Plan{Update: []Update{{Known: Known{Kind: Prompt, State: Rejected}}}}, false},
		"a rejected resource changes": {Plan{Update: []Update{{Known: Known{Kind: Resource, State: Rejected}}}}, true},
	} {
		if got := c.plan.concernsNodes(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// Whatever servers do, no definition is approved by discovery: a tool is
// approved after any number of discoveries only if it was before, and then its
// definition never left the approved one.
func TestT03_DiscoveryNeverApproves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := Known{
			ID: 1, Kind: Tool, Name: "a", Offered: hash("v1"),
			State: rapid.SampledFrom([]State{Pending, Approved, Changed, Rejected}).Draw(t, "state"),
		}
		first, strayed := k.State, false
		for range rapid.IntRange(0, 8).Draw(t, "discoveries") {
			text := rapid.SampledFrom([]string{"v1", "v2", ""}).Draw(t, "offered")
			var offered []Entry
			if text != "" {
				offered = []Entry{offer("a", text)}
			}
			plan := Reconcile([]Known{k}, offered)
			k.Missing = k.Missing || len(plan.Missing) > 0
			for _, u := range plan.Update {
				k.State, k.Offered, k.Missing = u.State, u.Entry.Hash, false
			}
			strayed = strayed || text == "v2"
			if text == "" && !k.Missing {
				t.Fatal("a tool that is gone is not missing")
			}
		}
		if k.State == Approved && (first != Approved || strayed) {
			t.Fatalf("%s became approved; strayed: %t", first, strayed)
		}
	})
}
