-- +goose Up

-- Files of users. A row is there when the file is complete; content says which chunks are its bytes.
CREATE TABLE file (
    id           uuid PRIMARY KEY,
    user_id      text        NOT NULL,
    execution_id uuid,
    name         text        NOT NULL,
    media_type   text        NOT NULL,
    size         bigint      NOT NULL,
    sha256       bytea       NOT NULL,
    content      uuid        NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX file_by_user ON file (user_id, created_at DESC, id DESC);
-- What the sweeper looks through.
CREATE INDEX file_by_expiry ON file (expires_at, user_id);

-- The bytes, 256 KiB a row. They are mostly compressed already, so Postgres need not try.
CREATE TABLE file_chunk (
    content uuid    NOT NULL,
    n       integer NOT NULL,
    data    bytea   NOT NULL,
    PRIMARY KEY (content, n)
);
ALTER TABLE file_chunk ALTER COLUMN data SET STORAGE EXTERNAL;

-- Contents that are being written and belong to no file yet. Each chunk moves touched_at; one that nobody has touched
-- for long was left behind by a crash.
CREATE TABLE file_draft (
    content    uuid PRIMARY KEY,
    user_id    text        NOT NULL,
    size       bigint      NOT NULL,
    touched_at timestamptz NOT NULL
);
CREATE INDEX file_draft_by_user ON file_draft (user_id);

-- What a user's files add up to. Its row is the lock under which they change.
CREATE TABLE file_usage (
    user_id text PRIMARY KEY,
    files   bigint NOT NULL,
    bytes   bigint NOT NULL
);

-- +goose Down
DROP TABLE file_usage, file_draft, file_chunk, file;
