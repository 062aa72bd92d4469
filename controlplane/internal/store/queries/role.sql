-- name: InsertRole :exec
-- A role of one's own; the built-in ones come with the schema.
INSERT INTO role (name, description, permissions) VALUES (@name, @description, @permissions);

-- name: GetRole :one
-- Locked against a change of the role while grants are added to it.
SELECT name, built_in, description, permissions FROM role WHERE name = @name FOR UPDATE;

-- name: ListRoles :many
-- Built-in roles first, as people look for them.
SELECT name, built_in, description, permissions FROM role ORDER BY built_in DESC, name;

-- name: UpdateRole :exec
-- Of a role that is not built in.
UPDATE role SET description = @description, permissions = coalesce(@permissions::text[], '{}') WHERE name = @name AND NOT built_in;

-- name: DeleteRole :exec
-- Its grants go with it. One that somebody holds fails the statement.
DELETE FROM role WHERE name = @name AND NOT built_in;

-- name: ListRoleHolders :many
-- Who has the role: users, and the groups of issuers and of sign-on providers; a
-- few, to name them to who would remove it.
SELECT 'user'::text AS kind, u.name AS holder FROM user_role r JOIN users u ON u.id = r.user_id WHERE r.role = @role
UNION ALL
SELECT 'issuer'::text, i.issuer || ', group ' || i.group_name FROM issuer_group_role i WHERE i.role = @role
UNION ALL
SELECT 'provider'::text, p.provider || ', group ' || p.group_name FROM provider_group_role p WHERE p.role = @role
ORDER BY 1, 2
LIMIT 5;
