-- name: GetInstanceSecret :one
-- A secret of the installation, sealed, with what may be known of it.
SELECT sealed, public FROM instance_secret WHERE name = @name;

-- name: InsertInstanceSecret :execrows
-- Made once. Where another replica was first, its secret stands and no row is
-- affected: the caller reads it again.
INSERT INTO instance_secret (name, sealed, public)
VALUES (@name, @sealed, @public)
ON CONFLICT (name) DO NOTHING;
