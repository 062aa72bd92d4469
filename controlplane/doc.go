// Package controlplane is the process that owns the database: it serves the
// administration, compiles what administrators decide into snapshots, streams
// them to nodes, and takes in what nodes record.
//
//	dashboard, CLI ──Connect──▶ admin ──Change──▶ store (PostgreSQL)
//	                                                │ NOTIFY, poll
//	                                              feed
//	                                                │ a newer revision
//	                            ReadConfig ─▶ compiler ─▶ publisher ──gRPC──▶ nodes
//	                                             store ◀─ ledger ◀────gRPC─── nodes
//
// Open wires the parts from top to bottom; Run runs what goes on by itself, as
// one list of tasks; ServeNodes and the handlers serve. Package function Run is
// all of that as a process of its own. Parts stop in the reverse order of their
// dependence: listeners, streams of nodes, tasks, the database.
package controlplane
