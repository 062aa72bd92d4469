-- name: InsertLoginSession :exec
-- Somebody signed in. The hash is of the cookie, which is kept nowhere.
INSERT INTO login_session (hash, user_id, expires_at, address, user_agent, method)
VALUES (@hash, @user_id, @expires_at, @address, @user_agent, @method);

-- name: NoteSignIn :one
-- When the user signed in last, for people. It holds his row until the session is
-- there: whoever changes the password or disables him comes before, which shows
-- here, or after, and finds the session to end it.
UPDATE users SET signed_in_at = now() WHERE name = @name AND disabled_at IS NULL RETURNING id, password_hash;

-- name: GetLoginSession :one
-- Who a cookie belongs to, with roles and permissions as they are now: taking one
-- away works at the next request. A session that expired, or of a user who is
-- disabled, gives no row. Of built-in roles the program knows the permissions.
SELECT s.id, s.user_id, u.name, s.created_at, s.seen_at, s.expires_at,
    ARRAY(SELECT r.role FROM user_role r WHERE r.user_id = u.id ORDER BY r.role)::text[] AS roles,
    ARRAY(
        SELECT DISTINCT unnest(o.permissions) FROM user_role r JOIN role o ON o.name = r.role
        WHERE r.user_id = u.id AND NOT o.built_in
    )::text[] AS permissions
FROM login_session s
JOIN users u ON u.id = s.user_id
WHERE s.hash = @hash AND s.expires_at > now() AND u.disabled_at IS NULL;

-- name: ListLoginSessions :many
-- For people; an empty user matches all. What a cookie could be found by stays
-- out of it.
SELECT s.id, u.name, s.created_at, s.seen_at, s.expires_at, s.address, s.user_agent, s.method
FROM login_session s
JOIN users u ON u.id = s.user_id
WHERE s.expires_at > now() AND (@user_name::text = '' OR u.name = @user_name)
ORDER BY s.seen_at DESC, s.id
LIMIT @row_limit;

-- name: GetLoginSessionByID :one
-- Whose it is, before it is ended.
SELECT s.hash, u.name FROM login_session s JOIN users u ON u.id = s.user_id WHERE s.id = @id;

-- name: TouchLoginSession :exec
-- For an idle limit. Written at most once a minute, so that reading is not
-- writing.
UPDATE login_session SET seen_at = now() WHERE hash = @hash AND seen_at < now() - interval '1 minute';

-- name: RotateLoginSession :execrows
-- The same session under another cookie: what was known of the old one is worth
-- nothing.
UPDATE login_session SET hash = @new_hash WHERE hash = @hash;

-- name: DeleteLoginSession :execrows
-- Signing out.
DELETE FROM login_session WHERE hash = @hash;

-- name: DeleteLoginSessionsOf :execrows
-- All of a user, but for the one of this hash, if any.
DELETE FROM login_session WHERE user_id = @user_id AND hash IS DISTINCT FROM sqlc.narg(but)::bytea;

-- name: DeleteOldestLoginSessions :execrows
-- Bounds how many sessions one user has: whoever signs in again and again keeps
-- the newest.
DELETE FROM login_session
WHERE hash IN (
    SELECT s.hash FROM login_session s WHERE s.user_id = @user_id ORDER BY s.created_at DESC, s.id OFFSET @keep
);

-- name: DeleteExpiredLoginSessions :execrows
-- Housekeeping: an expired session has been worth nothing since it expired.
DELETE FROM login_session WHERE expires_at <= now();
