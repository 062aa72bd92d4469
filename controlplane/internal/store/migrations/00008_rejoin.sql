-- +goose Up

-- Which certificates of a peer are exchanged for another, by their keys: SHA-256 of the
-- public key, in hex.
ALTER TABLE agent
    -- Of the newest certificate. Empty: of before there was this column; it joins anew.
    ADD COLUMN key         text NOT NULL DEFAULT '' CHECK (key ~ '^([0-9a-f]{64})?$'),
    -- Of the one that was exchanged for it, until the newest was seen in use: the peer
    -- may never have got that. Empty: none.
    ADD COLUMN key_before  text NOT NULL DEFAULT '' CHECK (key_before ~ '^([0-9a-f]{64})?$'),
    -- Of the last one that came and was neither: each is audited once.
    ADD COLUMN key_refused text NOT NULL DEFAULT '' CHECK (key_refused ~ '^([0-9a-f]{64})?$');
ALTER TABLE node
    ADD COLUMN key         text NOT NULL DEFAULT '' CHECK (key ~ '^([0-9a-f]{64})?$'),
    ADD COLUMN key_before  text NOT NULL DEFAULT '' CHECK (key_before ~ '^([0-9a-f]{64})?$'),
    ADD COLUMN key_refused text NOT NULL DEFAULT '' CHECK (key_refused ~ '^([0-9a-f]{64})?$');

-- Authorities that nobody trusts any more, without their keys: to know the certificates
-- of peers that slept meanwhile.
CREATE TABLE past_authority (
    fingerprint text        PRIMARY KEY CHECK (fingerprint ~ '^[0-9a-f]{64}$'),
    -- DER.
    certificate bytea       NOT NULL,
    retired_at  timestamptz NOT NULL
);

-- +goose Down
DROP TABLE past_authority;
ALTER TABLE node DROP COLUMN key, DROP COLUMN key_before, DROP COLUMN key_refused;
ALTER TABLE agent DROP COLUMN key, DROP COLUMN key_before, DROP COLUMN key_refused;
