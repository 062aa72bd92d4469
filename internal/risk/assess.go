package risk

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Assessment is what a definition makes a tool.
type Assessment struct {
	Category snapshotv1.Risk
	// Reasons are what was found, riskiest first, each once; never empty, and a
	// few dozen at most. The first ones speak for Category.
	Reasons []Reason
}

// Reason is one piece of evidence.
type Reason struct {
	// Category is what it speaks for.
	Category snapshotv1.Risk
	// What was found, in lower case, such as "delete" or "cannot be undone": in
	// words of this package, not of the server.
	What string
	// Where it was found: "name", "description", "parameter url" (a name
	// that the server gave), "parameters", "annotation destructiveHint", or
	// "definition".
	Where string
}

// String returns the reason as a person reads it: destructive: "delete" in the name.
func (r Reason) String() string {
	if r.Where == "definition" {
		return fmt.Sprintf("%s: %s", Name(r.Category), r.What)
	}
	return fmt.Sprintf("%s: %q in the %s", Name(r.Category), r.What, r.Where)
}

// definition is what Assess reads of a tool.
type definition struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	InputSchema jsontext.Value `json:"inputSchema"`
	Annotations struct {
		ReadOnly    *bool `json:"readOnlyHint"`
		Destructive *bool `json:"destructiveHint"`
		OpenWorld   *bool `json:"openWorldHint"`
	} `json:"annotations"`
}

// Classify returns the category of a tool definition: Assess without reasons.
func Classify(raw []byte) snapshotv1.Risk { return Assess(raw).Category }

// Assess returns the category of a tool definition, one JSON object as the
// server sent it, and what speaks for it. A definition that cannot be read is
// unclassified. It is safe for concurrent use.
func Assess(raw []byte) Assessment {
	var d definition
	if err := json.Unmarshal(raw, &d); err != nil {
		return unknown("the definition cannot be read")
	}
	e := evidence{name: split(d.Name), text: prose(d.Description)}
	e.readName()
	e.readDescription()
	e.readParameters(parameters(d.InputSchema))
	e.readClaims(&d)
	if !e.spoken {
		return unknown("neither the name nor the description says what it does", e.reasons...)
	}
	return conclude(e.reasons)
}

// evidence gathers what the parts of a definition say.
type evidence struct {
	name []string   // words of the name
	text []sentence // of the description, what counts of it

	// deed is what the name says is done, nothing if it says nothing; sure tells
	// that the word which says so can only be a verb, or comes first.
	deed snapshotv1.Risk
	head string // the verb of the name
	sure bool

	spoken  bool // whether something is known of what the tool does at all
	reasons []Reason
}

// reasonsAtMost bounds the reasons of an assessment. Beyond it, only those are
// taken that speak for a riskier category than all before them.
const reasonsAtMost = 32

// found adds a reason. It says nothing of what else the tool may do.
func (e *evidence) found(r snapshotv1.Risk, what, where string) {
	reason := Reason{Category: r, What: what, Where: where}
	full := len(e.reasons) >= reasonsAtMost && !Riskier(r, e.worst())
	if r != nothing && !full && !slices.Contains(e.reasons, reason) {
		e.reasons = append(e.reasons, reason)
	}
}

// says adds a reason that also tells what the tool does.
func (e *evidence) says(r snapshotv1.Risk, what, where string) {
	e.spoken = e.spoken || r != nothing
	e.found(r, what, where)
}

// worst returns the riskiest category found so far.
func (e *evidence) worst() (r snapshotv1.Risk) {
	for _, reason := range e.reasons {
		if Riskier(reason.Category, r) {
			r = reason.Category
		}
	}
	return r
}

// readClaims takes what the annotations admit to. A claim to be harmless is no
// claim: it could only lower. That a tool meets an open world is said of tools
// of every kind, and is the default; it counts beside words of the web.
func (e *evidence) readClaims(d *definition) {
	if hint := d.Annotations.Destructive; hint != nil && *hint {
		e.found(destructive, "true", "annotation destructiveHint")
	}
	if hint := d.Annotations.ReadOnly; hint != nil && !*hint {
		e.found(write, "false", "annotation readOnlyHint")
	}
	if hint := d.Annotations.OpenWorld; hint != nil && *hint && e.speaksOfWeb() {
		e.found(external, "true", "annotation openWorldHint")
	}
}

// conclude sorts the reasons; the first one decides.
func conclude(reasons []Reason) Assessment {
	slices.SortStableFunc(reasons, func(a, b Reason) int {
		return cmp.Compare(slices.Index(severity[:], b.Category), slices.Index(severity[:], a.Category))
	})
	return Assessment{Category: reasons[0].Category, Reasons: reasons}
}

func unknown(why string, others ...Reason) Assessment {
	return conclude(append([]Reason{{Category: unclassified, What: why, Where: "definition"}}, others...))
}
