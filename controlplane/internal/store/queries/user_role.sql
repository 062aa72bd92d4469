-- name: InsertUserRoles :exec
-- Gives roles to a user. One that does not exist fails the statement.
INSERT INTO user_role (user_id, role)
SELECT @user_id::bigint, unnest(@roles::text[])
ON CONFLICT DO NOTHING;
