-- +goose Up

-- The revision of configuration. One row; a transaction that changes
-- configuration takes its revision by updating the row as its last act, so that
-- the row lock makes revisions follow commit order: whoever has seen N has seen
-- everything below N.
CREATE TABLE config_revision (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- Identity of this history: another database is another epoch.
    epoch    uuid    NOT NULL DEFAULT gen_random_uuid(),
    revision bigint  NOT NULL DEFAULT 0 CHECK (revision >= 0)
);
INSERT INTO config_revision DEFAULT VALUES;

-- What changed at each revision. Readers use it to know that something changed;
-- what it is now they read from the tables.
CREATE TABLE config_change (
    revision bigint      NOT NULL CHECK (revision > 0),
    -- One transaction may change several things: their order within it, from 1.
    position integer     NOT NULL CHECK (position > 0),
    at       timestamptz NOT NULL DEFAULT now(),
    -- For example "server.add".
    action   text        NOT NULL CHECK (action <> ''),
    target   text        NOT NULL,
    PRIMARY KEY (revision, position)
);

-- What administrators did. Written in the transaction that did it.
CREATE TABLE admin_audit (
    id       bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at       timestamptz NOT NULL DEFAULT now(),
    actor    text        NOT NULL CHECK (actor <> ''),
    action   text        NOT NULL CHECK (action <> ''),
    target   text        NOT NULL,
    -- Null where nodes are not concerned.
    revision bigint      CHECK (revision > 0),
    -- Never a secret.
    detail   jsonb       NOT NULL DEFAULT '{}'
);

-- Secrets of the installation itself, sealed: the pepper of API keys, the
-- digest key, the signing key of snapshots, the key of the authority.
CREATE TABLE instance_secret (
    name   text  PRIMARY KEY,
    sealed bytea NOT NULL,
    -- What may be known of it, for example a certificate in PEM.
    public bytea
);

CREATE TABLE users (
    id            bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name          text        NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._@+-]{0,127}$'),
    -- argon2id in PHC form; null: cannot sign in with a password.
    password_hash text        CHECK (password_hash LIKE '$argon2id$%'),
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE role (
    name        text    PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_-]{0,63}$'),
    built_in    boolean NOT NULL DEFAULT false,
    description text    NOT NULL DEFAULT ''
);

CREATE TABLE role_grant (
    id    bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    role  text   NOT NULL REFERENCES role (name) ON DELETE CASCADE,
    -- Globs on "server/tool"; empty: any.
    tools text[] NOT NULL DEFAULT '{}',
    -- Risk categories; empty: any.
    risks text[] NOT NULL DEFAULT '{}'
        CHECK (risks <@ ARRAY ['read', 'write', 'destructive', 'admin', 'execute', 'external', 'unclassified'])
);
CREATE INDEX role_grant_role ON role_grant (role);

CREATE TABLE user_role (
    user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role    text   NOT NULL REFERENCES role (name),
    PRIMARY KEY (user_id, role)
);

INSERT INTO role (name, built_in, description) VALUES
    ('viewer', true, 'Sees everything in the administration; may call tools that read.'),
    ('operator', true, 'Manages servers, tools, keys and policy; may call tools that read or write.'),
    ('owner', true, 'Manages everything; may call every tool.');
INSERT INTO role_grant (role, risks) VALUES
    ('viewer', '{read}'),
    ('operator', '{read,write}'),
    ('owner', '{}');

