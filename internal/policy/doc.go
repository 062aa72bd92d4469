// Package policy decides: rule set + request → decision.
//
// One function decides everything. Lists, calls and the simulator all come to
// it, so that what is listed is callable and nothing else is. It is pure (no
// clock, no network, no state that shows) and total: there is an answer to every
// request, and the answer to whatever is not understood is deny.
//
//	rules, roles, denies ──Compile──▶ *Set                  refuses what it does not know
//	                                   │ Profile(principal)   one per distinct caller, as far as rules can see
//	                                   ▼
//	                                *Profile ──Decide(server, tool, risk, method)──▶ Decision
//
// The order, first match wins:
//
//  1. the deny overlay: all, key, user, application, server, tool
//  2. rules by priority, lower first; at the same priority deny before allow,
//     then by id
//  3. grants of the caller's roles, by the role's name
//  4. deny
//
// A rule matches if each of its lists does, an empty list matches anything, and
// a list matches if one of its entries does. An attribute that is absent never
// satisfies a list that is there: a rule for applications does not match a
// caller without one. A tool whose category is not known counts as
// unclassified; a list of categories names that one like any other.
//
// # Globs
//
// A glob is "server/tool", and "*" is the only character in it that stands for
// others. Before the first "/" it is matched against the server's slug, after
// it against the tool's own name, both whole and case-sensitively. A "*" stands
// for any run of characters, also none, and never for that first "/"; the slash
// that a tool has in its own name is a character like others, so that no server
// gets out of a rule by the names it chooses. "**" is the same as "*". Alone,
// "*" or "**" is every tool of every server.
//
//	github/*      every tool of github
//	*/delete_*    what begins with delete_, on every server
//	git*/get_*    likewise, on servers that begin with git
//
// A glob with ?, [, ], {, }, \ or a leading ! is refused rather than read as
// one of the dialects that have them; so is one that no tool can match.
package policy
