-- name: LockMigrations :exec
-- Held by the session that migrates: of several replicas that start together,
-- one does it and the others find it done.
SELECT pg_advisory_lock(@key::bigint);

-- name: UnlockMigrations :exec
-- Lets the next replica look whether anything is left to migrate.
SELECT pg_advisory_unlock(@key::bigint);

-- name: ServerVersion :one
-- For example 180006: to refuse a PostgreSQL that is too old by name.
SELECT current_setting('server_version_num')::integer AS number, current_setting('server_version')::text AS name;

-- name: Ping :exec
-- For the readiness check.
SELECT 1;
