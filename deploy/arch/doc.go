// Package arch holds no code, only the tests that keep the layout of the tree:
// which way imports run, that each package says what it is, and that no plane
// but the agent can start a process.
package arch
