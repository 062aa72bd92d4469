// Package admin is the API of the administration: Connect handlers for every
// service of warder.admin.v1, one file a resource.
//
//	browser ─▶ login.Guard ─▶ login.Desk (session) ─┐
//	                                                ├─▶ recover ─▶ log, map errors ─▶ permission ─▶ validate ─▶ handler
//	Unix socket ─▶ login.Local (local owner) ───────┘                                                             │
//	                                                                            store.Change / Act ◀─ mutations ──┤
//	                                                                            store, snapshot    ◀─ reads ──────┘
//
// It promises:
//   - Permission comes before validation and before any work, from one exact map.
//   - A mutation, its audit row and its revision are one transaction. The detail
//     that is audited holds no secret, and no answer returns one: except a new
//     key, and the key of a new node's certificate, once.
//   - An error that leaves is a fault: a kind, and a text that says what to do.
//     What caused it goes to the log.
//   - Nobody hands out what he does not hold (security.md P-16).
package admin
