-- +goose Up

-- Who holds a key until its execution is accepted: the server, and the epoch of its lease under which the execution is
-- to be committed. Null in rows of the version before.
ALTER TABLE idempotency_key ADD COLUMN server_id uuid, ADD COLUMN epoch bigint;

-- +goose Down
ALTER TABLE idempotency_key DROP COLUMN epoch, DROP COLUMN server_id;
