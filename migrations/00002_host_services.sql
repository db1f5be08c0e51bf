-- +goose Up

-- What blocks keep by key. id is the digest of scope, plugin, graph, node and key, so that the primary key has one
-- size. Keys of an agent have an empty node_id, those of the user an empty graph_id too. size is what counts against the
-- user's limit, and lies in the index for it. value is JSON as it was sent; text, since jsonb rewrites values.
CREATE TABLE stored_key (
    user_id    text        NOT NULL,
    id         bytea       NOT NULL,
    plugin     text        NOT NULL,
    graph_id   text        NOT NULL,
    node_id    text        NOT NULL,
    key        text        NOT NULL,
    value      text        NOT NULL,
    size       integer     NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, id) INCLUDE (size)
);

-- What attempts of node executions have remembered for later ones, by the number of the call. Rows never change, and go
-- with their execution.
CREATE TABLE remembered (
    execution_id      uuid    NOT NULL,
    node_execution_id text    NOT NULL,
    nth               integer NOT NULL,
    value             text    NOT NULL,
    PRIMARY KEY (execution_id, node_execution_id, nth)
);

-- +goose Down
DROP TABLE remembered, stored_key;
