-- name: GetPolicy :one
-- The version in force: the highest.
SELECT version, document, created_at, created_by, reason, rollback_of FROM policy_version ORDER BY version DESC LIMIT 1;

-- name: InsertPolicy :one
-- The next version. Of two that are applied at the same time, the later fails on
-- the primary key rather than overwrite the earlier unseen.
INSERT INTO policy_version (version, document, created_by, reason, rollback_of)
SELECT coalesce(max(p.version), 0) + 1, @document::text, @created_by::text, @reason::text, sqlc.narg(rollback_of)::bigint FROM policy_version p
RETURNING version, created_at;
