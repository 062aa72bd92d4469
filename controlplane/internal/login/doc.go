// Package login says who calls the administration and what they may do there.
//
//	request ─▶ Guard (Host, Origin, content type) ─▶ Desk.Handler (cookie ─▶ session ─▶ Caller) ─▶ Require ─▶ handler
//	Unix socket ─▶ Local (Caller = the local owner) ──────────────────────────────────────────────▶ Require ─▶ handler
//
// People prove themselves with a password (argon2id) and get an opaque session:
// 32 random bytes in a cookie, of which the database knows only the SHA-256. The
// first owner proves that he can read the start of the process instead: with the
// setup token, which works once.
//
// It promises:
//   - What a procedure needs stands in one exact map. A procedure that is not in
//     it is denied, so a new one is closed until somebody opens it.
//   - An API key of an MCP client is worth nothing here (security.md T-25): only
//     the cookie and the Unix socket are looked at.
//   - Guessing is slow and bounded: failed attempts are counted before any
//     hashing, few hashings run at once, and an unknown name costs the same time
//     as a wrong password (T-42, P-15).
//   - Nobody hands out what he does not hold (P-16): Caller.Covers.
package login
