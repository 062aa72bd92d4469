// Package localpg finds a PostgreSQL on this machine and runs it as a private
// server: the default database of `warder up`, and the database of every test.
//
// A server lives under one root directory, and nothing outside of it (but for
// a socket directory in /tmp, if the root's path is too long for a socket):
//
//	<Root>/postgres/warder.lock              held while the server runs; names pid and since
//	<Root>/postgres/<major>/postgres.password  of the superuser, 0600
//	<Root>/postgres/<major>/data             PostgreSQL's own
//	<Root>/postgres/<major>/run              its socket, 0700
//
// What Start does:
//
//	lock ─▶ find binaries ─▶ initdb, if there is no data ─▶ end a leftover server ─▶ postgres ─▶ roles
//	 │           │                  │                                                   │
//	 │           │                  └ beside its place, then renamed: no half-made cluster
//	 │           └ of the major version of the data, if there is data
//	 └ one server per root; a second one is told who holds it             Done ◀── it ended
//
// What it promises:
//
//   - Socket only (loopback with a password on Windows), and a password there too.
//   - No postgres outlives this process, however it ends. On Linux the kernel sees
//     to it, on Windows a job object, elsewhere the next Start.
//   - It never empties, overwrites or upgrades a directory. What it does not know, it
//     names and leaves alone.
//   - postgres never runs as root, and root is no obstacle: see identity.
//   - A failure says what is wrong, why, how to fix it, and how to do without.
//
// The server has three roles: SuperRole for this package alone, OwnerRole for
// migrations, AppRole for the running control plane. They are the roles of
// production, with the same grants.
package localpg
