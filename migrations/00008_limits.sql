-- +goose Up

-- How often somebody asked in a window, which is a minute of the clock. Worth nothing after a crash of the database,
-- which takes longer than what it would cost to keep it.
CREATE UNLOGGED TABLE rate_limit (
    bucket  text        NOT NULL,
    subject text        NOT NULL, -- a user, or an address
    start   timestamptz NOT NULL,
    n       integer     NOT NULL,
    PRIMARY KEY (subject, bucket, start)
);
CREATE INDEX rate_limit_age ON rate_limit (start);

-- +goose Down
DROP TABLE rate_limit;
