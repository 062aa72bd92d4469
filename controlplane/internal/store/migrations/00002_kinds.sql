-- +goose Up

-- What a server offers is governed alike, whatever it is: tools, prompts,
-- resources, templates of resources, and the server's instructions.
ALTER TABLE tool RENAME TO entry;
ALTER TABLE tool_definition RENAME TO definition;
ALTER TABLE tool_verdict RENAME TO verdict;
ALTER TABLE verdict RENAME COLUMN tool_id TO entry_id;
ALTER TABLE definition RENAME COLUMN definition TO content;
ALTER INDEX tool_verdict_tool RENAME TO verdict_entry;

ALTER TABLE entry
    ADD COLUMN kind text NOT NULL DEFAULT 'tool'
        CHECK (kind IN ('tool', 'prompt', 'resource', 'template', 'instructions')),
    DROP CONSTRAINT tool_exposed_name_key,
    DROP CONSTRAINT tool_exposed_name_check,
    DROP CONSTRAINT tool_server_id_name_key,
    -- Of a resource the name is its URI, of a template its URI template.
    ADD CONSTRAINT entry_server_id_kind_name_key UNIQUE (server_id, kind, name),
    ADD CONSTRAINT entry_instructions_check CHECK (kind <> 'instructions' OR name = 'instructions'),
    -- Only tools and prompts have another name on the aggregate endpoint.
    ADD CONSTRAINT entry_exposed_name_check CHECK (
        CASE WHEN kind IN ('tool', 'prompt') THEN exposed_name ~ '^[A-Za-z0-9_-]{1,64}$' ELSE exposed_name = '' END);
ALTER TABLE entry ALTER COLUMN kind DROP DEFAULT;
CREATE UNIQUE INDEX entry_kind_exposed_name_key ON entry (kind, exposed_name) WHERE exposed_name <> '';

ALTER TABLE server
    -- Instructions are an entry now, since people approve them.
    DROP COLUMN instructions,
    -- The JSON object that the server declared, byte for byte; null: not known.
    ADD COLUMN capabilities bytea,
    -- PEM of the authorities that may sign for it; empty: those of the system.
    ADD COLUMN ca_certificates text NOT NULL DEFAULT '',
    -- 0: the bound of the node.
    ADD COLUMN call_timeout_ms bigint NOT NULL DEFAULT 0 CHECK (call_timeout_ms >= 0),
    ADD COLUMN max_in_flight integer NOT NULL DEFAULT 0 CHECK (max_in_flight >= 0),
    -- The last discovery succeeded but for what last_error says.
    ADD COLUMN partial boolean NOT NULL DEFAULT false,
    -- When a discovery was last begun, whatever came of it: replicas take turns by
    -- it.
    ADD COLUMN checked_at timestamptz NOT NULL DEFAULT now();

ALTER TABLE role_grant
    -- Globs on "server/prompt" and on "server/uri". Globs of one kind only say
    -- nothing of the other kinds.
    ADD COLUMN prompts text[] NOT NULL DEFAULT '{}',
    ADD COLUMN resources text[] NOT NULL DEFAULT '{}';

UPDATE role SET description = 'Sees everything in the administration; may use what reads.' WHERE name = 'viewer' AND built_in;
UPDATE role SET description = 'Manages servers, what they offer, keys and policy; may use what reads or writes.'
WHERE name = 'operator' AND built_in;
UPDATE role SET description = 'Manages everything; may use everything.' WHERE name = 'owner' AND built_in;

ALTER TABLE audit_call
    DROP CONSTRAINT audit_call_outcome_check,
    ADD CONSTRAINT audit_call_outcome_check CHECK (outcome IN ('ok', 'tool_error', 'protocol_error', 'server_failed',
        'cancelled', 'refused', 'input_required', 'unknown'));

-- +goose Down
-- What the older schema cannot say is taken away, or said as nearly as it can.
UPDATE audit_call SET outcome = 'unknown' WHERE outcome = 'input_required';
ALTER TABLE audit_call
    DROP CONSTRAINT audit_call_outcome_check,
    ADD CONSTRAINT audit_call_outcome_check CHECK (outcome IN ('ok', 'tool_error', 'protocol_error', 'server_failed',
        'cancelled', 'refused', 'unknown'));

-- A grant without any glob grants everything: one of prompts or resources only
-- must not become one.
DELETE FROM role_grant WHERE tools = '{}' AND (prompts <> '{}' OR resources <> '{}');
ALTER TABLE role_grant DROP COLUMN prompts, DROP COLUMN resources;

ALTER TABLE server
    DROP COLUMN capabilities, DROP COLUMN ca_certificates, DROP COLUMN call_timeout_ms, DROP COLUMN max_in_flight,
    DROP COLUMN partial, DROP COLUMN checked_at,
    ADD COLUMN instructions text NOT NULL DEFAULT '';

DELETE FROM entry WHERE kind <> 'tool';
DROP INDEX entry_kind_exposed_name_key;
ALTER TABLE entry
    DROP CONSTRAINT entry_server_id_kind_name_key,
    DROP CONSTRAINT entry_instructions_check,
    DROP CONSTRAINT entry_exposed_name_check,
    DROP COLUMN kind,
    ADD CONSTRAINT tool_exposed_name_key UNIQUE (exposed_name),
    ADD CONSTRAINT tool_exposed_name_check CHECK (exposed_name ~ '^[A-Za-z0-9_-]{1,64}$'),
    ADD CONSTRAINT tool_server_id_name_key UNIQUE (server_id, name);
ALTER INDEX verdict_entry RENAME TO tool_verdict_tool;
ALTER TABLE definition RENAME COLUMN content TO definition;
ALTER TABLE verdict RENAME COLUMN entry_id TO tool_id;
ALTER TABLE verdict RENAME TO tool_verdict;
ALTER TABLE definition RENAME TO tool_definition;
ALTER TABLE entry RENAME TO tool;
