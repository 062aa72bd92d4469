// Package gate is what a node knows at one revision, ready to answer calls.
//
//	snapshot.Set ──Build──▶ *Index (immutable) ──swapped by one pointer──▶ calls
//
//	Index ─ Credentials    key id ──▶ key ──▶ Profile
//	      ─ Resolve        name or URI ──▶ Entry, by exact look-up, never by splitting a name
//	      ─ Profile        the verdicts, for Decide and List alike
//	      ─ Sealer         what clients carry
//
// Callers that no rule, role or denial can tell apart share a Profile. What the
// policy says of each tool, prompt, resource and template is worked out once per
// profile, so that the cost of a decision grows neither with rules nor entries nor
// users. Lists are made from the same verdicts: what is listed may be used, and
// nothing else is listed (P-06).
//
// # The deny overlay
//
//	Index ─ overlay   who and what is denied, and which keys are gone
//	      └ core      all the rest, shared by indexes that differ in the overlay alone
//
// A revocation must not wait for the work that a new index costs: Amend makes one
// of the same core with another overlay. The overlay is asked first, as in
// policy.Decide, so that the two decide what a snapshot compiled whole would.
//
// # Resources
//
// A server may have resources that it does not list. There, a snapshot says what
// people withhold, and the rest may exist: by an approved template, whose risk it
// has, or unclassified, as the riskiest. Either is decided on by its URI when it
// is asked for, so that a template is in a list if the policy allows its text,
// which says nothing sure of the resources that it names.
//
// # Endpoints
//
// On the endpoint of one server everything has the names that the server knows,
// and definitions are the bytes that it sent. On the aggregate tools and prompts
// have their exposed names and URIs the server's prefix, but for web addresses;
// one that two servers list is that of the first by name, for all callers.
//
// Lists are identified by their content: a cursor and a View are good at every
// node and after every snapshot in which the list is the same.
//
// # What is wrong with a snapshot
//
// A snapshot that says nothing sure is refused as a whole, and the last good one
// stays in force: settings or their secrets are missing (the seal keys too), an
// item is of a kind that is not known, or the policy does not compile (an unknown
// effect, for example).
//
// Where only an entry is wrong, refusing the whole would also hold up the
// revocations that come with it. Then the entry is set aside, as if it did not
// exist, and Unusable says why:
//
//   - a key whose user is missing or whose hash has the wrong length; a user who
//     holds a role that does not exist
//   - a server whose name or URL is not valid
//   - a tool, prompt, resource or template whose server is missing or set aside,
//     whose risk is not known, or whose definition is no JSON object that names it;
//     a tool that asks for headers that are not valid; a template that is not one
//   - a tool or a prompt whose exposed name is not valid, or is claimed by another
//     too (then both are set aside)
//
// A resource that is set aside is withheld, and so is what a template would name
// that is.
package gate
