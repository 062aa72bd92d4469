// Package gate is what a node knows at one revision, ready to answer calls.
//
//	snapshot.Set ──Build──▶ *Index (immutable) ──swapped by one pointer──▶ calls
//
//	Index ─ Credentials    key id ──▶ key ──▶ Profile
//	      ─ Exposed, Tool  name ──▶ Tool, by exact look-up, never by splitting
//	      ─ Profile        the verdicts, for Decide and List alike
//
// Callers that no rule, role or denial can tell apart share a Profile. What the
// policy says of each tool is worked out once per profile, so that the cost of
// a call grows neither with rules nor tools nor users. Lists are made from the
// same verdicts: what is listed is callable, and nothing else is (P-06).
//
// # What is wrong with a snapshot
//
// A snapshot that says nothing sure is refused as a whole, and the last good one
// stays in force: settings or their secrets are missing, an item is of a kind
// that is not known, or the policy does not compile (an unknown effect, for
// example).
//
// Where only an entry is wrong, refusing the whole would also hold up the
// revocations that come with it. Then the entry is set aside, as if it did not
// exist, and Unusable says why:
//
//   - a key whose user is missing, whose hash has the wrong length, or which a
//     denial revokes; a user who holds a role that does not exist
//   - a server whose name or URL is not valid
//   - a tool whose server is missing or set aside, whose risk is not known,
//     whose definition is no JSON object with the tool's name in it or asks for
//     headers that are not valid, or whose exposed name is not valid, or is
//     claimed by another tool too (then both are set aside)
package gate
