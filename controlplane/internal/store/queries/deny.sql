-- name: InsertDeny :exec
-- A revocation. Denying the same again renews it, and never shortens it.
INSERT INTO deny (kind, name, reason, created_by, expires_at, cause)
VALUES (@kind, @name, @reason, @created_by, sqlc.narg(expires_at), @cause)
ON CONFLICT (kind, name) DO UPDATE
SET reason = excluded.reason, created_by = excluded.created_by, cause = excluded.cause,
    expires_at = CASE
        WHEN deny.expires_at IS NULL OR excluded.expires_at IS NULL THEN NULL
        ELSE greatest(deny.expires_at, excluded.expires_at)
    END;

-- name: ListDenies :many
-- The whole overlay, for a snapshot.
SELECT kind, name, reason, created_at, created_by, expires_at, cause FROM deny ORDER BY kind, name;

-- name: DeleteExpiredDenies :many
-- What the overlay need not say any more: the row it protects against has long
-- left every snapshot.
DELETE FROM deny WHERE expires_at <= now() RETURNING kind, name;
