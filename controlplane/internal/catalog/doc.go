// Package catalog finds out what a server offers, and what that means for what
// people approved.
//
//	Target ─▶ Discoverer.Discover ─▶ Discovery ─▶ Reconcile(known, offered) ─▶ Plan ─▶ Record (one transaction)
//	          era, pages, caps        Sift: what is fit to be offered, and what is refused
//
//	          new ──────────────▶ pending ──a person──▶ approved ──another definition──▶ changed ──a person──▶ approved
//	                                 │                                                     │
//	                                 └──a person──▶ rejected ──another definition──▶ pending ◀─ (never by itself back
//	                                                                                            to approved)
//	          gone: missing, and not callable; back with the same definition: as before. Disabled is never touched.
//
//	a node says that a server changed ─▶ Refresher ─▶ Discover, Record    (also now and again, for every server)
//
// Tools, prompts, resources, templates of resources and the server's instructions
// are entries of one catalogue and governed alike; a Kind tells them apart.
//
// It promises:
//   - Whatever a server does, discovery ends: pages, entries, bytes and time are
//     bounded, and a list without an end is an error.
//   - A list is taken whole or not at all: a server that fails half-way loses
//     nothing and gains nothing. A kind that cannot be listed hides no other.
//   - Definitions are kept byte for byte, and hashed in canonical form.
//   - What a server writes is shown escaped, and never in an error's text.
//   - A server that is not marked private is never dialled at a loopback, private
//     or otherwise special address, whatever its name resolves to (security.md
//     T-19, P-19). Redirects are not followed, proxies not used.
package catalog
