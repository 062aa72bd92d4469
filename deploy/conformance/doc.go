// Package conformance runs the official conformance suites of MCP against a server twice, directly and through Warder,
// and says what is lost on the way. docs/conformance.md says what is run and what comes out.
//
//	suite ──────────────────────────────────────────▶ everything-server       what passes directly
//	suite ──▶ Relay (adds the key, picks a node) ──▶ Warder ──▶ everything-server   must pass here as well
//	             │
//	checks.json of both ──▶ Compare ──▶ losses, save those that Renamed explains
//
// The suites are packages of npm, pinned by this directory's lock file; they are of two versions since each tests what the
// other does not. The server is that of the official Go SDK, in the version that go.mod names. What starts the programs
// is TestConformance in deploy/e2e, under the build tag conformance.
package conformance
