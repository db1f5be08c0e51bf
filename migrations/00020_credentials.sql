-- +goose Up

-- What users sign in to other services with. sealed is the secret, encrypted under the key that key_id names and bound
-- to user and id; nothing else of a row is secret. reauthorize says why its user has to sign in again, if so.
CREATE TABLE credential (
    id           uuid PRIMARY KEY,
    user_id      text        NOT NULL,
    provider     text        NOT NULL,
    type         text        NOT NULL,
    title        text        NOT NULL,
    username     text        NOT NULL DEFAULT '',
    host         text        NOT NULL DEFAULT '',
    scopes       text[]      NOT NULL DEFAULT '{}',
    expires_at   timestamptz,
    reauthorize  text        NOT NULL DEFAULT '',
    is_default   boolean     NOT NULL DEFAULT false,
    key_id       text        NOT NULL,
    sealed       bytea       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz
);
CREATE INDEX credential_by_user ON credential (user_id, created_at DESC, id DESC);
CREATE UNIQUE INDEX credential_default ON credential (user_id, provider) WHERE is_default;
-- Which keys are in use, and what a rotation has still to do.
CREATE INDEX credential_by_key ON credential (key_id, id);

-- +goose Down
DROP TABLE credential;
