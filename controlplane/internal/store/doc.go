// Package store is the control plane's PostgreSQL: the only place that knows
// SQL.
//
//	queries/*.sql ─sqlc─▶ db.Queries ─┬─ Store: reads, one statement each
//	                                  └─ Tx: what one transaction reads and writes
//
//	Change(actor, fn)   rows + config_change + admin_audit, one transaction
//	                    └─ revision taken last, under the lock of one row ─▶ NOTIFY
//	Act(actor, fn)      rows + admin_audit: nodes are not concerned
//	ReadConfig()        everything a snapshot is made of, at one revision
//
// Change is the one way to write configuration. Because the revision is the last
// thing a transaction takes and its row stays locked until commit, revisions
// follow commit order: a reader that has seen N has seen all below N.
//
// Errors of the driver are translated in one place (fault.go): whatever a query
// returns carries a fault, with text that may be shown. No rows is
// fault.NotFound.
package store
