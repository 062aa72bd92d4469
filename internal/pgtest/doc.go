// Package pgtest gives each test a PostgreSQL database of its own.
//
//	WARDER_TEST_DATABASE_URL (set by cmd/withpg), or a server of this process's own
//	        │
//	        │  once per content of the migrations, under an advisory lock
//	        ▼
//	template tmpl_<sha8> ──clone──▶ t_…  ──▶ the test ──▶ dropped
//	                     ──clone──▶ t_…  ──▶ the test ──▶ dropped
//
// A clone copies files, which takes tens of milliseconds on a server that does
// without fsync. Both kinds of server are internal/localpg's, in Fast mode, and
// have the roles of production: what a test may do through DB.Pool, the control
// plane may do in production.
//
// A test never skips for want of PostgreSQL. It fails, and says how to get one.
// Nothing is left behind: the databases are dropped with their tests, and the
// server and its directory go with the process, even one that is killed.
//
// The package knows nothing of what is in a database: the caller brings the
// migrations, so that imports run one way.
package pgtest
