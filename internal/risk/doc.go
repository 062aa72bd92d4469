// Package risk sorts tools into categories by what their definitions say, and
// says why.
//
// What a category means to an administrator is in docs/concepts.md, "Risk
// categories"; in short, a tool has the riskiest that fits the worst a caller
// can do with it:
//
//	read         gets what the system behind holds, changes nothing
//	write        creates or changes what another call can put right
//	external     sends beyond the system behind, or fetches what the caller points at
//	destructive  deletes, overwrites or discards what no call brings back
//	admin        decides who may do what; credentials; how the system is set up
//	execute      runs what the caller wrote or chose
//	unclassified nobody knows; treated as the riskiest
//
// Assess is deterministic and works offline: the same bytes give the same
// answer on every machine. It looks at whole words, split on case and
// separators, and gathers evidence:
//
//	name ─────────▶ what the tool does: its verbs, and what they are done to
//	description ──▶ the same where the name is silent; else its first verb raises
//	inputSchema ──▶ raises: commands, statements, addresses, actions to choose from
//	annotations ──▶ raise: the server's own claims
//	                                        └─▶ the riskiest piece of evidence counts
//
// Only a name or a description can make a tool less than unclassified (or a
// parameter that carries something to run: nothing is riskier than that).
// Annotations and parameters only ever raise, so a server that calls its tool
// harmless is not believed. Words in quotes and names of other tools in a
// description say nothing, nor do verbs and warnings that are negated.
//
// It is a first guess for the person who approves the tool; an override by an
// administrator outlives it. testdata holds real definitions, labelled by hand,
// to which the tests hold it.
package risk

// Version names the words and rules of this build. It changes whenever the same
// definition may get another category.
const Version = "1"
