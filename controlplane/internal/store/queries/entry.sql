-- name: InsertEntry :one
-- What is new is pending: nobody has looked at it.
INSERT INTO entry (server_id, kind, name, exposed_name, risk, risk_version, offered_hash, position, findings, scanner_version)
VALUES (@server_id, @kind, @name, @exposed_name, @risk, @risk_version, @offered_hash, @position,
    coalesce(sqlc.narg(findings)::jsonb, '[]'), @scanner_version)
RETURNING id;

-- name: ListEntriesOfServer :many
-- What discovery compares with the server's lists; call LockServer first.
SELECT id, kind, name, state, disabled, missing, risk, risk_set, offered_hash, approved_hash, position
FROM entry
WHERE server_id = @server_id
ORDER BY kind, position, id;

-- name: MarkEntriesMissing :exec
-- What the server's last lists no longer have.
UPDATE entry SET missing = true WHERE id = ANY (@ids::bigint[]);

-- name: ApproveEntry :execrows
-- Approves one definition. No row is affected where the server offers another
-- one by now: a person approves what was seen, not what came after.
UPDATE entry SET state = 'approved', approved_hash = @hash WHERE id = @id AND offered_hash = @hash;

-- name: RejectEntry :execrows
-- A person said no: whatever the state was, it is blocked until approved.
UPDATE entry SET state = 'rejected' WHERE id = @id;

-- name: SetEntryDisabled :execrows
-- The switch apart from the state.
UPDATE entry SET disabled = @disabled WHERE id = @id;

-- name: ListEntries :many
-- Entries of these kinds with the definition they offer and the last verdict on
-- them; an empty server or state matches all.
SELECT e.id, s.name AS server, e.kind, e.name, e.exposed_name, e.state, e.disabled, e.missing, e.risk, e.offered_hash,
    e.approved_hash, e.first_seen_at, d.content AS definition, v.actor AS decided_by, v.at AS decided_at,
    v.reason AS decided_reason, e.risk_set, e.findings
FROM entry e
JOIN server s ON s.id = e.server_id
JOIN definition d ON d.hash = e.offered_hash
LEFT JOIN verdict v ON v.id = (SELECT max(l.id) FROM verdict l WHERE l.entry_id = e.id AND l.verdict <> 'risk')
WHERE e.kind = ANY (@kinds::text[]) AND (@server::text = '' OR s.name = @server) AND (@state::text = '' OR e.state = @state)
ORDER BY s.name, array_position('{tool,prompt,resource,template,instructions}', e.kind), e.position, e.id;

-- name: GetEntry :one
-- One entry as ListEntries has it, with what was approved beside what is offered.
SELECT e.id, s.name AS server, e.kind, e.name, e.exposed_name, e.state, e.disabled, e.missing, e.risk, e.offered_hash,
    e.approved_hash, e.first_seen_at, d.content AS definition, v.actor AS decided_by, v.at AS decided_at,
    v.reason AS decided_reason, e.risk_set, e.findings, a.content AS approved_definition
FROM entry e
JOIN server s ON s.id = e.server_id
JOIN definition d ON d.hash = e.offered_hash
LEFT JOIN definition a ON a.hash = e.approved_hash
LEFT JOIN verdict v ON v.id = (SELECT max(l.id) FROM verdict l WHERE l.entry_id = e.id AND l.verdict <> 'risk')
WHERE s.name = @server AND e.kind = @kind AND e.name = @name;

-- name: ListEntriesForUpdate :many
-- What a verdict starts from, locked until it is given.
SELECT e.id, s.name AS server, e.kind, e.name, e.state, e.disabled, e.missing, e.offered_hash, e.approved_hash, e.findings,
    e.scanner_version
FROM entry e
JOIN server s ON s.id = e.server_id
WHERE e.kind = ANY (@kinds::text[]) AND (@server::text = '' OR s.name = @server)
ORDER BY e.id
FOR UPDATE OF e;

