-- name: InsertRoleGrant :exec
-- One more grant; an empty list matches anything there.
INSERT INTO role_grant (role, tools, risks, prompts, resources)
VALUES (@role, coalesce(@tools::text[], '{}'), coalesce(@risks::text[], '{}'), coalesce(@prompts::text[], '{}'),
    coalesce(@resources::text[], '{}'));

-- name: ListRoleGrants :many
-- Every grant of every role, in the order in which they were given: there are
-- few, and both people and snapshots want them all.
SELECT id, role, tools, risks, prompts, resources FROM role_grant ORDER BY role, id;

-- name: DeleteRoleGrants :exec
-- Before the grants that the role shall have are inserted.
DELETE FROM role_grant WHERE role = @role;
