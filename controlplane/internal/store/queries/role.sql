-- name: InsertRole :exec
-- A role of one's own; the built-in ones come with the schema.
INSERT INTO role (name, description, permissions) VALUES (@name, @description, @permissions);

-- name: GetRole :one
-- Locked against a change of the role while grants are added to it.
SELECT name, built_in, description, permissions FROM role WHERE name = @name FOR UPDATE;

-- name: ListRoles :many
-- Built-in roles first, as people look for them.
SELECT name, built_in, description, permissions FROM role ORDER BY built_in DESC, name;
