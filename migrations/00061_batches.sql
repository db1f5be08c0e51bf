-- +goose Up

-- What a batch writes: one array of each of these is a parameter of its statement. An array for each column would be as
-- many function scans, which cost more than the rows. A server of the version before writes by the types of its own, so
-- another shape gets another type.

-- A row of journal. Its body is the part of another parameter, from first on (the first byte is 1), length bytes long.
CREATE TYPE batch_segment AS (
    execution_id uuid,
    pos          integer,
    seq          bigint,
    page         integer,
    queued       integer,
    completed    integer,
    failed       integer,
    is_output    boolean,
    first        integer,
    length       integer
);
-- A row of execution, as it is from now on; first and length tell its inputs. by_other says that it goes into
-- execution_by_other too.
CREATE TYPE batch_execution AS (
    id                    uuid,
    root_id               uuid,
    parent_id             uuid,
    parent_node_execution integer,
    user_id               text,
    graph_id              uuid,
    graph_version         integer,
    plan_id               bytea,
    first                 integer,
    length                integer,
    created_at            timestamptz,
    status                text,
    started_at            timestamptz,
    ended_at              timestamptz,
    total_nodes           integer,
    completed_nodes       integer,
    failed_nodes          integer,
    error_message         text,
    error_node_id         text,
    retry_of              uuid,
    retry_from            text,
    credentials           text,
    priority              smallint,
    owner                 uuid,
    max_concurrent        integer,
    timeout_ms            bigint,
    by_other              boolean
);
-- A row of execution_delta.
CREATE TYPE batch_count AS (
    user_id  text,
    graph_id uuid,
    nested   boolean,
    day      date,
    status   text,
    n        integer
);

-- +goose Down
DROP TYPE batch_count, batch_execution, batch_segment;
