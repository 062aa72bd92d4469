-- name: LockSealKeys :exec
-- Held until the end of the transaction: of several replicas that find a
-- rotation due, one does it and the others find it done.
SELECT pg_advisory_xact_lock(@key::bigint);

-- name: ListSealKeys :many
-- All of them, as a snapshot has them and a rotation looks at them.
SELECT name, sealed, seals_from, created_at FROM seal_key ORDER BY seals_from, name;

-- name: InsertSealKey :exec
-- A new key, before its time.
INSERT INTO seal_key (name, sealed, seals_from, created_at) VALUES (@name, @sealed, @seals_from, @created_at);

-- name: DeleteSealKeys :exec
-- Keys of which nothing can live any more, or shall.
DELETE FROM seal_key WHERE name = ANY (@names::text[]);
