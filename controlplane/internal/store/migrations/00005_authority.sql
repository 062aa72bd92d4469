-- +goose Up

-- People: groups, switched off, and how they came.
ALTER TABLE users
    ADD COLUMN groups          text[]      NOT NULL DEFAULT '{}',
    ADD COLUMN disabled_at     timestamptz,
    ADD COLUMN disabled_by     text,
    ADD COLUMN disabled_reason text        NOT NULL DEFAULT '',
    -- For good; the name stays taken, so that the audit never speaks of two people
    -- by one name.
    ADD COLUMN removed_at      timestamptz,
    ADD COLUMN signed_in_at    timestamptz,
    -- The sign-on provider that made the user; empty: a person did.
    ADD COLUMN provider        text        NOT NULL DEFAULT '',
    ADD CONSTRAINT users_disabled_check CHECK ((disabled_at IS NULL) = (disabled_by IS NULL)),
    ADD CONSTRAINT users_removed_check CHECK (removed_at IS NULL OR disabled_at IS NOT NULL);

-- What holders of a role may do in the administration. Of built-in roles the
-- program knows it.
ALTER TABLE role ADD COLUMN permissions text[] NOT NULL DEFAULT '{}';
UPDATE role SET description = 'Manages servers, tools, keys and denials; may call tools that read or write.'
WHERE name = 'operator' AND built_in;

ALTER TABLE application
    ADD COLUMN disabled_at     timestamptz,
    ADD COLUMN disabled_by     text,
    ADD COLUMN disabled_reason text NOT NULL DEFAULT '',
    ADD CONSTRAINT application_disabled_check CHECK ((disabled_at IS NULL) = (disabled_by IS NULL));

ALTER TABLE api_key
    -- Slugs of the servers that the key is good for; none: all.
    ADD COLUMN servers      text[] NOT NULL DEFAULT '{}',
    -- To the minute, from the ledger; null: never.
    ADD COLUMN last_used_at timestamptz,
    -- The key that took over by rotation.
    ADD COLUMN successor    text REFERENCES api_key (id);

ALTER TABLE login_session
    -- Names the session for people; says nothing of its cookie.
    ADD COLUMN id         text NOT NULL DEFAULT encode(sha256(gen_random_uuid()::text::bytea), 'hex') UNIQUE,
    ADD COLUMN address    text NOT NULL DEFAULT '',
    ADD COLUMN user_agent text NOT NULL DEFAULT '',
    -- "password", or the name of a provider.
    ADD COLUMN method     text NOT NULL DEFAULT 'password';
CREATE INDEX login_session_user ON login_session (user_id);

-- Who may sign the tokens of MCP clients.
CREATE TABLE issuer (
    name              text        PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9-]{0,63}$'),
    -- The claim iss, exactly.
    url               text        NOT NULL UNIQUE CHECK (url ~ '^https?://'),
    audiences         text[]      NOT NULL DEFAULT '{}',
    jwks_url          text        NOT NULL CHECK (jwks_url ~ '^https?://'),
    algorithms        text[]      NOT NULL CHECK (cardinality(algorithms) > 0),
    user_claim        text        NOT NULL CHECK (user_claim <> ''),
    groups_claim      text        NOT NULL DEFAULT '',
    application_claim text        NOT NULL DEFAULT '',
    user_prefix       text        NOT NULL DEFAULT '',
    private           boolean     NOT NULL DEFAULT false,
    ca_certificates   text        NOT NULL DEFAULT '',
    scopes            text[]      NOT NULL DEFAULT '{}',
    created_at        timestamptz NOT NULL DEFAULT now()
);

-- Roles of who has a group by his token.
CREATE TABLE issuer_group_role (
    issuer     text NOT NULL REFERENCES issuer (name) ON DELETE CASCADE,
    group_name text NOT NULL CHECK (group_name <> ''),
    role       text NOT NULL REFERENCES role (name),
    PRIMARY KEY (issuer, group_name, role)
);

