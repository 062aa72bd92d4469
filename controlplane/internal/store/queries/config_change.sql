-- name: InsertConfigChanges :exec
-- One row for each thing that a revision changed, in one statement so that the
-- lock on the revision is held for one round trip only.
INSERT INTO config_change (revision, position, action, target)
SELECT @revision::bigint, generate_series(1, cardinality(@actions::text[])), unnest(@actions::text[]),
    unnest(@targets::text[]);

-- name: ListConfigChanges :many
-- What changed after a revision, for a person who asks why nodes were updated.
SELECT revision, position, at, action, target
FROM config_change
WHERE revision > @after
ORDER BY revision, position
LIMIT @row_limit;
