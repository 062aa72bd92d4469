-- name: InsertToolVerdict :exec
-- Who decided what, and on which definition. Rows are never changed.
INSERT INTO tool_verdict (tool_id, actor, verdict, hash, reason)
VALUES (@tool_id, @actor, @verdict, @hash, @reason);
