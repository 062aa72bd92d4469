-- name: InsertLoginSession :exec
-- Somebody signed in. The hash is of the cookie, which is kept nowhere.
INSERT INTO login_session (hash, user_id, expires_at) VALUES (@hash, @user_id, @expires_at);

-- name: GetLoginSession :one
-- Who a cookie belongs to, with roles as they are now: taking a role away works
-- at the next request. A session that expired gives no row.
SELECT s.user_id, u.name, s.created_at, s.seen_at, s.expires_at,
    ARRAY(SELECT r.role FROM user_role r WHERE r.user_id = u.id ORDER BY r.role)::text[] AS roles
FROM login_session s
JOIN users u ON u.id = s.user_id
WHERE s.hash = @hash AND s.expires_at > now();

-- name: TouchLoginSession :exec
-- For an idle limit. Written at most once a minute, so that reading is not
-- writing.
UPDATE login_session SET seen_at = now() WHERE hash = @hash AND seen_at < now() - interval '1 minute';

-- name: DeleteLoginSession :execrows
-- Signing out.
DELETE FROM login_session WHERE hash = @hash;

-- name: DeleteExpiredLoginSessions :execrows
-- Housekeeping: an expired session has been worth nothing since it expired.
DELETE FROM login_session WHERE expires_at <= now();
