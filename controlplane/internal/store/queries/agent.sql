-- name: JoinAgent :one
-- An agent is let in, for the first time or again. Its certificate is issued at
-- issue_at: never before what the last revocation voids. That of one that was removed
-- is known by what nodes are told.
INSERT INTO agent (name, region, version, key, valid_from)
VALUES (@name, @region, @version, @key, greatest(date_trunc('second', clock_timestamp()),
    (SELECT max(issued_before) FROM deny WHERE deny.kind = 'agent' AND deny.name = @name)))
ON CONFLICT (name) DO UPDATE
SET region = excluded.region, version = excluded.version, revoked_at = NULL, certified_at = clock_timestamp(),
    key = excluded.key, key_before = '', key_refused = ''
RETURNING greatest(valid_from, date_trunc('second', clock_timestamp()))::timestamptz AS issue_at;

-- name: RenewAgent :one
-- Lets an agent have a certificate of another key, for one that was issued at a time:
-- the newest, or the one before while nobody has used the newest. One that is newer
-- than what is known here is from a time that the database has lost; newer_counts says
-- whether that is believed. The row is locked, so that of a renewal and a revocation
-- one sees the other.
UPDATE agent
SET certified_at = clock_timestamp(), key = @key, key_before = @held
WHERE name = @name AND revoked_at IS NULL AND valid_from <= @issued_at::timestamptz
    AND (@held IN (key, key_before)
        OR @newer_counts::boolean AND @issued_at > greatest(valid_from, date_trunc('second', certified_at)))
RETURNING greatest(valid_from, date_trunc('second', certified_at))::timestamptz AS issue_at;

-- name: ConfirmAgent :exec
-- An agent uses its newest certificate: the one before is exchanged no more.
UPDATE agent SET key_before = '' WHERE name = @name AND key = @key;

-- name: RefuseAgentKey :execrows
-- Remembers a key that was refused since it is not that of a newest certificate. No row: it is so already.
UPDATE agent SET key_refused = @key WHERE name = @name AND key_refused <> @key;

-- name: RevokeAgent :one
-- All certificates that it has. Doing it again moves the time.
UPDATE agent
SET revoked_at = clock_timestamp(), valid_from = date_trunc('second', clock_timestamp()) + interval '1 second'
WHERE name = @name
RETURNING valid_from;

-- name: DeleteAgent :execrows
-- One that has servers is kept by its foreign key.
DELETE FROM agent WHERE name = @name;

-- name: ListAgents :many
-- Like nodes, an agent counts as connected while the replica that holds its stream
-- says so. Its latest certificate was issued at issued_at, unless it is revoked.
SELECT name, region, revoked_at, version, platform, report, seen_at,
    greatest(valid_from, date_trunc('second', certified_at))::timestamptz AS issued_at,
    (connected_to <> '' AND seen_at > now() - interval '1 minute')::boolean AS connected
FROM agent
ORDER BY name;

-- name: ListAgentServers :many
-- Which servers are those of agents.
SELECT name, agent::text AS agent FROM server WHERE agent IS NOT NULL ORDER BY name;

-- name: LockAgent :one
-- Keeps an agent there while a server of it is added. Whether it may connect.
SELECT (revoked_at IS NOT NULL)::boolean AS revoked FROM agent WHERE name = @name FOR KEY SHARE;

-- name: ListOrders :many
-- What agents are told of their servers: those to run, and those that their own files
-- declare, which have neither command nor url.
SELECT agent::text AS agent, name, url, command, environment_sealed, directory, shared
FROM server
WHERE agent = ANY (@agents::text[])
ORDER BY agent, name;

-- name: ConnectAgent :exec
-- An agent follows this replica; what another wrote is past.
UPDATE agent
SET connected_to = @connected_to, version = @version, platform = @platform, report = @report, tunnels = @tunnels, seen_at = now()
WHERE name = @name;

-- name: UpdateAgent :execrows
-- What an agent reports. Only the replica that has its stream may say so: a late word
-- of one that lost it affects no row.
UPDATE agent
SET version = @version, platform = @platform, report = @report, tunnels = @tunnels, seen_at = now()
WHERE name = @name AND connected_to = @connected_to;

-- name: DisconnectAgent :exec
-- The stream ended. Where the agent is at another replica by now, nothing happens.
UPDATE agent SET connected_to = '', seen_at = now() WHERE name = @name AND connected_to = @connected_to;

-- name: GetAgentStream :one
-- The stream that an agent has, "replica/stream", to whichever replica; empty: none.
SELECT (CASE WHEN seen_at > now() - interval '1 minute' THEN connected_to ELSE '' END)::text FROM agent WHERE name = @name;

-- name: HastenServer :exec
-- Leaves a server to the replica that its agent is attached to, at its next look.
UPDATE server SET checked_at = 'epoch' WHERE name = @name AND agent IS NOT NULL;

-- name: ListStandings :many
-- Which certificates of peers are good: those that were issued at valid_from or
-- later, of who is not revoked. Whoever is not there may not connect.
SELECT 'node'::text AS kind, name::text AS name, valid_from::timestamptz AS valid_from, (revoked_at IS NOT NULL)::boolean AS revoked,
    key::text AS key, (key_before <> '')::boolean AS unconfirmed
FROM node WHERE name = ANY (@nodes::text[])
UNION ALL
SELECT 'agent', name, valid_from, revoked_at IS NOT NULL, key, key_before <> ''
FROM agent WHERE name = ANY (@agents::text[]);