CREATE TABLE application (
    name       text        PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_key (
    -- The public part of the key.
    id          text        PRIMARY KEY CHECK (id ~ '^[a-z0-9]{12}$'),
    -- HMAC-SHA-256 under the pepper; the secret itself is nowhere.
    hash        bytea       NOT NULL CHECK (octet_length(hash) = 32),
    user_id     bigint      NOT NULL REFERENCES users (id),
    application text        NOT NULL REFERENCES application (name),
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  text        NOT NULL,
    expires_at  timestamptz CHECK (expires_at > created_at),
    revoked_at  timestamptz,
    revoked_by  text,
    revoked_reason text,
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
CREATE INDEX api_key_user ON api_key (user_id);

-- The deny overlay: revocations, applied by nodes ahead of everything else. A
-- row that has expired goes away by a change of its own, so that the same rows
-- give the same snapshot at whatever time they are read.
CREATE TABLE deny (
    kind       text        NOT NULL CHECK (kind IN ('key', 'user', 'application', 'server', 'tool', 'all')),
    -- The key id, user, application, server, or "server/tool"; empty for all.
    name       text        NOT NULL CHECK ((name = '') = (kind = 'all')),
    reason     text        NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text        NOT NULL CHECK (created_by <> ''),
    -- Null: until somebody takes it away.
    expires_at timestamptz CHECK (expires_at > created_at),
    PRIMARY KEY (kind, name)
);

CREATE TABLE server (
    id               bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- The slug.
    name             text        NOT NULL UNIQUE CHECK (name ~ '^[a-z][a-z0-9-]{0,19}$'),
    url              text        NOT NULL CHECK (url ~ '^https?://'),
    private          boolean     NOT NULL DEFAULT false,
    -- Names and values of headers, one sealed message; null: none.
    headers_sealed   bytea,
    -- The names alone, for people to see.
    header_names     text[]      NOT NULL DEFAULT '{}',
    protocol_version text        NOT NULL DEFAULT '',
    instructions     text        NOT NULL DEFAULT '',
    last_error       text        NOT NULL DEFAULT '',
    created_at       timestamptz NOT NULL DEFAULT now(),
    discovered_at    timestamptz
);

-- Definitions by content: what was ever offered stays readable, also for audit.
CREATE TABLE tool_definition (
    -- SHA-256 of the canonical form.
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    -- The bytes as the server sent them first.
    definition bytea NOT NULL
);

CREATE TABLE tool (
    id            bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    server_id     bigint      NOT NULL REFERENCES server (id) ON DELETE CASCADE,
    name          text        NOT NULL CHECK (name <> ''),
    exposed_name  text        NOT NULL UNIQUE CHECK (exposed_name ~ '^[A-Za-z0-9_-]{1,64}$'),
    state         text        NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'approved', 'changed', 'rejected')),
    -- A switch apart from the state; discovery never touches it.
    disabled      boolean     NOT NULL DEFAULT false,
    -- Not in the server's last list.
    missing       boolean     NOT NULL DEFAULT false,
    risk          text        NOT NULL
        CHECK (risk IN ('read', 'write', 'destructive', 'admin', 'execute', 'external', 'unclassified')),
    -- What the server offers now.
    offered_hash  bytea       NOT NULL REFERENCES tool_definition (hash),
    -- What a person approved.
    approved_hash bytea       REFERENCES tool_definition (hash),
    position      integer     NOT NULL DEFAULT 0,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (server_id, name),
    -- An approved tool is exactly what was approved; anything else is changed.
    CHECK (state <> 'approved' OR approved_hash = offered_hash),
    CHECK (state <> 'changed' OR approved_hash IS NOT NULL)
);

-- Who decided what about a tool. Append only.
CREATE TABLE tool_verdict (
    id       bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    tool_id  bigint      NOT NULL REFERENCES tool (id) ON DELETE CASCADE,
    at       timestamptz NOT NULL DEFAULT now(),
    actor    text        NOT NULL CHECK (actor <> ''),
    verdict  text        NOT NULL CHECK (verdict IN ('approved', 'rejected', 'disabled', 'enabled')),
    hash     bytea       NOT NULL REFERENCES tool_definition (hash),
    reason   text        NOT NULL DEFAULT ''
);
CREATE INDEX tool_verdict_tool ON tool_verdict (tool_id, id DESC);

-- The policy document, every version. The highest version is in force.
CREATE TABLE policy_version (
    version    bigint      PRIMARY KEY CHECK (version > 0),
    document   text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text        NOT NULL CHECK (created_by <> '')
);

-- Sessions of people in the administration.
CREATE TABLE login_session (
    -- SHA-256 of the cookie's value; the value itself is nowhere.
    hash       bytea       PRIMARY KEY CHECK (octet_length(hash) = 32),
    user_id    bigint      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at)
);

CREATE TABLE node (
    name         text        PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9-]{0,62}$'),
    -- The stream that it has, "replica/stream"; empty: none.
    connected_to text        NOT NULL DEFAULT '',
    revision     bigint      NOT NULL DEFAULT 0,
    refusal      text        NOT NULL DEFAULT '',
    version      text        NOT NULL DEFAULT '',
    address      text        NOT NULL DEFAULT '',
    seen_at      timestamptz NOT NULL DEFAULT now()
);

