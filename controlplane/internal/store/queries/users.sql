-- name: InsertUser :one
-- A new user; without a password, one that holds keys and does not sign in.
INSERT INTO users (name, password_hash)
VALUES (@name, sqlc.narg(password_hash))
RETURNING id, created_at;

-- name: GetUser :one
-- One user with roles. The hash of the password comes along for signing in; it
-- must not go further than that.
SELECT u.id, u.name, u.password_hash, u.created_at,
    ARRAY(SELECT r.role FROM user_role r WHERE r.user_id = u.id ORDER BY r.role)::text[] AS roles
FROM users u
WHERE u.name = @name;

-- name: ListUsers :many
-- Every user with roles, and whether rather than how they sign in.
SELECT u.id, u.name, (u.password_hash IS NOT NULL)::boolean AS has_password, u.created_at,
    ARRAY(SELECT r.role FROM user_role r WHERE r.user_id = u.id ORDER BY r.role)::text[] AS roles
FROM users u
ORDER BY u.name;

-- name: SetPassword :execrows
-- Also for storing the same password under newer parameters after a sign-in.
UPDATE users SET password_hash = sqlc.narg(password_hash) WHERE id = @id;

-- name: AdministratorExists :one
-- Whether anybody can sign in as an owner: until then, the setup token is valid.
SELECT EXISTS (
    SELECT 1
    FROM users u
    JOIN user_role r ON r.user_id = u.id
    WHERE r.role = 'owner' AND u.password_hash IS NOT NULL
);

-- name: LockUsers :exec
-- Holds off every other writer of users and their roles until commit, so that
-- "there is no administrator yet" is still true when the first one is made.
LOCK TABLE users, user_role IN SHARE ROW EXCLUSIVE MODE;
