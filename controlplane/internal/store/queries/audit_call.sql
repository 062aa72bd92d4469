-- name: CopyAuditCalls :copyfrom
-- The calls of one batch: intents, refusals, and calls whose result came in the
-- same batch.
INSERT INTO audit_call (id, at, node, epoch, user_name, application, key_id, client_name, client_version, remote_address,
    protocol_version, method, server, tool, risk, definition_hash, decision, rule, reason, revision, arguments_digest,
    request_bytes, trace_id, suppressed, outcome, error, latency_us, server_latency_us, response_bytes, completed_at,
    settled, roles, groups, issuer, token_id)
VALUES (@id, @at, @node, @epoch, @user_name, @application, @key_id, @client_name, @client_version, @remote_address,
    @protocol_version, @method, @server, @tool, @risk, @definition_hash, @decision, @rule, @reason, @revision,
    @arguments_digest, @request_bytes, @trace_id, @suppressed, @outcome, @error, @latency_us, @server_latency_us,
    @response_bytes, @completed_at, @settled, @roles, @groups, @issuer, @token_id);

-- name: InsertAuditCall :execrows
-- The same for one call, where the COPY met an id that exists: a node that uses
-- an id again must not stop its own queue, nor overwrite another node's call.
INSERT INTO audit_call (id, at, node, epoch, user_name, application, key_id, client_name, client_version, remote_address,
    protocol_version, method, server, tool, risk, definition_hash, decision, rule, reason, revision, arguments_digest,
    request_bytes, trace_id, suppressed, outcome, error, latency_us, server_latency_us, response_bytes, completed_at,
    settled, roles, groups, issuer, token_id)
VALUES (@id, @at, @node, @epoch, @user_name, @application, @key_id, @client_name, @client_version, @remote_address,
    @protocol_version, @method, @server, @tool, @risk, @definition_hash, @decision, @rule, @reason, @revision,
    @arguments_digest, @request_bytes, @trace_id, @suppressed, @outcome, @error, @latency_us, @server_latency_us,
    @response_bytes, @completed_at, @settled, @roles, @groups, @issuer, @token_id)
ON CONFLICT (id) DO NOTHING;

-- name: CompleteAuditCalls :execrows
-- Results of calls whose intent came in an earlier batch. A call is completed
-- once, and by the queue that began it; where it was given up before its result
-- came after all, the result counts.
UPDATE audit_call c
SET outcome = r.outcome, error = r.error, latency_us = r.latency_us, server_latency_us = r.server_latency_us,
    response_bytes = r.response_bytes, completed_at = @completed_at::timestamptz, settled = @settled::bigint
FROM (
    SELECT unnest(@ids::bytea[]) AS id, unnest(@outcomes::text[]) AS outcome, unnest(@errors::text[]) AS error,
        unnest(@latencies_us::bigint[]) AS latency_us, unnest(@server_latencies_us::bigint[]) AS server_latency_us,
        unnest(@responses_bytes::bigint[]) AS response_bytes
) r
WHERE c.id = r.id AND c.node = @node AND c.epoch = @epoch AND (c.outcome IS NULL OR c.outcome = 'unknown');

-- name: AbandonAuditCalls :execrows
-- Calls without a result from queues that ended: what became of them will never
-- be known. A queue that ended may still be emptied by its node, so it gets a
-- grace.
UPDATE audit_call c
SET outcome = 'unknown', completed_at = now(), settled = pg_current_xact_id()::text::bigint
FROM audit_head h
WHERE h.node = c.node AND h.epoch = c.epoch AND h.ended_at <= now() - make_interval(secs => @grace_seconds::float8)
    AND c.outcome IS NULL;

-- name: CurrentTransaction :one
-- The id of this transaction, for audit_call.settled, and its time.
SELECT pg_current_xact_id()::text::bigint AS id, now()::timestamptz AS at;

-- name: ListAuditCalls :many
-- One page of calls, newest first. An empty or null argument matches all;
-- before_at and before_id are those of the last row of the page above.
SELECT id, at, node, user_name, application, key_id, client_name, client_version, remote_address, protocol_version,
    method, server, tool, risk, definition_hash, decision, rule, reason, revision, arguments_digest, request_bytes,
    trace_id, suppressed, outcome, error, latency_us, server_latency_us, response_bytes, settled, roles, groups, issuer,
    token_id