-- The ledger: records exactly as nodes sent them. The key makes intake
-- idempotent. Append only.
CREATE TABLE audit_record (
    node        text        NOT NULL,
    -- A random 64-bit number, stored as its two's complement.
    epoch       bigint      NOT NULL,
    sequence    bigint      NOT NULL CHECK (sequence > 0),
    event       bytea       NOT NULL,
    hash        bytea       NOT NULL CHECK (octet_length(hash) = 32),
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node, epoch, sequence)
);

-- How far each node's queue has come: the last record committed and its hash.
-- Intake locks the row, so that one batch of an epoch follows another, what came
-- before is known to be a duplicate, and the chain goes on where it ended. A
-- node whose records were cut off or forked cannot hide it from this row.
CREATE TABLE audit_head (
    node       text        NOT NULL,
    epoch      bigint      NOT NULL,
    sequence   bigint      NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    -- Null before the first record.
    hash       bytea       CHECK (octet_length(hash) = 32),
    started_at timestamptz NOT NULL DEFAULT now(),
    -- A later epoch of the node took over: this one gets no results any more.
    ended_at   timestamptz,
    PRIMARY KEY (node, epoch),
    CHECK ((hash IS NULL) = (sequence = 0))
);

-- One row a call, derived from its records: the intent or the refusal makes it,
-- the result completes it.
CREATE TABLE audit_call (
    -- Random, given by the node.
    id               bytea       PRIMARY KEY CHECK (octet_length(id) = 16),
    at               timestamptz NOT NULL,
    node             text        NOT NULL,
    epoch            bigint      NOT NULL,
    user_name        text        NOT NULL,
    application      text        NOT NULL,
    key_id           text        NOT NULL,
    client_name      text        NOT NULL,
    client_version   text        NOT NULL,
    remote_address   text        NOT NULL,
    protocol_version text        NOT NULL,
    method           text        NOT NULL,
    server           text        NOT NULL,
    tool             text        NOT NULL,
    risk             text        NOT NULL,
    definition_hash  bytea,
    decision         text        NOT NULL CHECK (decision IN ('allow', 'deny')),
    rule             text        NOT NULL,
    reason           text        NOT NULL,
    revision         bigint      NOT NULL,
    arguments_digest bytea,
    request_bytes    bigint      NOT NULL DEFAULT 0,
    trace_id         text        NOT NULL DEFAULT '',
    suppressed       bigint      NOT NULL DEFAULT 0,
    -- Null until the result came.
    outcome          text        CHECK (outcome IN ('ok', 'tool_error', 'protocol_error', 'server_failed', 'cancelled', 'refused', 'unknown')),
    error            text        NOT NULL DEFAULT '',
    latency_us       bigint      CHECK (latency_us >= 0),
    server_latency_us bigint     CHECK (server_latency_us >= 0),
    response_bytes   bigint      NOT NULL DEFAULT 0,
    -- When the outcome was committed; null while there is none.
    completed_at     timestamptz,
    -- The transaction that gave the outcome. A tail reads only what is below
    -- the oldest transaction that still runs, in this order: so it misses no row
    -- of a transaction that commits late. Means nothing in another cluster.
    settled          bigint,
    CHECK ((outcome IS NULL) = (settled IS NULL)),
    CHECK ((outcome IS NULL) = (completed_at IS NULL))
);
CREATE INDEX audit_call_settled ON audit_call (settled, id) WHERE settled IS NOT NULL;
CREATE INDEX audit_call_running ON audit_call (node, epoch) WHERE settled IS NULL;
CREATE INDEX audit_call_at ON audit_call (at DESC, id DESC);
CREATE INDEX audit_call_user ON audit_call (user_name, at DESC);
CREATE INDEX audit_call_tool ON audit_call (server, tool, at DESC);

-- +goose Down
DROP TABLE audit_call, audit_head, audit_record, node, login_session, policy_version, tool_verdict, tool, tool_definition,
    server, deny, api_key, application, user_role, role_grant, role, users, instance_secret, admin_audit, config_change,
    config_revision;
