-- name: InsertIssuer :one
-- Who may sign the tokens of MCP clients.
INSERT INTO issuer (name, url, audiences, jwks_url, algorithms, user_claim, groups_claim, application_claim, user_prefix,
    private, ca_certificates, scopes)
VALUES (@name, @url, @audiences, @jwks_url, @algorithms, @user_claim, @groups_claim, @application_claim, @user_prefix,
    @private, @ca_certificates, @scopes)
RETURNING created_at;

-- name: LockIssuer :one
-- What an issuer is, until the transaction that changes it ends.
SELECT name, url, audiences, jwks_url, algorithms, user_claim, groups_claim, application_claim, user_prefix, private,
    ca_certificates, scopes, created_at
FROM issuer WHERE name = @name FOR UPDATE;

-- name: UpdateIssuer :one
-- All of it but the name.
UPDATE issuer
SET url = @url, audiences = @audiences, jwks_url = @jwks_url, algorithms = @algorithms, user_claim = @user_claim,
    groups_claim = @groups_claim, application_claim = @application_claim, user_prefix = @user_prefix, private = @private,
    ca_certificates = @ca_certificates, scopes = @scopes
WHERE name = @name
RETURNING created_at;

-- name: ListIssuers :many
-- Every issuer, for people and for a snapshot.
SELECT name, url, audiences, jwks_url, algorithms, user_claim, groups_claim, application_claim, user_prefix, private,
    ca_certificates, scopes, created_at
FROM issuer ORDER BY name;

-- name: DeleteIssuer :execrows
-- Its group roles go with it.
DELETE FROM issuer WHERE name = @name;

-- name: InsertIssuerGroupRole :exec
-- A role of who has a group by a token.
INSERT INTO issuer_group_role (issuer, group_name, role) VALUES (@issuer, @group_name, @role);

-- name: DeleteIssuerGroupRoles :exec
-- Before those that replace them.
DELETE FROM issuer_group_role WHERE issuer = @issuer;

-- name: ListIssuerGroupRoles :many
-- Those of every issuer, in a fixed order.
SELECT issuer, group_name, role FROM issuer_group_role ORDER BY issuer, group_name, role;
