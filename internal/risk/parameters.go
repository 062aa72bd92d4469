package risk

import (
	"slices"
)

// readParameters takes what the parameters let a caller hand over.
func (e *evidence) readParameters(all []parameter) {
	for _, p := range all {
		where := "parameter " + p.name
		switch {
		case len(p.choices) > 0:
			e.readChoices(p, where)
		case p.kind == "boolean":
			if len(p.words) > 0 && erasers[p.words[0]] {
				e.found(destructive, p.words[0], where)
			}
		default:
			e.readFree(p, where)
		}
	}
	e.readTogether(all)
}

// readChoices takes the deeds among which a caller chooses. They tell what the
// tool does if all of them are known, or if it says that it does many things. To
// choose a deed from a list is to filter by it.
func (e *evidence) readChoices(p parameter, where string) {
	last := len(p.words) - 1
	if last < 0 || !choosers[p.words[last]] || filters[e.head] {
		return
	}
	many := slices.ContainsFunc(e.name, isIn(manifold))
	known := !slices.ContainsFunc(p.choices, func(choice string) bool { return chosen(choice) == "" })
	for _, choice := range p.choices {
		verb := chosen(choice)
		r := lexicon[verb]
		e.found(r, verb, where)
		e.spoken = e.spoken || (known || many) && Riskier(r, read)
		if thing := slices.IndexFunc(e.name, isIn(authority)); thing >= 0 && changes(r) {
			e.found(admin, verb+" "+e.name[thing], where)
		}
	}
}

// chosen returns the verb of a choice, or "". A word that may be a thing is a
// verb where it is all there is.
func chosen(choice string) string {
	words := split(choice)
	if len(words) == 0 || !isVerb(words[0]) || len(words) > 1 && ambiguous[words[0]] {
		return ""
	}
	return words[0]
}

// readFree takes a parameter that may hold anything.
func (e *evidence) readFree(p parameter, where string) {
	if len(p.words) == 0 || p.kind == "integer" || p.kind == "number" {
		return
	}
	last := p.words[len(p.words)-1]
	holds := func(set map[string]bool) bool { return slices.ContainsFunc(p.words, isIn(set)) }
	switch {
	case holds(runs) && carriers[last]:
		e.says(execute, last, where)
	case runsBeside[last] && e.speaksOfCode(p):
		e.says(execute, last, where)
	case len(p.words) == 1 && manifests[last] && e.deed == write, len(p.words) == 1 && last == "pipeline" && p.kind == "array":
		e.says(execute, last, where)
	case holds(addressees) && !slices.Contains(p.words, "id") && !slices.Contains(p.words, "ids"), len(p.words) == 1 && addresses[last]:
		e.found(external, last, where)
	case last == "string" && slices.Contains(p.words, "connection"):
		e.found(external, "connection string", where)
	case e.worst() == read && places[p.words[0]] && directories[last]:
		e.found(write, last, where)
	}
}

// speaksOfCode reports whether a parameter's description, the name, or the first
// sentences of the description name a language in which something is run.
func (e *evidence) speaksOfCode(p parameter) bool {
	code := func(s sentence) bool { return slices.ContainsFunc(s, isIn(languages)) }
	return code(e.name) || code(p.words) || slices.ContainsFunc(prose(p.description), func(s sentence) bool {
		return code(s) || slices.Contains(s, "code") && slices.ContainsFunc(s, func(word string) bool { return lexicon[stem(word, lexicon)] == execute })
	}) || slices.ContainsFunc(e.text[:min(len(e.text), leadAtMost)], code)
}

// readTogether takes parameters that say more beside each other: what is written
// where, what is sent to whom.
func (e *evidence) readTogether(all []parameter) {
	has := func(set map[string]bool) bool {
		return slices.ContainsFunc(all, func(p parameter) bool {
			return len(p.words) > 0 && set[p.words[len(p.words)-1]]
		})
	}
	single := func(name string) bool {
		return slices.ContainsFunc(all, func(p parameter) bool { return len(p.words) == 1 && p.words[0] == name })
	}
	if has(paths) && (has(contents) || e.worst() != read && has(texts)) {
		e.found(write, "a path and its content", "parameters")
	}
	if single("code") && (single("language") || single("runtime")) {
		e.says(execute, "code and its language", "parameters")
	}
	if single("to") && !single("from") && has(mailParts) {
		e.found(external, "to", "parameters")
	}
}
