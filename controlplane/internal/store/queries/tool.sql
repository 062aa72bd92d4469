-- name: InsertTool :one
-- A tool that is new is pending: nobody has looked at it.
INSERT INTO tool (server_id, name, exposed_name, risk, offered_hash, position)
VALUES (@server_id, @name, @exposed_name, @risk, @offered_hash, @position)
RETURNING id;

-- name: ListToolsOfServer :many
-- What discovery compares with the server's list; call LockServer first.
SELECT id, name, exposed_name, state, disabled, missing, risk, offered_hash, approved_hash, position
FROM tool
WHERE server_id = @server_id
ORDER BY position, id;

-- name: MarkToolsMissing :exec
-- Tools that the server's last list no longer has.
UPDATE tool SET missing = true WHERE id = ANY (@ids::bigint[]);

-- name: ApproveTool :execrows
-- Approves one definition. No row is affected where the server offers another
-- one by now: a person approves what was seen, not what came after.
UPDATE tool SET state = 'approved', approved_hash = @hash WHERE id = @id AND offered_hash = @hash;

-- name: RejectTool :execrows
-- A person said no: whatever the state was, it is blocked until approved.
UPDATE tool SET state = 'rejected' WHERE id = @id;

-- name: SetToolDisabled :execrows
-- The switch apart from the state.
UPDATE tool SET disabled = @disabled WHERE id = @id;

-- name: ListTools :many
-- Tools with the definition they offer and the last verdict on them; an empty
-- server or state matches all.
SELECT t.id, s.name AS server, t.name, t.exposed_name, t.state, t.disabled, t.missing, t.risk, t.offered_hash,
    t.approved_hash, t.first_seen_at, d.definition, v.actor AS decided_by, v.at AS decided_at,
    v.reason AS decided_reason
FROM tool t
JOIN server s ON s.id = t.server_id
JOIN tool_definition d ON d.hash = t.offered_hash
LEFT JOIN tool_verdict v ON v.id = (SELECT max(l.id) FROM tool_verdict l WHERE l.tool_id = t.id)
WHERE (@server::text = '' OR s.name = @server) AND (@state::text = '' OR t.state = @state)
ORDER BY s.name, t.position, t.id;

-- name: GetTool :one
-- One tool as ListTools has it, with what was approved beside what is offered.
SELECT t.id, s.name AS server, t.name, t.exposed_name, t.state, t.disabled, t.missing, t.risk, t.offered_hash,
    t.approved_hash, t.first_seen_at, d.definition, v.actor AS decided_by, v.at AS decided_at,
    v.reason AS decided_reason, a.definition AS approved_definition
FROM tool t
JOIN server s ON s.id = t.server_id
JOIN tool_definition d ON d.hash = t.offered_hash
LEFT JOIN tool_definition a ON a.hash = t.approved_hash
LEFT JOIN tool_verdict v ON v.id = (SELECT max(l.id) FROM tool_verdict l WHERE l.tool_id = t.id)
WHERE s.name = @server AND t.name = @name;

-- name: ListToolsForUpdate :many
-- What a verdict on tools starts from, locked until it is given.
SELECT t.id, s.name AS server, t.name, t.state, t.disabled, t.missing, t.offered_hash, t.approved_hash
FROM tool t
JOIN server s ON s.id = t.server_id
WHERE @server::text = '' OR s.name = @server
ORDER BY t.id
FOR UPDATE OF t;

-- name: ListToolItems :many
-- What a snapshot says of tools: approved, enabled and present ones only, so
-- that no other can reach a node. The definition is the approved one.
SELECT s.name AS server, t.name, t.exposed_name, t.risk, t.approved_hash, t.position, d.definition
FROM tool t
JOIN server s ON s.id = t.server_id
JOIN tool_definition d ON d.hash = t.approved_hash
WHERE t.state = 'approved' AND NOT t.disabled AND NOT t.missing
ORDER BY s.name, t.name;
