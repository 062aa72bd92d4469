-- name: InsertApplication :one
-- An administrator made it; its name is taken once.
INSERT INTO application (name) VALUES (@name) RETURNING created_at;

-- name: EnsureApplication :execrows
-- A key may name an application that is new. No row is affected where it is not.
INSERT INTO application (name) VALUES (@name) ON CONFLICT (name) DO NOTHING;

-- name: ListApplications :many
-- All of them, for people and for what a rule or a key may name.
SELECT name, created_at, (disabled_at IS NOT NULL)::boolean AS disabled, disabled_reason FROM application ORDER BY name;

-- name: GetApplication :one
-- Locked, so that it is switched once however many ask at the same time.
SELECT name, created_at, (disabled_at IS NOT NULL)::boolean AS disabled, disabled_reason
FROM application
WHERE name = @name
FOR NO KEY UPDATE;

-- name: DisableApplication :exec
-- The entry in the deny overlay goes with it, in the same transaction.
UPDATE application SET disabled_at = now(), disabled_by = @disabled_by, disabled_reason = @reason WHERE name = @name;

-- name: EnableApplication :exec
-- Likewise, without that entry.
UPDATE application SET disabled_at = NULL, disabled_by = NULL, disabled_reason = '' WHERE name = @name;
