-- +goose Up

ALTER TABLE server
    -- Since when discovery fails, in whole or in part; null: the last one succeeded.
    ADD COLUMN failing_since timestamptz;
UPDATE server SET failing_since = checked_at WHERE last_error <> '';
ALTER TABLE server ADD CONSTRAINT server_failing_check CHECK ((failing_since IS NULL) = (last_error = ''));

-- +goose Down

ALTER TABLE server DROP COLUMN failing_since;
