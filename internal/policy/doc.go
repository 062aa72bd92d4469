// Package policy decides: rule set + request → decision.
//
// One function decides everything. Lists, calls, reads, subscriptions,
// completions, what a server asks of the client, and the simulator all come to
// it, so that what is listed may be used and nothing else. It is pure (no clock,
// no network, no state that shows) and total: there is an answer to every
// request, and the answer to whatever is not understood is deny.
//
//	rules, roles, denies, limits ──Compile──▶ *Set           refuses what it does not know
//	                                           │ Profile(principal)   one per distinct caller, as far as rules can see
//	                                           ▼
//	                                        *Profile ──Limits(target)──▶ what bounds the calls
//	                                           │ Verdict(target, method)   once, ahead of the calls
//	                                           ▼
//	                                        *Verdict ──Decide(principal, target, facts)──▶ Decision
//
// The order, first match wins:
//
//  1. the deny overlay: all, key, token, user, application, server, tool
//  2. servers that the caller's key is not good for: deny
//  3. rules by priority, lower first; at the same priority deny before allow,
//     then by id
//  4. grants of the caller's roles, by the role's name
//  5. deny
//
// A rule matches if each of its lists does, an empty list matches anything, and
// a list matches if one of its entries does. An attribute that is absent never
// satisfies a list that is there: a rule for applications does not match a
// caller without one.
//
// A target whose category is not known counts as unclassified, which is treated as
// the riskiest: a denial (and a limit) whose list of categories names any of write,
// destructive, admin, execute and external is about unclassified too, and one that
// allows is about what it names.
//
// # Conditions
//
// A rule may have a condition, which comes after all its lists: one expression in
// CEL that is true or false, with the standard functions and macros, over
//
//	principal  user, groups, roles, application, key, issuer
//	tool       server, name, kind (tool, prompt or resource), risk; of prompts and
//	           resources too, whose name is the URI
//	arguments  what the client sent with tools/call or prompts/get; of
//	           resources/read {uri}; absent otherwise
//	client     name, version: claims, which nobody verified
//	now        the time of the call
//
// What is absent (a variable, a field, a name in arguments) satisfies no condition:
// one whose value depends on it does not match, of allow and deny alike. has() asks
// whether something is there; CEL's own rule that false && x is false and true || x
// is true holds also where x is absent, and of two operands without a value the
// first counts. A condition that cannot be evaluated for another reason (a type that
// does not fit, an index out of its list, an overflow, the cost) denies, in the name
// of its rule, once all else of the rule matches. Misspelt variables and fields do
// not compile; those of arguments nobody can know.
//
// Conditions on principal and tool alone are settled ahead of the calls. Those on
// arguments, client or now are open until there is a call: a Verdict is the open
// conditions that come first, and the decision behind them. What may be allowed for
// some facts is listed, so that what is not listed may never be used.
//
// Numbers in arguments are not rounded: a whole one is an int or a uint, and one
// that has more than 64 bits fails whoever uses it.
//
// # Kinds
//
// A target is a tool, a prompt or a resource, and rules and grants have globs of
// each kind. The globs of all kinds are one list: a rule that has some matches
// what one of them matches, so that one with globs of tools only says nothing of
// prompts and resources. A rule without any glob is about everything. A denial of
// a tool in the overlay is about that tool only; the others are about all kinds.
//
// A resource that its server does not list is decided on by its URI, like any
// other. What denies a resource denies it in each spelling that a lenient server
// may read (see uri.Fold): percent-encoded or not, with a fragment, or with a slash
// at the end. What allows one allows that spelling alone.
//
// # Methods
//
// Each kind has a main method (tools/call, prompts/get, resources/read), and
// what Decide allows it for is what lists hold. The other methods of Methods are
// decided on with the tool, prompt or resource that they are about; what a server
// asks of the client (sampling/createMessage, elicitation/create, roots/list) with
// that which it asks for while it answers. A rule that names no methods is about
// all of them, and grants are.
//
// # Globs
//
// A glob is "server/name", and "*" is the only character in it that stands for
// others. Before the first "/" it is matched against the server's slug, after
// it against the name that the server knows or, of a resource, the whole URI; both
// whole and case-sensitively. A "*" stands for any run of characters, also none,
// and never for that first "/"; the slashes in a name or a URI are characters like
// others, so that no server gets out of a rule by the names it chooses. "**" is
// the same as "*". Alone, "*" or "**" is everything of the kind, of every server.
//
//	github/*             everything of github
//	*/delete_*           what begins with delete_, on every server
//	git*/get_*           likewise, on servers that begin with git
//	files/file:///pub/*  what files has below file:///pub/
//
// A glob with ?, [, ], {, }, \ or a leading ! is refused rather than read as
// one of the dialects that have them; so is one that nothing can match. In globs
// of resources a ? stands for itself, since URIs have it.
package policy
