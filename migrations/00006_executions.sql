-- +goose Up

-- retry_of is the execution whose outputs this one takes over, by what retry_from says: 'failure', 'start', or the id
-- of a node from which nothing is taken over.
ALTER TABLE execution ADD COLUMN retry_of uuid, ADD COLUMN retry_from text;
-- Executions that still read from the one that they retry: the latter must stay as long.
CREATE INDEX execution_retrying ON execution (retry_of) WHERE retry_of IS NOT NULL AND ended_at IS NULL;

-- Lists, newest first: one that is not simply all of a user's executions merges the ranges of each status. Nested
-- executions, of which there may be thousands behind one root, lie apart.
DROP INDEX execution_by_user;
DROP INDEX execution_by_graph;
DROP INDEX execution_by_parent;
CREATE INDEX execution_by_user ON execution (user_id, created_at DESC, id DESC) WHERE parent_id IS NULL;
CREATE INDEX execution_by_status ON execution (user_id, status, created_at DESC, id DESC) WHERE parent_id IS NULL;
CREATE INDEX execution_by_graph ON execution (user_id, graph_id, status, created_at DESC, id DESC) WHERE parent_id IS NULL;
CREATE INDEX execution_nested_by_user ON execution (user_id, status, created_at DESC, id DESC) WHERE parent_id IS NOT NULL;
CREATE INDEX execution_nested_by_graph ON execution (user_id, graph_id, status, created_at DESC, id DESC) WHERE parent_id IS NOT NULL;
CREATE INDEX execution_by_parent ON execution (parent_id, created_at DESC, id DESC) WHERE parent_id IS NOT NULL;
-- What of a tree is still to be run.
CREATE INDEX execution_nested_unfinished ON execution (root_id) WHERE ended_at IS NULL AND parent_id IS NOT NULL;

-- How many executions there are, exactly, together with execution_delta. Each row of the table execution is counted
-- twice: under its user and graph, and under its user alone (graph_id is zero). day is that of created_at in UTC.
CREATE TABLE execution_count (
    user_id  text    NOT NULL,
    graph_id uuid    NOT NULL,
    nested   boolean NOT NULL,
    day      date    NOT NULL,
    status   text    NOT NULL,
    n        bigint  NOT NULL,
    PRIMARY KEY (user_id, graph_id, nested, day, status)
) WITH (fillfactor = 70);

-- What is to be added to the counts. Whoever changes executions appends here in the same transaction, so that no two
-- wait for one row; a server folds it into the counts soon after.
CREATE TABLE execution_delta (
    user_id  text    NOT NULL,
    graph_id uuid    NOT NULL,
    nested   boolean NOT NULL,
    day      date    NOT NULL,
    status   text    NOT NULL,
    n        integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX execution_delta_by_user ON execution_delta (user_id, graph_id);

INSERT INTO execution_delta (user_id, graph_id, nested, day, status, n)
SELECT user_id, graph_id, parent_id IS NOT NULL, (created_at AT TIME ZONE 'UTC')::date, status, count(*)
FROM execution GROUP BY 1, 2, 3, 4, 5;

-- +goose Down
DROP TABLE execution_delta, execution_count;
DROP INDEX execution_nested_unfinished;
DROP INDEX execution_by_parent;
DROP INDEX execution_nested_by_graph;
DROP INDEX execution_nested_by_user;
DROP INDEX execution_by_graph;
DROP INDEX execution_by_status;
DROP INDEX execution_by_user;
CREATE INDEX execution_by_user ON execution (user_id, created_at DESC, id DESC);
CREATE INDEX execution_by_graph ON execution (user_id, graph_id, created_at DESC, id DESC);
CREATE INDEX execution_by_parent ON execution (parent_id) WHERE parent_id IS NOT NULL;
DROP INDEX execution_retrying;
ALTER TABLE execution DROP COLUMN retry_from, DROP COLUMN retry_of;
