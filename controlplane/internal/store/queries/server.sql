-- name: InsertServer :one
-- A new server that offers nothing yet; its headers come sealed already.
INSERT INTO server (name, url, private, headers_sealed, header_names, ca_certificates, call_timeout_ms, max_in_flight,
    agent, command, environment_sealed, environment_names, directory, shared)
VALUES (@name, @url, @private, @headers_sealed, coalesce(@header_names::text[], '{}'), @ca_certificates, @call_timeout_ms,
    @max_in_flight, sqlc.narg(agent), coalesce(@command::text[], '{}'), @environment_sealed,
    coalesce(@environment_names::text[], '{}'), @directory, @shared)
RETURNING id, created_at;

-- name: UpdateServer :exec
-- How the server is spoken to, as a whole: whoever changes a part has locked the
-- server and read the rest. Where it moved, another server may answer: what the one
-- before spoke is forgotten, and nodes find out until a discovery has. One that is to
-- be proven is taken for one that was never discovered: nodes offer nothing of it.
UPDATE server
SET protocol_version = CASE WHEN @moved::bool THEN '' ELSE protocol_version END,
    discovered_at = CASE WHEN @unproven::bool THEN NULL ELSE discovered_at END,
    url = @url, private = @private, headers_sealed = @headers_sealed,
    header_names = coalesce(@header_names::text[], '{}'), ca_certificates = @ca_certificates,
    call_timeout_ms = @call_timeout_ms, max_in_flight = @max_in_flight,
    environment_sealed = @environment_sealed, environment_names = coalesce(@environment_names::text[], '{}'),
    agent = sqlc.narg(agent), command = coalesce(@command::text[], '{}'), directory = @directory, shared = @shared
WHERE id = @id;

-- name: GetServer :one
-- One server with the counts of what it offers. The sealed headers come along
-- for discovery; the API shows their names only.
SELECT s.id, s.name, s.url, s.private, s.headers_sealed, s.header_names, s.protocol_version, s.last_error, s.partial,
    s.created_at, s.discovered_at, s.checked_at, s.failing_since, s.capabilities, s.ca_certificates, s.call_timeout_ms,
    s.max_in_flight, s.claimed_name, coalesce(s.agent, '')::text AS agent, s.command, s.environment_sealed,
    s.environment_names, s.directory, s.shared,
    count(e.id) FILTER (WHERE e.kind = 'tool') AS tools,
    count(e.id) FILTER (WHERE e.kind = 'tool' AND e.state = 'pending') AS tools_pending,
    count(e.id) FILTER (WHERE e.kind = 'tool' AND e.state = 'changed') AS tools_changed,
    count(e.id) FILTER (WHERE e.kind = 'prompt') AS prompts,
    count(e.id) FILTER (WHERE e.kind = 'resource') AS resources,
    count(e.id) FILTER (WHERE e.kind = 'template') AS templates,
    count(e.id) FILTER (WHERE e.state IN ('pending', 'changed')) AS waiting
FROM server s
LEFT JOIN entry e ON e.server_id = s.id AND NOT e.missing
WHERE s.name = @name
GROUP BY s.id;

-- name: ListServers :many
-- Every server with the counts of what it offers.
SELECT s.id, s.name, s.url, s.private, s.header_names, s.protocol_version, s.last_error, s.partial, s.created_at,
    s.discovered_at, s.checked_at, s.failing_since, s.capabilities, s.ca_certificates, s.call_timeout_ms, s.max_in_flight, s.claimed_name,
    coalesce(s.agent, '')::text AS agent, s.command, s.environment_names, s.directory, s.shared,
    count(e.id) FILTER (WHERE e.kind = 'tool') AS tools,
    count(e.id) FILTER (WHERE e.kind = 'tool' AND e.state = 'pending') AS tools_pending,
    count(e.id) FILTER (WHERE e.kind = 'tool' AND e.state = 'changed') AS tools_changed,
    count(e.id) FILTER (WHERE e.kind = 'prompt') AS prompts,
    count(e.id) FILTER (WHERE e.kind = 'resource') AS resources,
    count(e.id) FILTER (WHERE e.kind = 'template') AS templates,
    count(e.id) FILTER (WHERE e.state IN ('pending', 'changed')) AS waiting
FROM server s
LEFT JOIN entry e ON e.server_id = s.id AND NOT e.missing
GROUP BY s.id
ORDER BY s.name;

-- name: LockServer :one
-- Serialises what writes the entries of one server: two discoveries at a time, or
-- one and a removal, would each decide on rows that the other changes.
SELECT id, protocol_version, capabilities, last_error, partial, failing_since, claimed_name, discovered_at
FROM server WHERE name = @name FOR UPDATE;

-- name: SetServerDiscovered :exec
-- After a discovery that succeeded, at least in part.
UPDATE server
SET protocol_version = @protocol_version, capabilities = @capabilities, last_error = @last_error, partial = @partial,
    claimed_name = @claimed_name,
    failing_since = CASE WHEN @last_error = '' THEN NULL ELSE coalesce(failing_since, now()) END,
    discovered_at = now(), checked_at = now()
WHERE id = @id;

-- name: SetServerFailed :exec
-- After one that failed. What was known of the server stays.
UPDATE server
SET last_error = @last_error, partial = false, failing_since = coalesce(failing_since, now()), checked_at = now()
WHERE id = @id;

-- name: TouchServer :exec
-- After a discovery in the background that found all as it was.
UPDATE server SET discovered_at = now(), checked_at = now() WHERE name = @name;

-- name: ClaimStaleServers :many
-- Servers that nobody looked at for this long, at most as many as asked for, the
-- longest first. Claiming them puts them at the end, and replicas that ask at the
-- same time skip each other's, so that each server is discovered by one of them.
-- One that fails is looked at sooner, so that it is known to be back: after the
-- time for a retry at first, then each time after as long as it had been failing.
-- Servers of agents are those of the replica that the agent is attached to.
UPDATE server
SET checked_at = now()
WHERE id IN (
    SELECT s.id FROM server s
    WHERE (s.agent IS NULL OR s.agent = ANY (@agents::text[])) AND s.checked_at <= now() - least(make_interval(secs => @age_seconds::float8),
        greatest(make_interval(secs => @retry_seconds::float8), s.checked_at - s.failing_since,
            CASE WHEN s.failing_since IS NULL THEN make_interval(secs => @age_seconds::float8) END))
    ORDER BY s.checked_at
    LIMIT @at_most::int
    FOR UPDATE SKIP LOCKED
)
RETURNING name;

-- name: DeleteServer :execrows
-- Its entries and their verdicts go with it; definitions and audit stay.
DELETE FROM server WHERE name = @name;

-- name: ListServerItems :many
-- What a snapshot says of servers, in a fixed order.
SELECT name, url, private, headers_sealed, protocol_version, capabilities, ca_certificates, call_timeout_ms, max_in_flight,
    coalesce(agent, '')::text AS agent
FROM server
ORDER BY name;
