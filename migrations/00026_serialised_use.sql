-- +goose Up

-- Credentials that a run has to itself, where the provider's plugin asks for that. Who holds one renews it; another
-- takes it when the time is up.
CREATE TABLE oauth_use (
    credential_id uuid PRIMARY KEY,
    server_id     uuid        NOT NULL,
    holder        uuid        NOT NULL,
    until         timestamptz NOT NULL
);

-- +goose Down
DROP TABLE oauth_use;
