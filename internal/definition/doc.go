// Package definition compares two definitions of a tool, a prompt or a resource,
// for the person who has to decide about the second one.
//
//	approved ─▶ tree ─┐
//	                  ├▶ walk side by side ─▶ Difference{path, change, before, after} ─▶ note: what may be dangerous in it
//	offered  ─▶ tree ─┘
//
// It promises:
//   - No difference is left out: Diff returns none exactly if the definitions have
//     the same canonical form, so that what a person sees is what the hash is about.
//     Numbers are compared as they are written.
//   - What is shown of a definition is safe to show: what does not show is written
//     out (finding.Visible).
//   - The time is bounded by the size of the definitions, and so is what is shown.
//
// Arrays of plain values (enum, required) are compared as sets, arrays of objects
// with names (arguments of a prompt) by name, all others in order.
package definition
