-- name: InsertJoinToken :one
-- A token that was not used yet. The time is the database's, as where it is used.
INSERT INTO join_token (id, hash, kind, name, region, created_by, expires_at)
VALUES (@id, @hash, @kind, @name, @region, @created_by, now() + make_interval(secs => @life_seconds::float8))
RETURNING created_at, expires_at;

-- name: GetJoinToken :one
-- What a token is good for, and why it is not, for who has its secret.
SELECT hash, kind, name, region, created_by, expires_at, used_at, revoked_at, expires_at <= now() AS expired
FROM join_token
WHERE id = @id;

-- name: SpendJoinToken :one
-- The one statement that spends a token: of any number of attempts at the same
-- time, at whatever replicas, one finds it unused. Only a peer of its kind spends it.
UPDATE join_token
SET used_at = clock_timestamp()
WHERE id = @id AND hash = @hash AND kind = @kind AND used_at IS NULL AND revoked_at IS NULL AND expires_at > clock_timestamp()
RETURNING kind, name, region, created_by;

-- name: ListJoinTokens :many
-- Those of the last day, newest first.
SELECT id, kind, name, region, created_by, created_at, expires_at, used_at, revoked_at
FROM join_token
WHERE created_at > now() - interval '1 day'
ORDER BY created_at DESC, id;

-- name: RevokeJoinToken :one
-- One that was not used yet. One that expired is revoked as well: it costs nothing.
UPDATE join_token SET revoked_at = coalesce(revoked_at, now()) WHERE id = @id AND used_at IS NULL
RETURNING kind, name;

-- name: DeleteOldJoinTokens :exec
-- Nobody is shown them any more; the audit has what they were used for.
DELETE FROM join_token WHERE created_at <= now() - interval '2 days';
