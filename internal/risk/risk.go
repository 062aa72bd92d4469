// Package risk sorts tools into categories by what their definitions say.
//
// Classify is deterministic and works offline: the same bytes give the same
// category on every machine. It looks at whole words, split on case and
// separators, in this order:
//
//	name         the riskiest category of its words; words that only read count
//	             for nothing beside others
//	description  its first word, if the name says nothing; alarming phrases anywhere
//	inputSchema  property names that carry commands or addresses
//	annotations  the server's own claims
//
// Whatever comes later may raise the category and never lowers it: a server
// that calls its tool harmless is not believed. What says nothing at all is
// unclassified, and that is treated as the riskiest.
//
// It is a first guess for the person who approves the tool; an override by an
// administrator outlives it.
package risk

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/warder-gateway/warder/internal/fault"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// names is indexed by category.
var names = [...]string{"", "read", "write", "destructive", "admin", "execute", "external", "unclassified"}

// severity orders the categories; the place in the list counts.
var severity = [...]snapshotv1.Risk{
	snapshotv1.Risk_RISK_UNSPECIFIED,
	snapshotv1.Risk_RISK_READ,
	snapshotv1.Risk_RISK_WRITE,
	snapshotv1.Risk_RISK_EXTERNAL,
	snapshotv1.Risk_RISK_DESTRUCTIVE,
	snapshotv1.Risk_RISK_ADMIN,
	snapshotv1.Risk_RISK_EXECUTE,
	snapshotv1.Risk_RISK_UNCLASSIFIED,
}

// Name returns the category's name in lower case. A category that this build
// does not know is "unclassified".
func Name(r snapshotv1.Risk) string { return names[Known(r)] }

// Names returns the names of all categories, least risky first.
func Names() []string {
	all := make([]string, 0, len(severity)-1)
	for _, r := range severity[1:] {
		all = append(all, names[r])
	}
	return all
}

// Parse returns the category of a name. The error is fault.Invalid and lists
// the names.
func Parse(name string) (snapshotv1.Risk, error) {
	if i := slices.Index(names[1:], name); i >= 0 {
		return snapshotv1.Risk(i + 1), nil
	}
	return 0, fault.Newf(fault.Invalid, "no risk category %q; the categories are %s", name, strings.Join(Names(), ", "))
}

// Known returns r, and unclassified in place of a category that is not set or
// that this build does not know.
func Known(r snapshotv1.Risk) snapshotv1.Risk {
	if r <= 0 || int(r) >= len(names) {
		return snapshotv1.Risk_RISK_UNCLASSIFIED
	}
	return r
}

// definition is what Classify reads of a tool.
type definition struct {
	Name        string `json:"name"`
	Title       string `json:"title"`
	Description string `json:"description"`
	InputSchema struct {
		Properties map[string]jsontext.Value `json:"properties"`
	} `json:"inputSchema"`
	Annotations struct {
		ReadOnly    *bool `json:"readOnlyHint"`
		Destructive *bool `json:"destructiveHint"`
	} `json:"annotations"`
}

// Classify returns the category of a tool definition, one JSON object as the
// server sent it. A definition that it cannot read is unclassified.
func Classify(raw []byte) snapshotv1.Risk {
	var d definition
	if err := json.Unmarshal(raw, &d); err != nil {
		return snapshotv1.Risk_RISK_UNCLASSIFIED
	}
	r := ofName(words(d.Name))
	if r == 0 {
		r = ofDescription(words(d.Description))
	}
	if r == 0 {
		return snapshotv1.Risk_RISK_UNCLASSIFIED
	}
	r = riskier(r, ofPhrases(d.Description))
	r = riskier(r, ofProperties(d.InputSchema.Properties))
	return riskier(r, d.claims())
}

// claims returns what the annotations admit to. A claim to be harmless is no
// claim: it could only lower.
func (d *definition) claims() snapshotv1.Risk {
	switch {
	case d.Annotations.Destructive != nil && *d.Annotations.Destructive:
		return snapshotv1.Risk_RISK_DESTRUCTIVE
	case d.Annotations.ReadOnly != nil && !*d.Annotations.ReadOnly:
		return snapshotv1.Risk_RISK_WRITE
	}
	return 0
}

// riskier returns the riskier of two categories.
func riskier(a, b snapshotv1.Risk) snapshotv1.Risk {
	if slices.Index(severity[:], b) > slices.Index(severity[:], a) {
		return b
	}
	return a
}

// ofName returns the riskiest category among the words of a name, or 0 if none
// is known. Words that are as often things as deeds ("get_comment") count where
// they come first or where nothing else is known.
func ofName(name []string) snapshotv1.Risk {
	r := weigh(name, func(i int, word string) bool { return i == 0 || !ambiguous[word] })
	if r == 0 {
		r = weigh(name, func(int, string) bool { return true })
	}
	changes := r == snapshotv1.Risk_RISK_WRITE || r == snapshotv1.Risk_RISK_DESTRUCTIVE
	switch {
	case changes && holds(name, authority):
		// To change who may do what is administration, whatever the verb.
		return snapshotv1.Risk_RISK_ADMIN
	case r == snapshotv1.Risk_RISK_READ && holds(name, joints):
		// "read and frobnicate": the other half may be anything.
		return 0
	}
	return r
}

// weigh returns the riskiest category among the words that count.
func weigh(name []string, counts func(i int, word string) bool) (r snapshotv1.Risk) {
	for i, word := range name {
		if counts(i, word) {
			r = riskier(r, lexicon[word])
		}
	}
	return r
}

func holds(name []string, set map[string]bool) bool {
	return slices.ContainsFunc(name, func(word string) bool { return set[word] })
}

// ofDescription returns the category of the verb that a description begins
// with, or 0.
func ofDescription(text []string) snapshotv1.Risk {
	if len(text) == 0 {
		return 0
	}
	for _, form := range stems(text[0]) {
		if r := lexicon[form]; r != 0 {
			return r
		}
	}
	return 0
}

// ofPhrases returns the riskiest category of the alarming phrases in a text.
func ofPhrases(text string) (r snapshotv1.Risk) {
	plain := " " + strings.Join(words(text), " ") + " "
	for _, p := range phrases {
		if strings.Contains(plain, " "+p.text+" ") {
			r = riskier(r, p.risk)
		}
	}
	return r
}

// ofProperties returns the riskiest category of the names of parameters.
func ofProperties(properties map[string]jsontext.Value) (r snapshotv1.Risk) {
	for name := range properties {
		for _, word := range words(name) {
			r = riskier(r, parameters[word])
		}
	}
	return r
}
