-- What a snapshot says of users and keys. Servers, tools, roles, the policy and
-- the deny overlay are read by the queries of their tables.

-- name: ListUserItems :many
-- Users that hold a key, also one that is revoked: a revocation changes nothing of
-- users. Where tokens are taken, anybody may present one, so that all users count.
SELECT u.name, u.groups,
    ARRAY(SELECT r.role FROM user_role r WHERE r.user_id = u.id ORDER BY r.role)::text[] AS roles
FROM users u
WHERE EXISTS (SELECT 1 FROM api_key k WHERE k.user_id = u.id) OR EXISTS (SELECT 1 FROM issuer)
ORDER BY u.name;

-- name: ListKeyItems :many
-- Keys that are not revoked. One that has expired stays: nodes look at the time,
-- and what the rows say must not depend on when they are read.
SELECT k.id, k.hash, u.name AS user_name, k.application, k.expires_at, k.servers
FROM api_key k
JOIN users u ON u.id = k.user_id
WHERE k.revoked_at IS NULL
ORDER BY k.id;
