// Package e2e holds no code, only tests over all planes with real programs at
// both ends: the built binary, PostgreSQL, MCP servers from npm and of the
// official Go SDK, and the official Go and TypeScript clients.
//
//	SDK / TypeScript client ──▶ warder ──▶ server-everything, SDK servers
//	                              │
//	   the command line reads the ledger and compares
package e2e
