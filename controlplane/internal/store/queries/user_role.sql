-- name: InsertUserRoles :exec
-- Gives roles to a user. One that does not exist fails the statement.
INSERT INTO user_role (user_id, role)
SELECT @user_id::bigint, unnest(@roles::text[])
ON CONFLICT DO NOTHING;

-- name: DeleteUserRoles :exec
-- Before the roles that he shall have are given, or for good.
DELETE FROM user_role WHERE user_id = @user_id;
