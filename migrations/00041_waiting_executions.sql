-- +goose Up

-- Executions that wait have no owner; a server with room takes them, higher priorities first.
ALTER TABLE execution ADD COLUMN priority smallint NOT NULL DEFAULT 0;
-- What waits, user by user: a claim looks at the first few of each. graph_id is there to leave out the agents of which
-- as many run as may.
CREATE INDEX execution_waiting ON execution (user_id, priority DESC, created_at, id) INCLUDE (graph_id)
    WHERE owner IS NULL AND ended_at IS NULL AND parent_id IS NULL AND status = 'QUEUED';
-- What began to run on a server that has died or stopped. It goes before all that waits.
CREATE INDEX execution_orphaned ON execution (created_at) WHERE owner IS NULL AND ended_at IS NULL AND parent_id IS NULL AND status = 'RUNNING';

-- +goose Down
DROP INDEX execution_orphaned;
DROP INDEX execution_waiting;
ALTER TABLE execution DROP COLUMN priority;
