// Package process runs one stdio MCP server: a program, its pipes, and everything that it starts in its turn.
//
//	Spec ──Start──▶ program ──stdout, a message a line──▶ wire.Conn ──▶ calls
//	                   ▲  └──stderr──▶ Log: redacted, the last lines kept
//	                   └──stdin◀── queue ◀── wire.Conn
//
//	running ──Stop: stdin closed ─▶ SIGTERM to the group ─▶ SIGKILL──▶ exited
//	   └─────exit, closed stdout, no MCP, deaf to stdin ──▶ all calls fail ──▶ what it left behind is ended ──▶ exited
//
// Promises (security.md P-20, T-26):
//
//   - No shell. What runs is the program with the arguments given. (Windows runs a batch file, such as npx.cmd, by its
//     command interpreter; arguments that mean something to that are refused.)
//   - Its environment is what Inherited names, and what the Spec gives or passes on; nothing else of the agent's.
//   - It cannot gain privileges: no set-user-id program gives it any (Linux: no_new_privs). The other systems have no such
//     switch for a program that is not privileged already; there, run the agent as a user of little power.
//   - It leads a process group of its own (Windows: a job). When it ends, however it does, so does what it started.
//     On Linux this holds for what left the group, too: the agent is made the parent of orphans and finds them by the mark
//     in their environment. A program that clears its environment and leaves its group is out of reach.
//   - When the agent dies, however it does, the kernel kills the program (Linux, Windows), and a shell that waits for that the
//     rest: its group, and on Linux what left it, as above. Without /bin/sh the rest sees its stdin end, and no more.
//   - Memory is bounded: of the queue to stdin, of one message, of what is kept of stderr.
package process
