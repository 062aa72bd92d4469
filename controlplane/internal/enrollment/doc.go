// Package enrollment lets nodes and agents in, and is the authority that signs for
// them.
//
//	administrator ─▶ CreateToken ─▶ wdj_… ─▶ peer ─▶ Join  ─▶ certificate of an hour
//	                                         peer ─▶ Renew ─▶ another, at half of it
//
//	connection ─▶ TLS, a certificate if there is one ─▶ doorman: bounds on who has none
//	           ─▶ admission: exact method ─▶ kinds   ─▶ Standing: not revoked
//	           ─▶ handler: identity.FromContext(ctx)
//
// Identity is the SAN of a certificate that an Authority signed, never a field of a
// message. Keys of authorities lie sealed in the database, and are the same for every
// replica. During a rotation there are two, which everybody trusts:
//
//	before ──signs──────────────────────┤ trusted ─────────────┤ forgotten
//	        rotate ▶ next ── trusted ───┤ signs ────────────────────▶
//	               └─ lead: all renew ──┘└─ rest: all that it signed expires
//
// A revocation voids the certificates that were issued so far: the row says since when
// certificates are good, the deny overlay tells nodes, and streams that are open end.
// Whoever joins anew gets one that is good again.
package enrollment
