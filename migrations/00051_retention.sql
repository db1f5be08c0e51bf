-- +goose Up

-- For how many days executions that have ended are kept, where that is not what the server says: of a user (graph_id is
-- zero), by an administrator, and of a user's executions of one graph, by the user. 0: for ever.
CREATE TABLE execution_retention (
    user_id  text    NOT NULL,
    graph_id uuid    NOT NULL,
    days     integer NOT NULL,
    PRIMARY KEY (user_id, graph_id)
);

-- Whose turn it is to tidy the history up, one server's at a time; nobody's when the time is up.
CREATE TABLE history_turn (
    server_id uuid,
    until     timestamptz NOT NULL,
    sole      boolean PRIMARY KEY DEFAULT true CHECK (sole)
);
INSERT INTO history_turn (until) VALUES (now());

-- +goose Down
DROP TABLE history_turn, execution_retention;
