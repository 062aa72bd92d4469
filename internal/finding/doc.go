// Package finding reads definitions as an attacker would have written them.
//
// Scan is pure, works offline, and gives the same findings for the same bytes on
// every machine. It sees every string of a definition, names of members too, as
// the server sent it:
//
//	definition ─▶ strict walk ─▶ each string, raw ─┬▶ hidden     characters that nobody sees
//	                  │                            ├▶ terminal   escape sequences
//	                  │                            ├▶ name       look-alikes of ASCII names
//	                  │                            ├▶ content    scripts, addresses, pages
//	                  │                            ├▶ words ─▶ injection   orders to the model
//	                  │                            │   ▲  folded, decoded
//	                  │                            └───┴▶ shadow      what other servers offer (Registry)
//	                  └─▶ shape of schemas ─────────▶ schema     references, size, patterns
//
// It promises:
//   - Findings are for a person who decides; nothing here approves anything. No
//     finding is no proof of innocence (security.md P-17: detection is published
//     with its misses; the corpus in testdata prints them).
//   - A check that fails, and a definition that cannot be read or is too large, is
//     a hard finding of its own, never a pass.
//   - The time is linear in the size of the definition, and the number of findings
//     is bounded.
//   - What is shown of a definition is safe to show: invisible characters and
//     controls are written out (Visible).
//
// The checks, by the names that findings carry:
//
//	hidden.zero_width .direction .tag .selector .private .control .filler
//	      .noncharacter .separator .stack .mixed_script .padding
//	terminal.escape
//	name.confusable
//	injection.override .conceal .secrets .exfiltration .precedence .persona
//	         .markup .command .disguised
//	sink.parameter
//	shadow.name .mention .duplicate
//	content.address .script .image .page
//	schema.reference .pattern .size .depth
//	scan.unreadable .too_large .degraded
//
// Mechanisms are those of security.md 2.2 to 2.4; the checks are named there by
// threat, T-01, T-02, T-05 to T-07, T-09, T-12 and T-14.
package finding

// Version names the checks and tables of this build. It changes whenever the same
// definition may give other findings, and stands beside what was found at an
// approval.
const Version = "2"
