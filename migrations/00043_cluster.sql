-- +goose Up

-- Who uses this database, by an id of its own: servers that share a NATS with those of other databases tell them by it.
CREATE TABLE cluster (
    id   uuid    NOT NULL DEFAULT gen_random_uuid(),
    sole boolean PRIMARY KEY DEFAULT true CHECK (sole)
);
INSERT INTO cluster DEFAULT VALUES;

-- +goose Down
DROP TABLE cluster;
