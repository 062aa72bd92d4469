// Package filelock holds a file for one process, so that two do not use the same directory.
//
//	Take ──▶ kernel's lock on the file ──▶ "pid 4711, since 2026-11-23T12:00:00Z" is written there
//	     └─ another process holds it ──▶ HeldError with what that one wrote
//
// The kernel lets go of a lock when its process ends, however it ends, so that none is ever stale. What the file says
// is for people. The file stays behind: one that is removed could be locked twice, by its old and its new inode.
package filelock
