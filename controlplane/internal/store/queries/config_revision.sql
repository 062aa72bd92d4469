-- name: GetRevision :one
-- The revision in force and the history it belongs to. Whoever reads it in one
-- transaction with the tables knows at which revision the tables are.
SELECT epoch, revision FROM config_revision;

-- name: AdvanceRevision :one
-- Takes the next revision. The row lock that this leaves until commit is what
-- makes revisions follow commit order, so it comes after all other writes of a
-- transaction: a change must not make others wait longer than it has to.
UPDATE config_revision SET revision = revision + 1 WHERE one RETURNING revision;

-- name: NotifyRevision :exec
-- Wakes whoever follows the revision. Delivered at commit; a lost one costs the
-- follower no more than a turn of its poll.
SELECT pg_notify('warder_config', @revision::text);

-- name: BeginEpoch :execrows
-- A node or a replica has seen a later revision of this epoch than the database
-- knows: it was restored from a backup, and its next revisions would be other
-- ones under numbers that are taken. It begins another history, above what the
-- replica has seen. Affects no row where that has happened already.
UPDATE config_revision
SET epoch = gen_random_uuid(), revision = greatest(revision, @at_least::bigint)
WHERE one AND epoch = @epoch AND revision < @seen::bigint;