-- OpenID providers by which people sign in to the administration.
CREATE TABLE provider (
    name                 text        PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9-]{0,63}$'),
    title                text        NOT NULL DEFAULT '',
    url                  text        NOT NULL UNIQUE CHECK (url ~ '^https?://'),
    client_id            text        NOT NULL CHECK (client_id <> ''),
    -- Under the key-encryption key; null: a public client.
    client_secret_sealed bytea,
    scopes               text[]      NOT NULL DEFAULT '{}',
    user_claim           text        NOT NULL DEFAULT '',
    groups_claim         text        NOT NULL DEFAULT '',
    private              boolean     NOT NULL DEFAULT false,
    ca_certificates      text        NOT NULL DEFAULT '',
    created_at           timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE provider_group_role (
    provider   text NOT NULL REFERENCES provider (name) ON DELETE CASCADE,
    group_name text NOT NULL CHECK (group_name <> ''),
    role       text NOT NULL REFERENCES role (name),
    PRIMARY KEY (provider, group_name, role)
);

-- Who somebody is at a provider. A name at another provider is another person,
-- even if it reads the same.
CREATE TABLE provider_subject (
    provider text   NOT NULL REFERENCES provider (name) ON DELETE CASCADE,
    -- The claim sub, which a provider never gives twice.
    subject  text   NOT NULL CHECK (subject <> ''),
    user_id  bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (provider, subject)
);

-- States of sign-ins that came back from a provider, so that none comes twice,
-- whichever replica it comes to.
CREATE TABLE sign_on_spent (
    state_hash bytea       PRIMARY KEY CHECK (octet_length(state_hash) = 32),
    -- Until then the state itself is good.
    expires_at timestamptz NOT NULL
);
CREATE INDEX sign_on_spent_expires ON sign_on_spent (expires_at);

ALTER TABLE deny
    DROP CONSTRAINT deny_kind_check,
    ADD CONSTRAINT deny_kind_check CHECK (kind IN ('key', 'user', 'application', 'server', 'tool', 'all', 'token')),
    -- What it goes with: a person's denial is lifted by itself, the others only with
    -- their cause.
    ADD COLUMN cause text NOT NULL DEFAULT 'denial' CHECK (cause IN ('denial', 'revoked', 'disabled')),
    DROP CONSTRAINT deny_pkey,
    -- Each cause by itself: who is enabled again may still be denied by a person.
    ADD PRIMARY KEY (kind, name, cause);
UPDATE deny SET cause = 'revoked' WHERE kind = 'key';
CREATE INDEX deny_expires ON deny (expires_at) WHERE expires_at IS NOT NULL;

ALTER TABLE policy_version
    ADD COLUMN reason      text NOT NULL DEFAULT '',
    -- The version whose document this one brought back.
    ADD COLUMN rollback_of bigint REFERENCES policy_version (version);

ALTER TABLE entry
    -- The category is a person's, which discovery never touches.
    ADD COLUMN risk_set        boolean NOT NULL DEFAULT false,
    -- The version of the classifier that gave the category; empty: not known.
    ADD COLUMN risk_version    text    NOT NULL DEFAULT '',
    -- What the scanner found in what is offered now: an array of objects.
    ADD COLUMN findings        jsonb   NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(findings) = 'array'),
    -- The version of the scanner that looked; empty: none did yet.
    ADD COLUMN scanner_version text    NOT NULL DEFAULT '';
CREATE INDEX entry_assessed ON entry (scanner_version, risk_version);

-- What the server calls itself: a claim, whose change is an alert.
ALTER TABLE server ADD COLUMN claimed_name text NOT NULL DEFAULT '';

ALTER TABLE verdict
    DROP CONSTRAINT tool_verdict_verdict_check,
    ADD CONSTRAINT verdict_verdict_check CHECK (verdict IN ('approved', 'rejected', 'disabled', 'enabled', 'risk')),
    -- What the person had before him.
    ADD COLUMN findings        jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(findings) = 'array'),
    ADD COLUMN scanner_version text  NOT NULL DEFAULT '';

-- What an administrator should look at. One matter is one open row, however often
-- it happens.
CREATE TABLE alert (
    id        bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    kind      text        NOT NULL CHECK (kind <> ''),
    target    text        NOT NULL,
    text      text        NOT NULL,
    first_at  timestamptz NOT NULL DEFAULT now(),
    last_at   timestamptz NOT NULL DEFAULT now(),
    count     bigint      NOT NULL DEFAULT 1 CHECK (count > 0),
    closed_at timestamptz,
    closed_by text,
    CHECK ((closed_at IS NULL) = (closed_by IS NULL))
);
CREATE UNIQUE INDEX alert_open ON alert (kind, target) WHERE closed_at IS NULL;

