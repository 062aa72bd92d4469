// Package credential turns what a request presents into a verified caller.
//
//	Authorization: Bearer <text>
//	        │
//	        ├─ none, or another scheme ───▶ 401, plain challenge
//	        ├─ twice, or in the query ────▶ 400
//	        ├─ a JWT (two dots) ──────────▶ package token ─┬─ refused ─▶ 401, 403 or 503
//	        │                                              └─ good ────▶ *Caller
//	        └─ wdr_<id>_<secret>_<crc>
//	              ├─ malformed ─────────────────▶ 401 invalid_token
//	              ├─ unknown, wrong or revoked ─▶ 401 invalid_token, one text for all
//	              ├─ expired ───────────────────▶ 401 invalid_token, and says so
//	              └─ good ──────────────────────▶ *Caller
//
// A Table is immutable and belongs to one snapshot. It holds no secret that
// authenticates: only keyed hashes. A key that is not known costs the same work
// as one whose secret is wrong, so that time tells nobody which ids exist. Only
// who holds the right secret learns that a key has expired.
package credential
