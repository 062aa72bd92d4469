-- name: InsertServer :one
-- A new server without tools; its headers come sealed already.
INSERT INTO server (name, url, private, headers_sealed, header_names)
VALUES (@name, @url, @private, @headers_sealed, coalesce(@header_names::text[], '{}'))
RETURNING id, created_at;

-- name: GetServer :one
-- One server with the counts of its tools. The sealed headers come along for
-- discovery; the API shows their names only.
SELECT s.id, s.name, s.url, s.private, s.headers_sealed, s.header_names, s.protocol_version, s.instructions,
    s.last_error, s.created_at, s.discovered_at,
    (SELECT count(*) FROM tool t WHERE t.server_id = s.id AND NOT t.missing) AS tools,
    (SELECT count(*) FROM tool t WHERE t.server_id = s.id AND NOT t.missing AND t.state = 'pending') AS tools_pending,
    (SELECT count(*) FROM tool t WHERE t.server_id = s.id AND NOT t.missing AND t.state = 'changed') AS tools_changed
FROM server s
WHERE s.name = @name;

-- name: ListServers :many
-- Every server with the counts of its tools.
SELECT s.id, s.name, s.url, s.private, s.header_names, s.protocol_version, s.last_error, s.created_at, s.discovered_at,
    count(t.id) FILTER (WHERE NOT t.missing) AS tools,
    count(t.id) FILTER (WHERE NOT t.missing AND t.state = 'pending') AS tools_pending,
    count(t.id) FILTER (WHERE NOT t.missing AND t.state = 'changed') AS tools_changed
FROM server s
LEFT JOIN tool t ON t.server_id = s.id
GROUP BY s.id
ORDER BY s.name;

-- name: LockServer :one
-- Serialises what writes the tools of one server: two discoveries at a time, or
-- one and a removal, would each decide on rows that the other changes.
SELECT id, url, private, protocol_version FROM server WHERE name = @name FOR UPDATE;

-- name: SetServerDiscovered :exec
-- After a discovery that succeeded.
UPDATE server
SET protocol_version = @protocol_version, instructions = @instructions, last_error = '', discovered_at = now()
WHERE id = @id;

-- name: SetServerFailed :exec
-- After one that failed. What was known of the server stays.
UPDATE server SET last_error = @last_error WHERE id = @id;

-- name: DeleteServer :execrows
-- Its tools and their verdicts go with it; definitions and audit stay.
DELETE FROM server WHERE name = @name;

-- name: ListServerItems :many
-- What a snapshot says of servers, in a fixed order.
SELECT name, url, private, headers_sealed, protocol_version FROM server ORDER BY name;
