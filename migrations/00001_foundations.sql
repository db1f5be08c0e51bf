-- +goose Up

-- A graph and which of its versions is active. Versions never change once written.
CREATE TABLE graph (
    id             uuid PRIMARY KEY,
    user_id        text        NOT NULL,
    active_version integer     NOT NULL,
    latest_version integer     NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX graph_by_user ON graph (user_id, updated_at DESC, id);

-- document is the JSON of nodes and links as the client sent it; text, since jsonb rewrites values.
CREATE TABLE graph_version (
    graph_id    uuid        NOT NULL REFERENCES graph (id) ON DELETE CASCADE,
    version     integer     NOT NULL,
    name        text        NOT NULL,
    description text        NOT NULL,
    document    text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (graph_id, version)
);

-- One row a server. It is the fence of that server's writes: a batch commits only while its row still has the
-- epoch and the batch number that the server knows.
CREATE TABLE lease (
    server_id uuid PRIMARY KEY,
    epoch     bigint      NOT NULL,
    batch     bigint      NOT NULL,
    until     timestamptz NOT NULL
);

-- What an execution runs by, whatever happens to its graph or to plugins later: nodes, links and the pins, static
-- flags and traits of the blocks. Found by its digest.
CREATE TABLE execution_plan (
    id   bytea PRIMARY KEY,
    plan text NOT NULL
);

-- Executions. Everything that happens to one after its acceptance is in the journal; here is what lists show.
CREATE TABLE execution (
    id                    uuid PRIMARY KEY,
    root_id               uuid        NOT NULL,
    parent_id             uuid,
    parent_node_execution integer,
    user_id               text        NOT NULL,
    graph_id              uuid        NOT NULL,
    graph_version         integer     NOT NULL,
    plan_id               bytea       NOT NULL,
    status                text        NOT NULL,
    inputs                text        NOT NULL,
    created_at            timestamptz NOT NULL,
    started_at            timestamptz,
    ended_at              timestamptz,
    total_nodes           integer     NOT NULL DEFAULT 0,
    completed_nodes       integer     NOT NULL DEFAULT 0,
    failed_nodes          integer     NOT NULL DEFAULT 0,
    error_message         text,
    error_node_id         text,
    owner                 uuid,
    stop_requested        boolean     NOT NULL DEFAULT false,
    claims                integer     NOT NULL DEFAULT 0,
    claimed_at_pos        integer     NOT NULL DEFAULT 0
) WITH (fillfactor = 80);
CREATE INDEX execution_by_user ON execution (user_id, created_at DESC, id DESC);
CREATE INDEX execution_by_graph ON execution (user_id, graph_id, created_at DESC, id DESC);
CREATE INDEX execution_by_parent ON execution (parent_id) WHERE parent_id IS NOT NULL;
-- What a server looks through to claim, to recover and to find requests to stop.
CREATE INDEX execution_unfinished ON execution (owner, created_at) WHERE ended_at IS NULL AND parent_id IS NULL;
CREATE INDEX execution_stopping ON execution (root_id) WHERE stop_requested AND ended_at IS NULL;

-- One row a step of an execution, append-only. Events are part of it: the row stands for the events
-- seq-events+1 … seq. node_execution is the number in which node executions were queued, 0 for rows of the execution
-- itself. step is core/execution/journal's protobuf message.
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

-- Values too large to lie in the journal, by digest within one execution; written before the step that names them.
CREATE TABLE value (
    execution_id uuid  NOT NULL,
    digest       bytea NOT NULL,
    data         bytea NOT NULL,
    PRIMARY KEY (execution_id, digest)
);
ALTER TABLE value ALTER COLUMN data SET STORAGE EXTERNAL;

-- Idempotency keys of execute, kept for 24 hours. execution_id is null while the first request is in flight.
CREATE TABLE idempotency_key (
    user_id      text        NOT NULL,
    key          text        NOT NULL,
    request      bytea       NOT NULL,
    execution_id uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_key_age ON idempotency_key (created_at);

-- +goose Down
DROP TABLE idempotency_key, value, journal, execution, execution_plan, lease, graph_version, graph;
