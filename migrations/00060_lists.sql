-- +goose Up

-- What searches look through: name and description of the active version, in lower case, written with the pointer to it.
-- What stands between the two is in no text that people write.
ALTER TABLE graph ADD COLUMN searched text NOT NULL DEFAULT '';
UPDATE graph g SET searched = lower(v.name || E'\x01' || v.description)
FROM graph_version v WHERE v.graph_id = g.id AND v.version = g.active_version;

-- When a user's last execution of each graph was accepted, nested ones aside; null: there is none any more. Whoever folds
-- execution_delta into the counts looks at what is new; until then the graphs that are named there have it to be looked up.
CREATE TABLE execution_last (
    user_id  text NOT NULL,
    graph_id uuid NOT NULL,
    at       timestamptz,
    PRIMARY KEY (user_id, graph_id)
) WITH (fillfactor = 70);
INSERT INTO execution_last (user_id, graph_id, at)
SELECT user_id, graph_id, max(created_at) FROM execution WHERE parent_id IS NULL GROUP BY user_id, graph_id;

-- +goose Down
DROP TABLE execution_last;
ALTER TABLE graph DROP COLUMN searched;
