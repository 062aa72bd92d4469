-- name: InsertToolVerdict :exec
-- Who decided what, and on which definition. Rows are never changed.
INSERT INTO tool_verdict (tool_id, actor, verdict, hash, reason)
VALUES (@tool_id, @actor, @verdict, @hash, @reason);

-- name: ListToolVerdicts :many
-- The history of one tool, newest first.
SELECT id, at, actor, verdict, hash, reason
FROM tool_verdict
WHERE tool_id = @tool_id
ORDER BY id DESC
LIMIT @row_limit;
