-- name: LockAuthorities :exec
-- Held until the end of the transaction: of several replicas that make or rotate
-- an authority, one does it and the others find it done.
SELECT pg_advisory_xact_lock(@key::bigint);

-- name: ListAuthorities :many
-- All that is trusted, in the order in which they sign.
SELECT fingerprint, certificate, sealed, created_at, expires_at, signs_from, retires_at
FROM authority
ORDER BY signs_from, fingerprint;

-- name: InsertAuthority :exec
-- A new one, before its time.
INSERT INTO authority (fingerprint, certificate, sealed, created_at, expires_at, signs_from)
VALUES (@fingerprint, @certificate, @sealed, @created_at, @expires_at, @signs_from);

-- name: RetireAuthorities :exec
-- Those that a new one follows. One that retires already keeps its time.
UPDATE authority SET retires_at = @retires_at::timestamptz WHERE fingerprint <> @successor AND retires_at IS NULL;

-- name: RetireOldAuthorities :many
-- Those of which nothing is good any more lose their keys.
WITH gone AS (
    DELETE FROM authority WHERE retires_at <= @now::timestamptz RETURNING fingerprint, certificate, retires_at
)
INSERT INTO past_authority (fingerprint, certificate, retired_at)
SELECT fingerprint, certificate, retires_at FROM gone
RETURNING fingerprint;

-- name: ListPastAuthorities :many
-- Certificates of those whose keys are gone.
SELECT certificate FROM past_authority ORDER BY retired_at DESC, fingerprint;

-- name: DeletePastAuthorities :exec
-- Those that retired before a time: nothing that they signed is exchanged any more.
DELETE FROM past_authority WHERE retired_at <= @before::timestamptz;
