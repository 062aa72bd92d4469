-- name: JoinNode :one
-- Like JoinAgent.
INSERT INTO node (name, region, version, key, valid_from)
VALUES (@name, @region, @version, @key, greatest(date_trunc('second', clock_timestamp()),
    (SELECT max(issued_before) FROM deny WHERE deny.kind = 'node' AND deny.name = @name)))
ON CONFLICT (name) DO UPDATE
SET region = excluded.region, version = excluded.version, revoked_at = NULL, certified_at = clock_timestamp(),
    key = excluded.key, key_before = '', key_refused = ''
RETURNING greatest(valid_from, date_trunc('second', clock_timestamp()))::timestamptz AS issue_at;

-- name: RenewNode :one
-- Like RenewAgent.
UPDATE node
SET certified_at = clock_timestamp(), key = @key, key_before = @held
WHERE name = @name AND revoked_at IS NULL AND valid_from <= @issued_at::timestamptz
    AND (@held IN (key, key_before)
        OR @newer_counts::boolean AND @issued_at > greatest(valid_from, date_trunc('second', certified_at)))
RETURNING greatest(valid_from, date_trunc('second', certified_at))::timestamptz AS issue_at;

-- name: ConfirmNode :exec
-- Like ConfirmAgent.
UPDATE node SET key_before = '' WHERE name = @name AND key = @key;

-- name: RefuseNodeKey :execrows
-- Like RefuseAgentKey.
UPDATE node SET key_refused = @key WHERE name = @name AND key_refused <> @key;

-- name: RevokeNode :one
-- Like RevokeAgent.
UPDATE node
SET revoked_at = clock_timestamp(), valid_from = date_trunc('second', clock_timestamp()) + interval '1 second'
WHERE name = @name
RETURNING valid_from;

-- name: DeleteNode :execrows
-- Where agents had tunnels to it goes with it.
DELETE FROM node WHERE name = @name;

-- name: IsNodeConnected :one
-- By the same rule as ListNodes.
SELECT (connected_to <> '' AND seen_at > now() - interval '1 minute')::boolean FROM node WHERE name = @name;

-- name: ConnectNode :exec
-- A node said hello to this replica; what another replica wrote is past.
INSERT INTO node (name, connected_to, revision, refusal, version, address, tunnel_address, draining, seen_at)
VALUES (@name, @connected_to, @revision, '', @version, @address, @tunnel_address, @draining, now())
ON CONFLICT (name) DO UPDATE
SET connected_to = excluded.connected_to, revision = excluded.revision, refusal = '', version = excluded.version,
    address = excluded.address, tunnel_address = excluded.tunnel_address, draining = excluded.draining, seen_at = now();

-- name: UpdateNode :execrows
-- How far a node is. Only the replica that holds its stream may say so: a late
-- word of one that lost it affects no row.
UPDATE node
SET revision = @revision, refusal = @refusal, seen_at = now()
WHERE name = @name AND connected_to = @connected_to;

-- name: DisconnectNode :exec
-- The stream ended. Where the node is at another replica by now, nothing
-- happens.
UPDATE node SET connected_to = '', seen_at = now() WHERE name = @name AND connected_to = @connected_to;

-- name: CountNodes :one
-- Those that are connected to any replica, by the same rule as ListNodes.
SELECT count(*) FROM node WHERE connected_to <> '' AND seen_at > now() - interval '1 minute';

-- name: ListNodes :many
-- A node counts as connected while the replica that holds it says so; a replica
-- that died leaves its name behind, so the time must be recent too. issued_at as of
-- agents.
SELECT name, (connected_to <> '' AND seen_at > now() - interval '1 minute')::boolean AS connected, revision, refusal,
    version, address, seen_at, region, tunnel_address, revoked_at,
    greatest(valid_from, date_trunc('second', certified_at))::timestamptz AS issued_at,
    ARRAY(SELECT a.agent FROM attachment a WHERE a.node = node.name ORDER BY a.agent)::text[] AS agents
FROM node
ORDER BY name;