FROM audit_call
WHERE (@user_name::text = '' OR user_name = @user_name)
    AND (@application::text = '' OR application = @application)
    AND (@server::text = '' OR server = @server)
    AND (@tool::text = '' OR tool = @tool)
    AND (@decision::text = '' OR decision = @decision)
    AND (@outcome::text = '' OR coalesce(outcome, 'running') = @outcome)
    AND (sqlc.narg(since)::timestamptz IS NULL OR at >= sqlc.narg(since)::timestamptz)
    AND (sqlc.narg(until)::timestamptz IS NULL OR at < sqlc.narg(until)::timestamptz)
    AND (sqlc.narg(before_at)::timestamptz IS NULL
        OR (at, id) < (sqlc.narg(before_at)::timestamptz, sqlc.narg(before_id)::bytea))
ORDER BY at DESC, id DESC
LIMIT @row_limit;

-- name: ListDecidedCalls :many
-- ListAuditCalls with what a decision was made on, and what it was, alone: for whoever
-- decides many calls again.
SELECT id, at, user_name, application, key_id, client_name, client_version, method, server, tool, risk, decision, rule,
    roles, groups, issuer, token_id
FROM audit_call
WHERE (@user_name::text = '' OR user_name = @user_name)
    AND (@application::text = '' OR application = @application)
    AND (@server::text = '' OR server = @server)
    AND (@tool::text = '' OR tool = @tool)
    AND (@decision::text = '' OR decision = @decision)
    AND (@outcome::text = '' OR coalesce(outcome, 'running') = @outcome)
    AND at >= @since AND at < @until
    AND (sqlc.narg(before_at)::timestamptz IS NULL
        OR (at, id) < (sqlc.narg(before_at)::timestamptz, sqlc.narg(before_id)::bytea))
ORDER BY at DESC, id DESC
LIMIT @row_limit;

-- name: GetAuditCall :one
-- One recorded call, to be explained by the policy of then and of now.
SELECT id, at, node, user_name, application, key_id, client_name, client_version, remote_address, protocol_version,
    method, server, tool, risk, definition_hash, decision, rule, reason, revision, arguments_digest, request_bytes,
    trace_id, suppressed, outcome, error, latency_us, server_latency_us, response_bytes, settled, roles, groups, issuer,
    token_id
FROM audit_call
WHERE id = @id;

-- name: AuditHorizon :one
-- The oldest transaction that still runs: every outcome of an earlier one is
-- committed and visible, or never will be.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint;

-- name: TailAuditCalls :many
-- Calls that got their outcome after a position and before the horizon, in the
-- order of their positions (settled, id).
SELECT id, at, node, user_name, application, key_id, client_name, client_version, remote_address, protocol_version,
    method, server, tool, risk, definition_hash, decision, rule, reason, revision, arguments_digest, request_bytes,
    trace_id, suppressed, outcome, error, latency_us, server_latency_us, response_bytes, settled, roles, groups, issuer,
    token_id
FROM audit_call
WHERE settled IS NOT NULL
    AND (settled, id) > (@after_settled::bigint, @after_id::bytea)
    AND settled < @horizon::bigint
    AND (@user_name::text = '' OR user_name = @user_name)
    AND (@application::text = '' OR application = @application)
    AND (@server::text = '' OR server = @server)
    AND (@tool::text = '' OR tool = @tool)
    AND (@decision::text = '' OR decision = @decision)
    AND (@outcome::text = '' OR outcome = @outcome)
ORDER BY settled, id
LIMIT @row_limit;

-- name: RecentAuditCalls :many
-- What a tail shows first: the last calls that have an outcome and lie before
-- the horizon, newest first, by position.
SELECT id, at, node, user_name, application, key_id, client_name, client_version, remote_address, protocol_version,
    method, server, tool, risk, definition_hash, decision, rule, reason, revision, arguments_digest, request_bytes,
    trace_id, suppressed, outcome, error, latency_us, server_latency_us, response_bytes, settled, roles, groups, issuer,
    token_id
FROM audit_call
WHERE settled IS NOT NULL
    AND settled < @horizon::bigint
    AND (@user_name::text = '' OR user_name = @user_name)
    AND (@application::text = '' OR application = @application)
    AND (@server::text = '' OR server = @server)
    AND (@tool::text = '' OR tool = @tool)
    AND (@decision::text = '' OR decision = @decision)
    AND (@outcome::text = '' OR outcome = @outcome)
ORDER BY settled DESC, id DESC
LIMIT @row_limit;
