-- +goose Up

-- What lets a browser, which carries no token, begin to connect an account: used once. digest is the ticket's SHA-256.
CREATE TABLE oauth_ticket (
    digest     bytea PRIMARY KEY,
    user_id    text        NOT NULL,
    provider   text        NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX oauth_ticket_by_end ON oauth_ticket (expires_at);

-- Accounts that are being connected. digest and browser are the SHA-256 of the state and of the browser's cookie; sealed
-- is the PKCE verifier, encrypted and bound to user, provider and state. A row goes before its code is exchanged.
CREATE TABLE oauth_state (
    digest     bytea PRIMARY KEY,
    browser    bytea       NOT NULL,
    user_id    text        NOT NULL,
    provider   text        NOT NULL,
    scopes     text[]      NOT NULL,
    return_to  text        NOT NULL,
    sealed     bytea       NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX oauth_state_by_end ON oauth_state (expires_at);

-- Credentials whose tokens are being refreshed, and by whom: written before the provider is asked. Another server takes
-- over when the time is up.
CREATE TABLE oauth_refresh (
    credential_id uuid PRIMARY KEY,
    server_id     uuid        NOT NULL,
    attempt       uuid        NOT NULL,
    until         timestamptz NOT NULL
);

-- +goose Down
DROP TABLE oauth_refresh, oauth_state, oauth_ticket;
