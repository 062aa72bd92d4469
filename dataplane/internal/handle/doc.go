// Package handle seals the state that clients carry for the gateway: session ids, cursors, request states, ids of requests
// that servers make, and event ids.
//
//	value ─pack─▶ bytes ─XChaCha20-Poly1305 under a snapshot's key─▶ base64url ─▶ "w1.…" ─▶ client
//	                      └ bound to: kind, owner                                            │
//	value ◀─unpack── bytes ◀─────────────── any node of the installation ◀───────────────────┘
//
// No node keeps what it sealed, so any node serves any request, and a restart loses nothing.
//
// Promises (security.md T-21, mcp.md 2.7 and 2.9):
//
//   - What does not open is ErrOpen, whatever the cause: another owner, another kind, a changed bit, a key that was dropped,
//     the past. A client cannot tell a foreign handle from one that never was.
//   - A handle opens for its owner only: the user and the application, not the API key, so that a session outlives the
//     rotation of keys. It never authenticates anybody: the owner comes from the credential of the same request.
//   - A handle has exactly one form: no second text opens to the same value.
//   - Nothing lives longer than MaxLife, which is what the control plane goes by when it drops keys.
//
// The bytes inside are our own layout, with its number first: lengths and numbers are varints, times are whole seconds. A
// node that does not know a layout does not open it. What is sealed is hidden too: servers' session ids are credentials.
package handle
