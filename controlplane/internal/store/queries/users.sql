-- name: InsertUser :one
-- A new user; without a password, one that holds keys and does not sign in.
INSERT INTO users (name, password_hash, groups, provider)
VALUES (@name, sqlc.narg(password_hash), coalesce(@groups::text[], '{}'), @provider)
RETURNING id, created_at;

-- name: GetUser :one
-- One user with roles. The hash of the password comes along for signing in; it
-- must not go further than that.
SELECT u.id, u.name, u.password_hash, u.created_at, u.groups, u.disabled_at, u.disabled_reason, u.removed_at, u.signed_in_at,
    u.provider,
    ARRAY(SELECT r.role FROM user_role r WHERE r.user_id = u.id ORDER BY r.role)::text[] AS roles
FROM users u
WHERE u.name = @name;

-- name: ListUsers :many
-- Every user with roles, and whether rather than how they sign in.
SELECT u.id, u.name, (u.password_hash IS NOT NULL)::boolean AS has_password, u.created_at, u.groups, u.disabled_at,
    u.disabled_reason, u.removed_at, u.signed_in_at, u.provider,
    ARRAY(SELECT r.role FROM user_role r WHERE r.user_id = u.id ORDER BY r.role)::text[] AS roles
FROM users u
ORDER BY u.name;

-- name: SetPassword :execrows
-- Also for storing the same password under newer parameters after a sign-in.
UPDATE users SET password_hash = sqlc.narg(password_hash) WHERE id = @id;

-- name: SetUserGroups :exec
-- The groups of a user, all of them.
UPDATE users SET groups = coalesce(@groups::text[], '{}') WHERE id = @id;

-- name: DisableUser :exec
-- Who is disabled already stays so, as he was disabled first.
UPDATE users SET disabled_at = now(), disabled_by = @actor::text, disabled_reason = @reason
WHERE id = @id AND disabled_at IS NULL;

-- name: EnableUser :execrows
-- Whoever was removed stays removed.
UPDATE users SET disabled_at = NULL, disabled_by = NULL, disabled_reason = ''
WHERE id = @id AND removed_at IS NULL;

-- name: RemoveUser :exec
-- After DisableUser. What he could sign in with goes; the name and the subject at
-- a provider stay, so that nobody comes back by them.
UPDATE users SET removed_at = now(), password_hash = NULL, groups = '{}' WHERE id = @id AND removed_at IS NULL;

-- name: AdministratorExists :one
-- Whether anybody can sign in as an owner: until then, the setup token is valid,
-- and afterwards there must always be one.
SELECT EXISTS (
    SELECT 1
    FROM users u
    JOIN user_role r ON r.user_id = u.id
    WHERE r.role = 'owner' AND u.disabled_at IS NULL
        AND (u.password_hash IS NOT NULL OR EXISTS (SELECT 1 FROM provider_subject s WHERE s.user_id = u.id))
);

-- name: LockUsers :exec
-- Holds off every other writer of users and their roles until commit, so that
-- what was found of them ("there is no administrator yet", "there is another
-- owner") is still true when it is acted on.
LOCK TABLE users, user_role IN SHARE ROW EXCLUSIVE MODE;
