-- name: InsertProvider :one
-- A provider of identity; who gets what comes with InsertProviderGroupRoles.
INSERT INTO provider (name, title, url, client_id, client_secret_sealed, scopes, user_claim, groups_claim, private, ca_certificates)
VALUES (@name, @title, @url, @client_id, sqlc.narg(client_secret_sealed), coalesce(@scopes::text[], '{}'), @user_claim, @groups_claim,
    @private, @ca_certificates)
RETURNING created_at;

-- name: GetProvider :one
-- One provider with its sealed secret, which leaves only towards the provider.
SELECT name, title, url, client_id, client_secret_sealed, scopes, user_claim, groups_claim, private, ca_certificates, created_at
FROM provider
WHERE name = @name;

-- name: LockProvider :one
-- Against a change while it is changed, or while somebody is let in by it.
SELECT name, title, url, client_id, client_secret_sealed, scopes, user_claim, groups_claim, private, ca_certificates, created_at
FROM provider
WHERE name = @name
FOR UPDATE;

-- name: ListProviders :many
-- Of the secret only whether there is one.
SELECT name, title, url, client_id, (client_secret_sealed IS NOT NULL)::boolean AS has_client_secret, scopes, user_claim,
    groups_claim, private, ca_certificates, created_at
FROM provider
ORDER BY name;

-- name: CountProviders :one
-- There is a bound on how many there may be.
SELECT count(*) FROM provider;

-- name: UpdateProvider :exec
-- All but the name and the URL: another URL is another provider.
UPDATE provider
SET title = @title, client_id = @client_id, client_secret_sealed = sqlc.narg(client_secret_sealed),
    scopes = coalesce(@scopes::text[], '{}'), user_claim = @user_claim, groups_claim = @groups_claim, private = @private,
    ca_certificates = @ca_certificates
WHERE name = @name;

-- name: DeleteProvider :exec
-- Its subjects and group roles go with it; the users stay.
DELETE FROM provider WHERE name = @name;

-- name: InsertProviderGroupRoles :exec
-- The n-th group gets the n-th role. A role that does not exist fails the
-- statement.
INSERT INTO provider_group_role (provider, group_name, role)
SELECT @provider::text, unnest(@groups::text[]), unnest(@roles::text[])
ON CONFLICT DO NOTHING;

-- name: DeleteProviderGroupRoles :exec
-- Before those that it shall have are inserted.
DELETE FROM provider_group_role WHERE provider = @provider;

-- name: ListProviderGroupRoles :many
-- Of one provider, or with an empty name of all.
SELECT provider, group_name, role
FROM provider_group_role
WHERE @provider::text = '' OR provider = @provider
ORDER BY provider, group_name, role;

-- name: GetProviderSubject :one
-- Whom a subject stands for here, and whether he may come in.
SELECT u.id, u.name, u.groups, u.disabled_at, u.disabled_reason,
    ARRAY(SELECT r.role FROM user_role r WHERE r.user_id = u.id ORDER BY r.role)::text[] AS roles
FROM provider_subject s
JOIN users u ON u.id = s.user_id
WHERE s.provider = @provider AND s.subject = @subject;

-- name: InsertProviderSubject :exec
-- From now on the subject is this user, whatever else its tokens say.
INSERT INTO provider_subject (provider, subject, user_id) VALUES (@provider, @subject, @user_id);

-- name: SetProviderUser :exec
-- His groups are those of his last sign-in; of a user whom a person made, the
-- provider says from now on who he is.
UPDATE users SET groups = coalesce(@groups::text[], '{}'), provider = @provider WHERE id = @id;

-- name: DeleteProviderSessions :execrows
-- Sessions that the provider began: of everybody, or of one user.
DELETE FROM login_session
WHERE method = @provider AND (sqlc.narg(user_id)::bigint IS NULL OR user_id = sqlc.narg(user_id));

-- name: SpendSignOn :execrows
-- A way to a provider and back is gone once: no row is affected where it was gone
-- before.
INSERT INTO sign_on_spent (state_hash, expires_at) VALUES (@state_hash, @expires_at) ON CONFLICT DO NOTHING;

-- name: DeleteExpiredSignOns :exec
-- What has expired is refused for that.
DELETE FROM sign_on_spent WHERE expires_at <= now();
