package risk

import (
	"slices"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// leadAtMost bounds how far into a description its say is: in sentences.
const leadAtMost = 2

// readDescription takes what the description says. Its first verb counts as
// much as a verb of the name; other verbs count only where that one says
// nothing ("Manage branches: list, create, delete").
func (e *evidence) readDescription() {
	const where = "description"
	lead := e.text[:min(len(e.text), leadAtMost)]
	if len(lead) > 0 {
		e.readLead(lead, where)
	}
	if e.deed != nothing && !e.sure && e.worst() != read {
		// A word of the name that may be a thing is better than nothing; only a
		// description that says "Returns" shows that it is one.
		e.says(e.deed, e.head, "name")
		e.readThings("name")
	}
	if changes(e.worst()) {
		e.readOverwriting(lead, where)
	} else {
		for _, s := range lead {
			e.readPhrases(s, web, where)
		}
	}
	for _, s := range e.text {
		e.readPhrases(s, alarms, where)
	}
}

// readLead takes the first verb of the first sentences.
func (e *evidence) readLead(lead []sentence, where string) {
	s := lead[0]
	first := s.opening()
	if first == len(s) {
		return
	}
	if manifold[s[first]] || slices.ContainsFunc(e.name, isIn(manifold)) {
		e.readAll(s[first:], where)
	} else if r, verb := s.verb(first); r != nothing {
		e.says(r, verb, where)
		e.readJoined(s, first+1, where)
		e.readSecrets(r, s, where)
	}
	if e.spoken || e.deed != nothing {
		return
	}
	for _, s := range lead {
		if i := s.firstVerb(); i >= 0 {
			r, verb := s.verb(i)
			e.says(r, verb, where)
			e.readJoined(s, i+1, where)
			return
		}
	}
}

// opening returns where the first verb of a sentence may stand: after such words
// as "This tool", and after a heading that a bar ends.
func (s sentence) opening() int {
	i := 0
	if bar := slices.Index(s[:min(len(s), 5)], "|"); bar >= 0 {
		i = bar + 1
	}
	for i < len(s) && openings[s[i]] {
		i++
	}
	return i
}

// verb returns the category of the word at i, in whatever form, and its stem.
// To run something is execution only if it is code.
func (s sentence) verb(i int) (snapshotv1.Risk, string) {
	verb := stem(s[i], lexicon)
	r := lexicon[verb]
	if r == execute && !slices.ContainsFunc(s, isIn(codeThings)) && runners[verb] {
		return nothing, ""
	}
	return r, verb
}

// firstVerb returns where the first word stands that can only be a verb and is
// not negated, or -1. A form in s within a sentence is mostly that of things:
// "with progress updates".
func (s sentence) firstVerb() int {
	for i := range s {
		r, verb := s.verb(i)
		things := i > 0 && s[i] != verb && s[i][len(s[i])-1] == 's' && !clauses[s[i-1]]
		if r != nothing && !things && !ambiguous[verb] && !s.negated(i) {
			return i
		}
	}
	return -1
}

// readJoined takes the verbs that are joined to one before i, beside it ("Read or
// replace the clipboard", "Create, update or delete") or further on ("Returns a
// message and deletes it").
func (e *evidence) readJoined(s sentence, i int, where string) {
	beside := true
	for ; i < len(s); i++ {
		after := joints[s[i-1]] || beside && (s[i-1] == "," || s[i-1] == "/")
		r, verb := s.verb(i)
		if after && r != nothing && (beside || !ambiguous[verb]) && !s.negated(i) {
			e.says(r, verb, where)
			continue
		}
		beside = beside && (joints[s[i]] || s[i] == "," || s[i] == "/")
	}
}

// readAll takes every verb of a sentence that stands where a verb may, for
// tools that do what they list.
func (e *evidence) readAll(s sentence, where string) {
	for i := range s {
		if r, verb := s.verb(i); r != nothing && !s.negated(i) && (i == 0 || lists(s[i-1])) {
			e.says(r, verb, where)
		}
	}
}

// lists reports whether a verb may follow a word in an enumeration.
func lists(before string) bool {
	return joints[before] || before == "," || before == ":" || before == "/" || before == "with" || before == "to"
}

// readSecrets takes that a credential is what the tool gets: named as its object
// and not as what the caller needs for it.
func (e *evidence) readSecrets(r snapshotv1.Risk, s sentence, where string) {
	if r != read {
		return
	}
	secretPhrases.each(s, func(i int, p phrase) {
		if !slices.ContainsFunc(s[:i], isIn(needs)) {
			e.found(admin, p.String(), where)
		}
	})
}

// readPhrases takes the phrases of a book that a sentence holds.
func (e *evidence) readPhrases(s sentence, book phrasebook, where string) {
	book.each(s, func(_ int, p phrase) { e.found(p.risk, p.String(), where) })
}

// readOverwriting takes that what is there is overwritten.
func (e *evidence) readOverwriting(lead []sentence, where string) {
	for _, s := range lead {
		for i := range s {
			if _, verb := s.verb(i); verb == "overwrite" && !s.negated(i) {
				e.found(destructive, verb, where)
			}
		}
	}
}

// speaksOfWeb reports whether the first sentences have a word of the web.
func (e *evidence) speaksOfWeb() bool {
	return slices.ContainsFunc(e.text[:min(len(e.text), leadAtMost)], func(s sentence) bool {
		return slices.ContainsFunc(s, isIn(webWords))
	})
}
