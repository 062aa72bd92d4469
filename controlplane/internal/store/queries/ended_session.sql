-- name: LockEndedSessions :exec
-- Before each insert, held until its commit, so that the sequence follows the
-- order of commits.
SELECT pg_advisory_xact_lock(@key::bigint);

-- name: CountEndedSessions :one
-- How many there are, to keep a bound. It counts no further than that.
SELECT count(*) FROM (SELECT FROM ended_session LIMIT @at_most::integer) AS counted;

-- name: InsertEndedSessions :execrows
-- A batch that a node told. What is known already is affected no more: whoever
-- connects is told of it all the same.
INSERT INTO ended_session (id, expires_at)
SELECT told.id, told.expires_at
FROM (SELECT unnest(@ids::bytea[]) AS id, unnest(@expires_at::timestamptz[]) AS expires_at) AS told
ON CONFLICT (id) DO NOTHING;

-- name: NotifyEndedSessions :exec
-- Wakes whoever tells nodes of them. Delivered at commit; a lost one costs no
-- more than a turn of the poll.
SELECT pg_notify('warder_ended', '');

-- name: GetEndedPosition :one
-- How far the sequence has come; 0 if nothing is kept.
SELECT coalesce(max(sequence), 0)::bigint FROM ended_session;

-- name: ListEndedSessions :many
-- A chunk of those that still matter, behind a position.
SELECT id, sequence, expires_at FROM ended_session
WHERE sequence > @after AND expires_at > @now::timestamptz
ORDER BY sequence
LIMIT @at_most::integer;

-- name: DeleteExpiredEndedSessions :execrows
-- Sessions that would have ended by now anyhow.
DELETE FROM ended_session WHERE expires_at <= @now::timestamptz;
