package catalog

import (
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/risk"
)

// State is what people decided about an entry, and what became of it since.
type State string

// The states, as they stand in the database.
const (
	Pending  State = "pending"
	Approved State = "approved"
	Changed  State = "changed"
	Rejected State = "rejected"
)

// Known is an entry that was offered before.
type Known struct {
	ID       int64
	Kind     Kind
	Name     string
	State    State
	Disabled bool
	Missing  bool
	Offered  [sha256.Size]byte
	Risk     string
	// RiskSet says that the category is a person's.
	RiskSet  bool
	Position int
}

// Plan is what a discovery means for the entries that are known.
type Plan struct {
	// Add are entries that were never offered; they become pending.
	Add []Entry
	// Update are known entries of which something is different now.
	Update []Update
	// Missing are known entries that are no longer offered and were not missing
	// already. They keep their state and are not callable.
	Missing []Known
	// Unchanged counts the known entries that are offered with the same definition.
	Unchanged int
}

// Update is a known entry that is offered now.
type Update struct {
	Known Known
	Entry Entry
	// State it gets.
	State State
	// Risk it gets: another definition is classified anew, unless a person chose the
	// category; the same one keeps what it had.
	Risk string
	// Redefined says that its definition is another than at the last discovery.
	Redefined bool
}

// Reconcile compares what is known with what is offered. It is pure, and never
// makes anything callable that a person did not approve as it stands:
//
//   - approved becomes changed as soon as the definition differs;
//   - changed stays changed, even if the approved definition comes back: a server
//     that flaps between two definitions is not restored behind the reviewer's
//     back (security.md T-03). To restore is for a later policy.
//   - rejected becomes pending when the definition differs, for a person to look
//     at again;
//   - missing is cleared when the entry is back; its state follows the same rules.
func Reconcile(known []Known, offered []Entry) Plan {
	type key struct {
		kind Kind
		name string
	}
	var plan Plan
	byName := make(map[key]Entry, len(offered))
	for _, entry := range offered {
		byName[key{entry.Kind, entry.Name}] = entry
	}
	for _, k := range known {
		entry, found := byName[key{k.Kind, k.Name}]
		delete(byName, key{k.Kind, k.Name})
		if !found {
			if !k.Missing {
				plan.Missing = append(plan.Missing, k)
			}
			continue
		}
		plan.offer(k, entry)
	}
	for _, entry := range offered {
		if _, added := byName[key{entry.Kind, entry.Name}]; added {
			plan.Add = append(plan.Add, entry)
		}
	}
	return plan
}

// offer files a known entry that is offered.
func (p *Plan) offer(k Known, entry Entry) {
	redefined := entry.Hash != k.Offered
	if !redefined {
		p.Unchanged++
	}
	if !redefined && !k.Missing && entry.Position == k.Position {
		return
	}
	u := Update{Known: k, Entry: entry, State: next(k.State, redefined), Risk: k.Risk, Redefined: redefined}
	if redefined && !k.RiskSet {
		u.Risk = risk.Name(entry.Risk)
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

// concernsNodes reports whether something changes in what nodes know: an entry
// that is, or was, approved; and a resource or template in any state, because
// nodes know those that are withheld, too.
func (p *Plan) concernsNodes() bool {
	concerns := func(k Known) bool { return k.State == Approved || k.Kind.Withheld() }
	return slices.ContainsFunc(p.Missing, concerns) ||
		slices.ContainsFunc(p.Update, func(u Update) bool { return concerns(u.Known) }) ||
		slices.ContainsFunc(p.Add, func(e Entry) bool { return e.Kind.Withheld() })
}

// Report says for people what a plan did. Names are full ones (Kind.FullName), in
// order.
type Report struct {
	Added, Changed, Missing []string
	Unchanged               int
	// Refused are definitions, each with the reason.
	Refused []string
	// Failed are kinds that could not be listed, each with the reason.
	Failed []string
}

// Empty reports whether a discovery found all as it was, and could look at all.
// Definitions that are refused are no news.
func (r *Report) Empty() bool {
	return len(r.Added)+len(r.Changed)+len(r.Missing)+len(r.Failed) == 0
}

// report makes the report of a plan.
func (p *Plan) report(server string, refused []Refusal, failed []Failure) Report {
	r := Report{Unchanged: p.Unchanged}
	for _, entry := range p.Add {
		r.Added = append(r.Added, entry.Kind.FullName(server, entry.Name))
	}
	for _, u := range p.Update {
		if u.Redefined {
			r.Changed = append(r.Changed, u.Known.Kind.FullName(server, u.Known.Name))
		}
	}
	for _, k := range p.Missing {
		r.Missing = append(r.Missing, k.Kind.FullName(server, k.Name))
	}
	for _, f := range refused {
		r.Refused = append(r.Refused, f.Kind.FullName(server, f.Name)+": "+f.Reason)
	}
	for _, f := range failed {
		r.Failed = append(r.Failed, f.String())
	}
	slices.SortFunc(r.Changed, strings.Compare)
	return r
}

// String says which kind failed, and why, for people.
func (f Failure) String() string {
	for i := range listings {
		if listings[i].kind == f.Kind {
			return listings[i].noun + ": " + fault.Text(f.Err)
		}
	}
	return string(f.Kind) + ": " + fault.Text(f.Err)
}
