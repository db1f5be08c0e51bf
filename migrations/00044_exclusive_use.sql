-- +goose Up

-- What one run at a time may use: credentials whose provider asks for it, by their id, and keys that a run holds, by their
-- digest. Who has the turn renews it; another takes it when the time is up.
CREATE TABLE exclusive_use (
    id        uuid PRIMARY KEY,
    server_id uuid        NOT NULL,
    holder    uuid        NOT NULL,
    until     timestamptz NOT NULL
);
DROP TABLE oauth_use;

-- +goose Down
CREATE TABLE oauth_use (
    credential_id uuid PRIMARY KEY,
    server_id     uuid        NOT NULL,
    holder        uuid        NOT NULL,
    until         timestamptz NOT NULL
);
DROP TABLE exclusive_use;
