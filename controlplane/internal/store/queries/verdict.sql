-- name: InsertVerdict :exec
-- Who decided what, and on which definition. Rows are never changed.
INSERT INTO verdict (entry_id, actor, verdict, hash, reason)
VALUES (@entry_id, @actor, @verdict, @hash, @reason);