ALTER TABLE audit_call
    -- Null: recorded before they were; an empty list is a caller without roles.
    ADD COLUMN roles    text[],
    ADD COLUMN groups   text[] NOT NULL DEFAULT '{}',
    ADD COLUMN issuer   text   NOT NULL DEFAULT '',
    ADD COLUMN token_id text   NOT NULL DEFAULT '';
CREATE INDEX audit_call_key ON audit_call (key_id, at DESC) WHERE key_id <> '';

-- +goose Down
DROP INDEX audit_call_key;
ALTER TABLE audit_call DROP COLUMN roles, DROP COLUMN groups, DROP COLUMN issuer, DROP COLUMN token_id;
DROP TABLE alert;
DELETE FROM verdict WHERE verdict = 'risk';
ALTER TABLE verdict
    DROP COLUMN findings, DROP COLUMN scanner_version,
    DROP CONSTRAINT verdict_verdict_check,
    ADD CONSTRAINT tool_verdict_verdict_check CHECK (verdict IN ('approved', 'rejected', 'disabled', 'enabled'));
ALTER TABLE server DROP COLUMN claimed_name;
ALTER TABLE entry DROP COLUMN risk_set, DROP COLUMN risk_version, DROP COLUMN findings, DROP COLUMN scanner_version;
ALTER TABLE policy_version DROP COLUMN reason, DROP COLUMN rollback_of;
DELETE FROM deny WHERE kind = 'token';
-- One entry for each thing, the one that lasts longest.
DELETE FROM deny d WHERE EXISTS (
    SELECT 1 FROM deny o WHERE o.kind = d.kind AND o.name = d.name AND o.cause <> d.cause
        AND (coalesce(o.expires_at, 'infinity'), o.cause) > (coalesce(d.expires_at, 'infinity'), d.cause));
DROP INDEX deny_expires;
ALTER TABLE deny
    DROP CONSTRAINT deny_pkey,
    DROP COLUMN cause,
    ADD PRIMARY KEY (kind, name),
    DROP CONSTRAINT deny_kind_check,
    ADD CONSTRAINT deny_kind_check CHECK (kind IN ('key', 'user', 'application', 'server', 'tool', 'all'));
DROP TABLE sign_on_spent, provider_subject, provider_group_role, provider, issuer_group_role, issuer;
DROP INDEX login_session_user;
ALTER TABLE login_session DROP COLUMN id, DROP COLUMN address, DROP COLUMN user_agent, DROP COLUMN method;
ALTER TABLE api_key DROP COLUMN servers, DROP COLUMN last_used_at, DROP COLUMN successor;
ALTER TABLE application
    DROP CONSTRAINT application_disabled_check,
    DROP COLUMN disabled_at, DROP COLUMN disabled_by, DROP COLUMN disabled_reason;
ALTER TABLE role DROP COLUMN permissions;
UPDATE role SET description = 'Manages servers, tools, keys and policy; may call tools that read or write.'
WHERE name = 'operator' AND built_in;
-- Whoever is switched off must not come back by an older program: who is removed
-- or disabled loses keys, password and roles.
UPDATE api_key SET revoked_at = now(), revoked_by = '@downgrade'
WHERE revoked_at IS NULL AND user_id IN (SELECT id FROM users WHERE disabled_at IS NOT NULL);
UPDATE users SET password_hash = NULL WHERE disabled_at IS NOT NULL;
DELETE FROM user_role WHERE user_id IN (SELECT id FROM users WHERE disabled_at IS NOT NULL);
ALTER TABLE users
    DROP CONSTRAINT users_disabled_check, DROP CONSTRAINT users_removed_check,
    DROP COLUMN groups, DROP COLUMN disabled_at, DROP COLUMN disabled_by, DROP COLUMN disabled_reason,
    DROP COLUMN removed_at, DROP COLUMN signed_in_at, DROP COLUMN provider;
