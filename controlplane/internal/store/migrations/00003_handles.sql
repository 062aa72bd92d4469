-- +goose Up

-- The keys that seal what clients carry: session ids, cursors, request states.
CREATE TABLE seal_key (
    -- Random; says nothing of the key.
    name       text        PRIMARY KEY CHECK (name ~ '^[0-9a-f]{16}$'),
    -- Under the key-encryption key.
    sealed     bytea       NOT NULL,
    -- From when on it seals: of those whose time has come, the latest does.
    seals_from timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Sessions that clients ended before their time. Whoever holds one's id may not
-- use it any more, at no node; once it would have expired, it is forgotten.
CREATE TABLE ended_session (
    id         bytea       PRIMARY KEY CHECK (octet_length(id) = 16),
    -- Follows the order of commits: all that insert take a lock first. Who has
    -- seen N has seen all below it.
    sequence   bigint      NOT NULL UNIQUE GENERATED ALWAYS AS IDENTITY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX ended_session_expires ON ended_session (expires_at);

-- +goose Down
DROP TABLE ended_session, seal_key;
