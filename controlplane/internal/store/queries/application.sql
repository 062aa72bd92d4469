-- name: InsertApplication :one
-- An administrator made it; its name is taken once.
INSERT INTO application (name) VALUES (@name) RETURNING created_at;

-- name: EnsureApplication :execrows
-- A key may name an application that is new. No row is affected where it is not.
INSERT INTO application (name) VALUES (@name) ON CONFLICT (name) DO NOTHING;

-- name: ListApplications :many
-- All of them, for people and for what a rule or a key may name.
SELECT name, created_at FROM application ORDER BY name;
