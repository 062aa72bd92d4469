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
