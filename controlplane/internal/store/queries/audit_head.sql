-- name: EnsureAuditHead :execrows
-- The first batch of an epoch; affects no row for any other.
INSERT INTO audit_head (node, epoch) VALUES (@node, @epoch) ON CONFLICT (node, epoch) DO NOTHING;

-- name: LockAuditHead :one
-- Where the chain stands, locked until the batch that continues it commits.
SELECT sequence, hash, ended_at FROM audit_head WHERE node = @node AND epoch = @epoch FOR UPDATE;

-- name: AdvanceAuditHead :exec
-- Where a queue continues, moved in the transaction that stored what lies
-- before it: this is what makes a batch that comes again no new one.
UPDATE audit_head SET sequence = @sequence, hash = @hash WHERE node = @node AND epoch = @epoch;

-- name: EndAuditEpochs :exec
-- A new epoch of a node ends the others: their running calls get no result.
UPDATE audit_head SET ended_at = now() WHERE node = @node AND epoch <> @epoch AND ended_at IS NULL;
