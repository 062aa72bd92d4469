-- name: InsertAdminAudit :exec
-- What an administrator did, in the transaction that did it. The revision is
-- null where nodes are not concerned.
INSERT INTO admin_audit (actor, action, target, detail, revision)
SELECT @actor::text, unnest(@actions::text[]), unnest(@targets::text[]), unnest(@details::text[])::jsonb,
    sqlc.narg(revision)::bigint;

-- name: ListAdminAudit :many
-- What administrators did, newest first; before is the id of the last row of
-- the page above, or null for the first page.
SELECT id, at, actor, action, target, revision, detail
FROM admin_audit
WHERE sqlc.narg(before)::bigint IS NULL OR id < sqlc.narg(before)::bigint
ORDER BY id DESC
LIMIT @row_limit;
