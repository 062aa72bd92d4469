-- +goose Up

-- Who signs the certificates of nodes, agents and the control plane. Usually one;
-- during a rotation two, both of which everybody trusts.
CREATE TABLE authority (
    -- SHA-256 of its public key, in hex.
    fingerprint text        PRIMARY KEY CHECK (fingerprint ~ '^[0-9a-f]{64}$'),
    -- DER.
    certificate bytea       NOT NULL,
    -- The key, under the key-encryption key.
    sealed      bytea       NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL CHECK (expires_at > created_at),
    -- Of those whose time has come, the latest signs.
    signs_from  timestamptz NOT NULL,
    -- When nothing that it signed is good any more, and it is forgotten; null: no
    -- other follows it yet.
    retires_at  timestamptz CHECK (retires_at > signs_from)
);
-- The authority before signed certificates of ninety days. None is good any more:
-- nodes join.
DELETE FROM instance_secret WHERE name = 'authority';

-- What lets one peer in, once.
CREATE TABLE join_token (
    -- Names the token for people; says nothing of its secret.
    id         text        PRIMARY KEY CHECK (id ~ '^[0-9a-f]{16}$'),
    -- SHA-256 of the secret, which is 32 random bytes.
    hash       bytea       NOT NULL CHECK (octet_length(hash) = 32),
    kind       text        NOT NULL CHECK (kind IN ('node', 'agent')),
    name       text        NOT NULL CHECK (name ~ '^[a-z][a-z0-9-]{0,62}$'),
    region     text        NOT NULL CHECK (region ~ '^[a-z0-9-]{0,63}$'),
    created_by text        NOT NULL CHECK (created_by <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    revoked_at timestamptz,
    CHECK (expires_at > created_at AND expires_at <= created_at + interval '15 minutes'),
    CHECK (used_at IS NULL OR revoked_at IS NULL)
);
CREATE INDEX join_token_created ON join_token (created_at);

-- Agents that were ever let in.
CREATE TABLE agent (
    name         text        PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9-]{0,62}$'),
    region       text        NOT NULL DEFAULT '' CHECK (region ~ '^[a-z0-9-]{0,63}$'),
    -- Null: it may connect. A new join token makes it null again.
    revoked_at   timestamptz,
    -- Certificates that were issued before are not good. To the second, as
    -- certificates are; always past the last revocation.
    valid_from   timestamptz NOT NULL DEFAULT date_trunc('second', clock_timestamp()),
    -- When it got its latest certificate.
    certified_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    version      text        NOT NULL DEFAULT '',
    -- GOOS/GOARCH.
    platform     text        NOT NULL DEFAULT '',
    -- What it said last of its servers and tunnels.
    report       jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(report) = 'object'),
    -- The stream that it has, "replica/stream"; empty: none.
    connected_to text        NOT NULL DEFAULT '',
    seen_at      timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE node
    ADD COLUMN region         text        NOT NULL DEFAULT '' CHECK (region ~ '^[a-z0-9-]{0,63}$'),
    -- Where agents and other nodes reach it, host:port; empty: nowhere.
    ADD COLUMN tunnel_address text        NOT NULL DEFAULT '',
    -- The rest as of agents.
    ADD COLUMN revoked_at     timestamptz,
    ADD COLUMN valid_from     timestamptz NOT NULL DEFAULT date_trunc('second', clock_timestamp()),
    ADD COLUMN certified_at   timestamptz NOT NULL DEFAULT clock_timestamp();

ALTER TABLE deny
    DROP CONSTRAINT deny_kind_check,
    ADD CONSTRAINT deny_kind_check
        CHECK (kind IN ('key', 'user', 'application', 'server', 'tool', 'all', 'token', 'agent', 'node')),
    -- Of an agent or a node: its certificates that were issued before are denied,
    -- and none that it gets by joining anew.
    ADD COLUMN issued_before timestamptz,
    ADD CONSTRAINT deny_issued_before_check CHECK ((issued_before IS NOT NULL) = (kind IN ('agent', 'node')));

-- Servers of agents: what the agent is told to run, or an HTTP server beside it, or
-- one that its own file declares (neither url nor command).
ALTER TABLE server
    -- An agent with servers is not removed.
    ADD COLUMN agent              text    REFERENCES agent (name),
    -- Program and arguments.
    ADD COLUMN command            text[]  NOT NULL DEFAULT '{}',
    -- Names and values, one sealed message; null: none.
    ADD COLUMN environment_sealed bytea,
    -- The names alone, for people to see.
    ADD COLUMN environment_names  text[]  NOT NULL DEFAULT '{}',
    ADD COLUMN directory          text    NOT NULL DEFAULT '',
    -- One process for all sessions; else one for each.
    ADD COLUMN shared             boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT server_url_check,
    ADD CONSTRAINT server_url_check CHECK (url ~ '^https?://' OR url = '' AND agent IS NOT NULL),
    ADD CONSTRAINT server_command_check CHECK (command = '{}' OR agent IS NOT NULL AND url = '' AND command[1] <> ''),
    ADD CONSTRAINT server_process_check CHECK
        (command <> '{}' OR environment_sealed IS NULL AND directory = '' AND NOT shared),
    ADD CONSTRAINT server_environment_check CHECK ((environment_sealed IS NULL) = (environment_names = '{}'));
CREATE INDEX server_agent ON server (agent) WHERE agent IS NOT NULL;

-- +goose Down
-- Older programs know no server without a URL.
DELETE FROM server WHERE agent IS NOT NULL;
DROP INDEX server_agent;
ALTER TABLE server
    DROP CONSTRAINT server_url_check,
    DROP COLUMN agent, DROP COLUMN command, DROP COLUMN environment_sealed, DROP COLUMN environment_names,
    DROP COLUMN directory, DROP COLUMN shared,
    ADD CONSTRAINT server_url_check CHECK (url ~ '^https?://');
DELETE FROM deny WHERE kind IN ('agent', 'node');
ALTER TABLE deny
    DROP COLUMN issued_before,
    DROP CONSTRAINT deny_kind_check,
    ADD CONSTRAINT deny_kind_check CHECK (kind IN ('key', 'user', 'application', 'server', 'tool', 'all', 'token'));
ALTER TABLE node
    DROP COLUMN region, DROP COLUMN tunnel_address, DROP COLUMN revoked_at, DROP COLUMN valid_from, DROP COLUMN certified_at;
DROP TABLE agent, join_token, authority;
