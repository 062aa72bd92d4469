-- name: InsertDeny :exec
-- A revocation. Denying the same for the same cause again renews it, and never
-- shortens it.
INSERT INTO deny (kind, name, reason, created_by, expires_at, cause, issued_before)
VALUES (@kind, @name, @reason, @created_by, sqlc.narg(expires_at), @cause, sqlc.narg(issued_before))
ON CONFLICT (kind, name, cause) DO UPDATE
SET reason = excluded.reason, created_by = excluded.created_by, issued_before = greatest(deny.issued_before, excluded.issued_before),
    expires_at = CASE
        WHEN deny.expires_at IS NULL OR excluded.expires_at IS NULL THEN NULL
        ELSE greatest(deny.expires_at, excluded.expires_at)
    END;

-- name: DeleteDeny :execrows
-- Lifts what was denied for one cause. Another cause keeps what it denies.
DELETE FROM deny WHERE kind = @kind AND name = @name AND cause = @cause;

-- name: GetDenyCauses :many
-- For which causes something is denied, for who wants to lift it.
SELECT cause FROM deny WHERE kind = @kind AND name = @name ORDER BY cause;

-- name: GetDeny :one
-- One entry as it is now.
SELECT kind, name, reason, created_at, created_by, expires_at, cause, issued_before
FROM deny
WHERE kind = @kind AND name = @name AND cause = @cause;

-- name: ListDenies :many
-- The whole overlay. What is denied for several causes comes once for each, what a
-- person denied first.
SELECT kind, name, reason, created_at, created_by, expires_at, cause, issued_before FROM deny ORDER BY kind, name, cause;

-- name: HasExpiredDenies :one
-- Whether there is anything to sweep.
SELECT EXISTS (SELECT 1 FROM deny WHERE expires_at <= now());

-- name: DeleteExpiredDenies :many
-- What the overlay need not say any more.
DELETE FROM deny WHERE expires_at <= now() RETURNING kind, name;
