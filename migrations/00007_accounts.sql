-- +goose Up

-- Everybody whom a valid token named, by its subject: written at first sight, and when the email changes.
CREATE TABLE account (
    id         text PRIMARY KEY,
    email      text        NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- API keys. digest is the SHA-256 of the key, which is kept nowhere; head and tail let people tell keys apart.
CREATE TABLE api_key (
    id           uuid PRIMARY KEY,
    user_id      text        NOT NULL,
    name         text        NOT NULL,
    description  text        NOT NULL,
    head         text        NOT NULL,
    tail         text        NOT NULL,
    digest       bytea       NOT NULL UNIQUE,
    permissions  text[]      NOT NULL,
    status       text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_key_by_user ON api_key (user_id, created_at DESC, id DESC);
CREATE INDEX api_key_revoked ON api_key (revoked_at) WHERE revoked_at IS NOT NULL;

-- Accounts of the server's own. email is in lower case; password is argon2id's encoded hash.
CREATE TABLE login (
    user_id     text PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    email       text        NOT NULL UNIQUE,
    password    text        NOT NULL,
    is_admin    boolean     NOT NULL,
    is_disabled boolean     NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX login_by_age ON login (created_at DESC, user_id);

-- Sessions that go on; one that has ended has no row. A refresh token is used once, and its session knows all of its
-- own, so that a second use shows.
CREATE TABLE session (
    id         uuid PRIMARY KEY,
    user_id    text        NOT NULL REFERENCES login (user_id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX session_by_user ON session (user_id);
CREATE INDEX session_by_expiry ON session (expires_at);
CREATE TABLE refresh_token (
    digest     bytea PRIMARY KEY,
    session_id uuid    NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    is_used    boolean NOT NULL DEFAULT false
);
CREATE INDEX refresh_token_by_session ON refresh_token (session_id);

-- Attempts to log in within a window of time, by the digest of what they are counted for: an email, an address.
CREATE TABLE login_attempt (
    subject bytea PRIMARY KEY,
    count   integer     NOT NULL,
    until   timestamptz NOT NULL
);
CREATE INDEX login_attempt_by_end ON login_attempt (until);

-- +goose Down
DROP TABLE login_attempt, refresh_token, session, login, api_key, account;
