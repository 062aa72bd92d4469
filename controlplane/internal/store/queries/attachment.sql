-- name: MoveLocations :one
-- Before each write to attachments, and to what of nodes their locations hang on; held
-- until its commit. Whoever waits is woken then; a lost notification costs a turn of
-- the poll.
UPDATE location_position SET position = position + 1 WHERE one
RETURNING pg_notify('warder_locations', '')::text;

-- name: GetLocationPosition :one
-- Whoever follows places reads them when this has moved.
SELECT position FROM location_position WHERE one;

-- name: HoldNode :one
-- Whether a stream is the one that the node has, which stays so until commit.
SELECT count(*) FROM (SELECT FROM node WHERE name = @name AND connected_to = @connected_to FOR UPDATE) AS held;

-- name: Detach :execrows
-- Agents that have no tunnel to a node any more: all but those named.
DELETE FROM attachment WHERE node = @node AND NOT agent = ANY (@remaining::text[]);

-- name: Attach :execrows
-- Agents that have a tunnel to a node; the servers that are ready come with spaces
-- between them. Where nothing is new, no row is affected.
INSERT INTO attachment (node, agent, ready)
SELECT @node, told.agent, string_to_array(told.ready, ' ')
FROM (SELECT unnest(@agents::text[]) AS agent, unnest(@ready::text[]) AS ready) AS told
ON CONFLICT (node, agent) DO UPDATE SET ready = excluded.ready WHERE attachment.ready <> excluded.ready;

-- name: ListTunnelNodes :many
-- Nodes that take tunnels, by the same rule of connection as ListNodes.
SELECT name, region, tunnel_address, draining
FROM node
WHERE connected_to <> '' AND seen_at > now() - interval '1 minute' AND tunnel_address <> '' AND revoked_at IS NULL
ORDER BY name;

-- name: ListAttachments :many
-- Where nodes that take tunnels say that agents are; of what is ready only servers that
-- the agent was given. The others are strays. Whether the agent says so, too, and for
-- how many seconds it has said nothing.
SELECT a.agent, a.node, (a.node = ANY (g.tunnels))::boolean AS named,
    extract(epoch FROM now() - g.seen_at)::float8 AS silent,
    ARRAY(SELECT s.name FROM server s WHERE s.agent = a.agent AND s.name = ANY (a.ready) ORDER BY s.name)::text[] AS ready,
    ARRAY(SELECT r.name FROM unnest(a.ready) AS r (name)
        WHERE NOT EXISTS (SELECT FROM server s WHERE s.agent = a.agent AND s.name = r.name))::text[] AS strays
FROM attachment a
JOIN node n ON n.name = a.node
JOIN agent g ON g.name = a.agent
WHERE n.connected_to <> '' AND n.seen_at > now() - interval '1 minute' AND n.tunnel_address <> '' AND n.revoked_at IS NULL
    AND g.revoked_at IS NULL
ORDER BY a.agent, a.node;
