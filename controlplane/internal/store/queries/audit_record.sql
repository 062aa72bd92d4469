-- name: CopyAuditRecords :copyfrom
-- COPY, because one insert a row costs thirty times as much. The head of the
-- epoch is locked, so that none of the rows can exist.
INSERT INTO audit_record (node, epoch, sequence, event, hash) VALUES (@node, @epoch, @sequence, @event, @hash);

-- name: GetAuditRecordHash :one
-- To see whether a record that comes again is the same one.
SELECT hash FROM audit_record WHERE node = @node AND epoch = @epoch AND sequence = @sequence;

-- name: ListAuditRecords :many
-- The records of an epoch in order, to verify a chain.
SELECT sequence, event, hash, received_at
FROM audit_record
WHERE node = @node AND epoch = @epoch AND sequence > @after
ORDER BY sequence
LIMIT @row_limit;
