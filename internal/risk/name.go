package risk

import (
	"slices"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// readName takes what the name says: its verb, the other verbs in it, and what
// they are done to.
func (e *evidence) readName() {
	const where = "name"
	at := headOf(e.name)
	if at < 0 {
		e.readPairs(where)
		return
	}
	e.head = e.name[at]
	e.deed, e.sure = lexicon[e.head], at == 0 || !ambiguous[e.head]
	deed := e.head
	for _, word := range e.name {
		if r := lexicon[word]; !ambiguous[word] && Riskier(r, e.deed) {
			e.deed, e.sure, deed = r, true, word
		}
	}
	if e.deed == read && slices.ContainsFunc(e.name, isIn(joints)) {
		// "read and frobnicate": the other half may be anything.
		e.deed, e.sure = nothing, false
		return
	}
	if e.sure {
		e.says(e.deed, deed, where)
	}
	e.readPairs(where)
	e.readThings(where)
}

// headOf returns where the verb of a name stands, or -1. It is the first word
// that does something; but a word that is as often a thing is one where a word
// that can only be a verb stands as well: "email_list", "issue_comment_create".
func headOf(name []string) int {
	first := slices.IndexFunc(name, isVerb)
	if first < 0 || !ambiguous[name[first]] {
		return first
	}
	last := len(name) - 1
	certain := slices.IndexFunc(name, func(word string) bool { return isVerb(word) && !ambiguous[word] })
	if certain >= 0 && (first > 0 || certain == last) {
		return certain
	}
	if r := lexicon[name[last]]; certain < 0 && Riskier(r, external) && Riskier(r, lexicon[name[first]]) {
		return last // "monitor_run": either may be the verb
	}
	return first
}

func isVerb(word string) bool { return lexicon[word] != nothing }

func isIn(set map[string]bool) func(string) bool { return func(word string) bool { return set[word] } }

// changes reports whether a category is about changing something.
func changes(r snapshotv1.Risk) bool { return r == write || r == destructive }

// readPairs takes two words of the name that say more together.
func (e *evidence) readPairs(where string) {
	for _, pair := range pairs {
		verb := slices.IndexFunc(e.name, isIn(pair.verbs))
		thing := slices.IndexFunc(e.name, isIn(pair.things))
		if verb >= 0 && thing >= 0 && (pair.reading || e.deed != read) && (!pair.last || thing == len(e.name)-1) {
			e.says(pair.risk, e.name[verb]+" "+e.name[thing], where)
		}
	}
}

// readThings takes what the deed is done to: who may do what, settings, secrets.
func (e *evidence) readThings(where string) {
	for _, word := range e.name {
		switch {
		case changes(e.deed) && word != e.head && (authority[word] || settings[word]):
			e.says(admin, e.head+" "+word, where)
		case e.deed == read && secrets[word] && e.head != "count" && e.head != "search":
			e.says(admin, e.head+" "+word, where)
		}
	}
	if e.deed == read {
		secretPhrases.each(e.name, func(_ int, p phrase) { e.says(admin, p.String(), where) })
	}
}
