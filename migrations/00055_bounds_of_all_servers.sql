-- +goose Up

-- How many executions of its graph may run at once when this one begins, as its version of the graph says; null is no
-- bound of the graph's own. A claim counts what runs of the graph by execution_owned and execution_orphaned.
ALTER TABLE execution ADD COLUMN max_concurrent integer;
-- How long it may run from its start, which the journal has: so a server that takes it over ends it at the same time.
ALTER TABLE execution ADD COLUMN timeout_ms bigint;

-- +goose Down
ALTER TABLE execution DROP COLUMN timeout_ms;
ALTER TABLE execution DROP COLUMN max_concurrent;
