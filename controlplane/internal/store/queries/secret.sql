-- name: ListSealed :many
-- Every secret at rest, sealed: where it is, by table, column and row.
SELECT 'instance_secret'::text AS in_table, 'sealed'::text AS in_column, name::text AS in_row, sealed::bytea AS sealed FROM instance_secret
UNION ALL
SELECT 'seal_key', 'sealed', name, sealed FROM seal_key
UNION ALL
SELECT 'authority', 'sealed', fingerprint, sealed FROM authority
UNION ALL
SELECT 'server', 'headers_sealed', name, headers_sealed FROM server WHERE headers_sealed IS NOT NULL
UNION ALL
SELECT 'server', 'environment_sealed', name, environment_sealed FROM server WHERE environment_sealed IS NOT NULL
UNION ALL
SELECT 'provider', 'client_secret_sealed', name, client_secret_sealed FROM provider WHERE client_secret_sealed IS NOT NULL
ORDER BY 1, 3, 2;

-- name: ResealInstanceSecret :execrows
-- Only if it is still what was read: who changed it meanwhile sealed it anew.
UPDATE instance_secret SET sealed = @renewed WHERE name = @name AND sealed = @was;

-- name: ResealSealKey :execrows
-- Likewise.
UPDATE seal_key SET sealed = @renewed WHERE name = @name AND sealed = @was;

-- name: ResealAuthority :execrows
-- Likewise.
UPDATE authority SET sealed = @renewed WHERE fingerprint = @fingerprint AND sealed = @was;

-- name: ResealServerEnvironment :execrows
-- Likewise.
UPDATE server SET environment_sealed = @renewed::bytea WHERE name = @name AND environment_sealed = @was::bytea;

-- name: ResealServerHeaders :execrows
-- Likewise. Nodes are not concerned: the headers are the same.
UPDATE server SET headers_sealed = @renewed::bytea WHERE name = @name AND headers_sealed = @was::bytea;

-- name: ResealProviderSecret :execrows
-- Likewise.
UPDATE provider SET client_secret_sealed = @renewed::bytea WHERE name = @name AND client_secret_sealed = @was::bytea;
