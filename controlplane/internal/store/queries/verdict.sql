-- name: InsertVerdict :exec
-- Who decided what, on which definition, and what the scanner had found in it by
-- then. Rows are never changed.
INSERT INTO verdict (entry_id, actor, verdict, hash, reason, findings, scanner_version)
SELECT e.id, @actor, @verdict, @hash, @reason, e.findings, e.scanner_version
FROM entry e
WHERE e.id = @entry_id;

-- name: ListVerdicts :many
-- The history of an entry, newest first.
SELECT at, actor, verdict, hash, reason, findings, scanner_version
FROM verdict
WHERE entry_id = @entry_id
ORDER BY id DESC
LIMIT @row_limit;
