-- name: PutToolDefinition :exec
-- Definitions are kept by content: the same one again is the same row.
INSERT INTO tool_definition (hash, definition)
VALUES (@hash, @definition)
ON CONFLICT (hash) DO NOTHING;
