package catalog

import (
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/warder-gateway/warder/internal/risk"
)

// State is what people decided about a tool, and what became of it since.
type State string

// The states, as they stand in the database.
const (
	Pending  State = "pending"
	Approved State = "approved"
	Changed  State = "changed"
	Rejected State = "rejected"
)

// Known is a tool that was offered before.
type Known struct {
	ID       int64
	Name     string
	State    State
	Missing  bool
	Offered  [sha256.Size]byte
	Risk     string
	Position int
}

// Plan is what a discovery means for the tools that are known.
type Plan struct {
	// Add are tools that were never offered; they become pending.
	Add []Tool
	// Update are known tools of which something is different now.
	Update []Update
	// Missing are known tools that are no longer offered and were not missing
	// already. They keep their state and are not callable.
	Missing []Known
	// Unchanged counts the known tools that are offered with the same definition.
	Unchanged int
}

// Update is a known tool that is offered now.
type Update struct {
	Known Known
	Tool  Tool
	// State it gets.
	State State
	// Risk it gets: another definition is classified anew; the same one keeps what
	// it had, so that a newer classifier cannot loosen what a person approved.
	Risk string
	// Redefined says that its definition is another than at the last discovery.
	Redefined bool
}

// Reconcile compares what is known with what is offered. It is pure, and never
// makes a tool callable that a person did not approve as it stands:
//
//   - approved becomes changed as soon as the definition differs;
//   - changed stays changed, even if the approved definition comes back: a server
//     that flaps between two definitions is not restored behind the reviewer's
//     back (security.md T-03). To restore is for a later policy.
//   - rejected becomes pending when the definition differs, for a person to look
//     at again;
//   - missing is cleared when the tool is back; its state follows the same rules.
func Reconcile(known []Known, offered []Tool) Plan {
	var plan Plan
	byName := make(map[string]Tool, len(offered))
	for _, tool := range offered {
		byName[tool.Name] = tool
	}
	for _, k := range known {
		tool, found := byName[k.Name]
		delete(byName, k.Name)
		if !found {
			if !k.Missing {
				plan.Missing = append(plan.Missing, k)
			}
			continue
		}
		plan.offer(k, tool)
	}
	for _, tool := range byName {
		plan.Add = append(plan.Add, tool)
	}
	slices.SortFunc(plan.Add, func(a, b Tool) int { return a.Position - b.Position })
	return plan
}

// offer files a known tool that is offered.
func (p *Plan) offer(k Known, tool Tool) {
	redefined := tool.Hash != k.Offered
	if !redefined {
		p.Unchanged++
	}
	if !redefined && !k.Missing && tool.Position == k.Position {
		return
	}
	u := Update{Known: k, Tool: tool, State: next(k.State, redefined), Risk: k.Risk, Redefined: redefined}
	if redefined {
		u.Risk = risk.Name(tool.Risk)
	}
	p.Update = append(p.Update, u)
}

// next is the state after a definition came that is, or is not, another one.
func next(s State, redefined bool) State {
	switch {
	case !redefined:
		return s
	case s == Approved, s == Changed:
		return Changed
	}
	return Pending
}

// Empty reports whether nothing is different.
func (p *Plan) Empty() bool {
	return len(p.Add)+len(p.Update)+len(p.Missing) == 0
}

// Report says for people what a plan did. Names are "server/tool", in order.
type Report struct {
	Added, Changed, Missing []string
	Unchanged               int
	Refused                 []string
}

// report makes the report of a plan.
func (p *Plan) report(server string, refused []Refusal) Report {
	r := Report{Unchanged: p.Unchanged}
	for _, tool := range p.Add {
		r.Added = append(r.Added, server+"/"+tool.Name)
	}
	for _, u := range p.Update {
		if u.Redefined {
			r.Changed = append(r.Changed, server+"/"+u.Known.Name)
		}
	}
	for _, k := range p.Missing {
		r.Missing = append(r.Missing, server+"/"+k.Name)
	}
	for _, f := range refused {
		r.Refused = append(r.Refused, server+"/"+f.Name+": "+f.Reason)
	}
	slices.SortFunc(r.Changed, strings.Compare)
	return r
}