-- name: ListEntryItems :many
-- What a snapshot says of entries: approved, enabled and present ones only, so
-- that no other can reach a node. The definition is the approved one. Of a server
-- that moved to another agent or program and was not discovered there, there are none.
SELECT s.name AS server, e.kind, e.name, e.exposed_name, e.risk, e.approved_hash, e.position, d.content AS definition
FROM entry e
JOIN server s ON s.id = e.server_id
JOIN definition d ON d.hash = e.approved_hash
WHERE e.state = 'approved' AND NOT e.disabled AND NOT e.missing AND (s.agent IS NULL OR s.discovered_at IS NOT NULL)
ORDER BY e.kind, s.name, e.name;

-- name: ListWithheldItems :many
-- Resources and templates that nodes must not take for ones that the server only
-- does not list: those that it lists and nobody approved, and those that a person
-- refused, listed or not, since to stop listing one must not open it; and all of a
-- server that moved and was not discovered yet.
SELECT s.name AS server, e.kind, e.name, e.position
FROM entry e
JOIN server s ON s.id = e.server_id
WHERE e.kind IN ('resource', 'template')
    AND (e.state = 'rejected' OR e.disabled OR (e.state <> 'approved' AND NOT e.missing) OR s.agent IS NOT NULL AND s.discovered_at IS NULL)
ORDER BY e.kind, s.name, e.name;

-- name: LockEntry :one
-- What a change of one entry starts from, locked until it is made.
SELECT e.id, e.kind, e.state, e.risk, e.risk_set, e.offered_hash, d.content AS definition
FROM entry e
JOIN server s ON s.id = e.server_id
JOIN definition d ON d.hash = e.offered_hash
WHERE s.name = @server AND e.kind = @kind AND e.name = @name
FOR UPDATE OF e;

-- name: SetEntryRisk :exec
-- The category, and whether a person set it.
UPDATE entry SET risk = @risk, risk_set = @risk_set, risk_version = @risk_version WHERE id = @id;

-- name: ListRegistryEntries :many
-- What the scanner compares a definition with: the tools and prompts of all
-- servers but one (empty: none left out) that somebody may be offered. The
-- definition comes only with those whose name, but for case and separators, is
-- one of those given: nothing else of a definition is compared.
SELECT s.name AS server, e.kind, e.name, e.exposed_name,
    coalesce(CASE WHEN translate(lower(e.name), '_-. ', '') = ANY (@tails::text[]) THEN d.content END, '')::bytea AS definition
FROM entry e
JOIN server s ON s.id = e.server_id
JOIN definition d ON d.hash = e.offered_hash
WHERE e.kind IN ('tool', 'prompt') AND NOT e.missing AND e.state <> 'rejected' AND s.name <> @without
ORDER BY e.id;

-- name: LockStaleEntries :many
-- Entries that another version of the scanner or of the classifier looked at, or
-- none, at most as many as asked for. Replicas that ask at the same time skip
-- each other's.
SELECT e.id, s.name AS server, e.kind, e.name, e.exposed_name, e.state, e.disabled, e.missing, e.risk, e.risk_set,
    d.content AS definition
FROM entry e
JOIN server s ON s.id = e.server_id
JOIN definition d ON d.hash = e.offered_hash
WHERE e.scanner_version <> @scanner_version OR e.risk_version <> @risk_version
ORDER BY e.id
LIMIT @at_most
FOR UPDATE OF e SKIP LOCKED;

-- name: ListScannedEntries :many
-- What a decision is about, for the scanner to look at again beside what all servers
-- offer by now. What it has never looked at is left out: that comes at the start.
SELECT e.id, s.name AS server, e.kind, e.name, e.exposed_name, d.content AS definition, e.findings
FROM entry e
JOIN server s ON s.id = e.server_id
JOIN definition d ON d.hash = e.offered_hash
WHERE e.id = ANY (@ids::bigint[]) AND e.scanner_version <> '';

-- name: SetEntryFindings :exec
-- What the scanner finds by now in what is offered.
UPDATE entry SET findings = @findings, scanner_version = @scanner_version WHERE id = @id;

-- name: SetEntryAssessment :exec
-- What this version of the scanner and of the classifier makes of what is offered.
UPDATE entry
SET risk = @risk, risk_version = @risk_version, findings = @findings, scanner_version = @scanner_version
WHERE id = @id;
