// Package token verifies the JWT access tokens (RFC 9068) of issuers.
//
//	text ─▶ digest ─▶ verdict kept? ───────────────────────────────▶ *Token
//	            │ no
//	            ├─▶ header, claims: strictly read ──▶ issuer of the snapshot, by iss
//	            ├─▶ what the claims must say ─────────────────────── else *Refusal
//	            └─▶ key of the issuer, by kid ──▶ signature ───────▶ *Token, kept
//	                     ▲
//	   JWKS of the issuer, fetched in the background ◀── unknown kid, now and then
//
// A token chooses nothing: not the algorithm (it must be one of the issuer's, and
// fit the kind of the key), not the key (one of the issuer's, whatever the token
// carries or points to), not where keys come from. What a token says that this
// package does not know how to honour (crit, a bound key, a key of its own) refuses
// it (security.md T-15).
//
// Nothing here holds a token: verdicts are kept by its SHA-256.
//
// A Keeper lives as long as the node; Issuers belong to one snapshot. Keys live
// beside the snapshots: the last good ones stay while the issuer does not answer.
// Only URLs of issuers in the snapshot are ever fetched, each at most once in
// minInterval, however many unknown keys tokens name (T-16).
package token
