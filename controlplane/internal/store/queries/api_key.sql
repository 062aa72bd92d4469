-- name: InsertAPIKey :one
-- The hash is all that is kept of the secret.
INSERT INTO api_key (id, hash, user_id, application, created_by, expires_at)
VALUES (@id, @hash, @user_id, @application, @created_by, sqlc.narg(expires_at))
RETURNING created_at;

-- name: GetAPIKey :one
-- Locked, so that a key is revoked once however many ask at the same time.
SELECT k.id, u.name AS user_name, k.application, k.created_at, k.created_by, k.expires_at, k.revoked_at
FROM api_key k
JOIN users u ON u.id = k.user_id
WHERE k.id = @id
FOR UPDATE OF k;

-- name: ListAPIKeys :many
-- Keys, newest first, without their hashes; an empty user matches all.
SELECT k.id, u.name AS user_name, k.application, k.created_at, k.created_by, k.expires_at, k.revoked_at
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
