-- +goose Up

-- Which agents have a tunnel to which node, as the nodes say.
CREATE TABLE attachment (
    node  text   NOT NULL REFERENCES node (name) ON DELETE CASCADE,
    agent text   NOT NULL CHECK (agent ~ '^[a-z][a-z0-9-]{0,62}$'),
    -- Its servers that are ready there.
    ready text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (node, agent)
);

-- How far all that says where nodes and agents are has come. One row, whose lock
-- puts writers into the order of their commits.
CREATE TABLE location_position (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    position bigint  NOT NULL
);
INSERT INTO location_position (position) VALUES (1);

-- It leaves: agents are to look for another node.
ALTER TABLE node ADD COLUMN draining boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE node DROP COLUMN draining;
DROP TABLE attachment, location_position;
