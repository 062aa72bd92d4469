-- name: GetPolicy :one
-- The version in force: the highest.
SELECT version, document, created_at, created_by, reason, rollback_of FROM policy_version ORDER BY version DESC LIMIT 1;

-- name: GetPolicyVersion :one
-- A version of the past, to be read, compared or put in force again.
SELECT version, document, created_at, created_by, reason, rollback_of FROM policy_version WHERE version = @version;

-- name: ListPolicyVersions :many
-- One page of all versions, newest first, without their documents; before is the
-- last version of the page above.
SELECT version, created_at, created_by, reason, rollback_of
FROM policy_version
WHERE (sqlc.narg(before)::bigint IS NULL OR version < sqlc.narg(before)::bigint)
ORDER BY version DESC
LIMIT @row_limit;

-- name: InsertPolicy :one
-- The next version. Of two that are applied at the same time, the later fails on
-- the primary key rather than overwrite the earlier unseen.
INSERT INTO policy_version (version, document, created_by, reason, rollback_of)
SELECT coalesce(max(p.version), 0) + 1, @document::text, @created_by::text, @reason::text, sqlc.narg(rollback_of)::bigint FROM policy_version p
RETURNING version, created_at;

-- name: TokensAreTaken :one
-- Whether there are users and applications that no table has: those that tokens name.
SELECT EXISTS (SELECT 1 FROM issuer);
