-- +goose Up

-- The time zone of a user, by its IANA name; empty: the server's.
ALTER TABLE account ADD COLUMN timezone text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE account DROP COLUMN timezone;
