// Package inventory keeps the servers of an agent: those that its file declares, and those that are assigned to it and
// that the file allows.
//
//	file ──────┐
//	           ├─ Apply ──▶ Inventory ──by name──▶ bridge (stdio) | endpoint (HTTP) | refused
//	orders ────┘               │  ▲
//	              Reports, States  └── Serve ◀── tunnel
//
// A server is replaced when what defines it has changed, and only then: all others go on. Where the file declares a name
// that is also assigned, the file's server is the one that runs: the machine's owner has the last word.
package inventory
