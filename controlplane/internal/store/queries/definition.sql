-- name: PutDefinition :exec
-- Definitions are kept by content: the same one again is the same row.
INSERT INTO definition (hash, content)
VALUES (@hash, @content)
ON CONFLICT (hash) DO NOTHING;
