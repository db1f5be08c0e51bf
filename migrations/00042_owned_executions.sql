-- +goose Up

-- What each server owns and has not ended. What nobody owns lies in execution_waiting and execution_orphaned alone.
DROP INDEX execution_unfinished;
CREATE INDEX execution_owned ON execution (owner, created_at) WHERE owner IS NOT NULL AND ended_at IS NULL AND parent_id IS NULL;
-- The collation is not that of the other indexes, which cannot serve the queries that name it: a claim must never read
-- all that a user has ever executed, however little the database knows of how much waits.
DROP INDEX execution_waiting;
CREATE INDEX execution_waiting ON execution (user_id COLLATE "C", priority DESC, created_at, id) INCLUDE (graph_id)
    WHERE owner IS NULL AND ended_at IS NULL AND parent_id IS NULL AND status = 'QUEUED';

-- +goose Down
DROP INDEX execution_waiting;
CREATE INDEX execution_waiting ON execution (user_id, priority DESC, created_at, id) INCLUDE (graph_id)
    WHERE owner IS NULL AND ended_at IS NULL AND parent_id IS NULL AND status = 'QUEUED';
DROP INDEX execution_owned;
CREATE INDEX execution_unfinished ON execution (owner, created_at) WHERE ended_at IS NULL AND parent_id IS NULL;
