-- +goose Up

-- Nodes to which an agent says that it has tunnels, of its report. What a node says of
-- an agent counts only where the agent says the same.
ALTER TABLE agent ADD COLUMN tunnels text[] NOT NULL DEFAULT '{}';
UPDATE agent SET tunnels = ARRAY(SELECT jsonb_path_query(report, '$.tunnels[*].node') #>> '{}');

-- +goose Down
ALTER TABLE agent DROP COLUMN tunnels;
