-- +goose Up

-- The journal, anew: rows of one execution that are committed together lie in one row of the table, a segment, so that
-- a chain of ten nodes costs an index entry and not ten. No release had the former table; what development servers
-- recorded in it goes.
TRUNCATE execution, execution_count, execution_delta, execution_by_other, value, remembered, idempotency_key;
DROP TABLE journal;

-- Segments, append-only. pos and seq are those of the last row in it, and the rows before it have the numbers before.
-- The events of the execution up to seq stand in the segments up to this one. page is what the numbers of its node
-- executions, each divided by 64, have in common. queued, completed and failed count what happened in it to node
-- executions. body is what core/execution/journal's message Segment says, after a byte that tells how it is packed.
CREATE TABLE journal (
    execution_id uuid    NOT NULL,
    pos          integer NOT NULL,
    seq          bigint  NOT NULL,
    page         integer NOT NULL,
    queued       integer NOT NULL,
    completed    integer NOT NULL,
    failed       integer NOT NULL,
    is_output    boolean NOT NULL, -- a row of an output node is in it
    body         bytea   NOT NULL,
    PRIMARY KEY (execution_id, pos)
) WITH (toast_tuple_target = 8160);
ALTER TABLE journal ALTER COLUMN body SET STORAGE EXTERNAL; -- it is packed already
CREATE INDEX journal_by_page ON journal (execution_id, page, pos);
CREATE INDEX journal_outputs ON journal (execution_id, pos) WHERE is_output;

-- +goose Down
TRUNCATE execution, execution_count, execution_delta, execution_by_other, value, remembered, idempotency_key;
DROP TABLE journal;
CREATE TABLE journal (
    execution_id   uuid    NOT NULL,
    pos            integer NOT NULL,
    seq            bigint  NOT NULL,
    events         integer NOT NULL,
    kind           smallint NOT NULL,
    node_execution integer NOT NULL,
    status         smallint NOT NULL,
    is_output      boolean NOT NULL,
    at             timestamptz NOT NULL,
    step           bytea   NOT NULL,
    PRIMARY KEY (execution_id, pos)
);
CREATE INDEX journal_by_node_execution ON journal (execution_id, node_execution, pos);
CREATE INDEX journal_outputs ON journal (execution_id, pos) WHERE is_output;
