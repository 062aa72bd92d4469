-- name: InsertAPIKey :one
-- The hash is all that is kept of the secret.
INSERT INTO api_key (id, hash, user_id, application, created_by, expires_at, servers)
VALUES (@id, @hash, @user_id, @application, @created_by, sqlc.narg(expires_at), coalesce(@servers::text[], '{}'))
RETURNING created_at;

-- name: GetAPIKey :one
-- Locked, so that a key is revoked or rotated once however many ask at the same
-- time.
SELECT k.id, u.name AS user_name, k.application, k.created_at, k.created_by, k.expires_at, k.revoked_at, k.servers,
    k.last_used_at, k.successor
FROM api_key k
JOIN users u ON u.id = k.user_id
WHERE k.id = @id
FOR NO KEY UPDATE OF k;

-- name: ListAPIKeys :many
-- Keys, newest first, without their hashes; an empty user matches all.
SELECT k.id, u.name AS user_name, k.application, k.created_at, k.created_by, k.expires_at, k.revoked_at, k.servers,
    k.last_used_at, k.successor
FROM api_key k
JOIN users u ON u.id = k.user_id
WHERE @user_name::text = '' OR u.name = @user_name
ORDER BY k.created_at DESC, k.id;

-- name: RevokeAPIKey :one
-- Final: a key that is revoked already gives no row. The entry in the deny
-- overlay (InsertDeny) goes with it, in the same transaction.
UPDATE api_key
SET revoked_at = now(), revoked_by = @revoked_by, revoked_reason = @reason::text
WHERE id = @id AND revoked_at IS NULL
RETURNING revoked_at;

-- name: SucceedAPIKey :one
-- Another key took over: the old one ends after the overlap, and never later than
-- it would have.
UPDATE api_key
SET successor = @successor, expires_at = least(expires_at, @ends_at::timestamptz)
WHERE id = @id
RETURNING expires_at;

-- name: TouchAPIKeys :exec
-- When keys were last used, many in one statement. Locked in one order, so that
-- replicas do not wait for each other in a circle. A use that is older than what
-- is known changes nothing.
WITH used AS (
    SELECT unnest(@ids::text[]) AS id, unnest(@ats::timestamptz[]) AS at
), locked AS (
    SELECT k.id, used.at
    FROM api_key k
    JOIN used ON used.id = k.id
    WHERE k.last_used_at IS NULL OR k.last_used_at < used.at
    ORDER BY k.id
    FOR NO KEY UPDATE OF k
)
UPDATE api_key k SET last_used_at = locked.at FROM locked WHERE k.id = locked.id;

-- name: ListUnrevokedKeyIDs :many
-- Of a user who is being removed. Locked, as in GetAPIKey.
SELECT id FROM api_key WHERE user_id = @user_id AND revoked_at IS NULL ORDER BY id FOR UPDATE;
