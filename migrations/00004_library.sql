-- +goose Up

-- Both tables count for lists what nobody can count row by row while a client waits. Triggers keep them, so that no
-- way of adding or removing a row forgets them; the row of a user is locked to the end of the transaction, which makes
-- the count exact. Whoever changes several kinds of rows in one transaction does it in the order graph, graph_count,
-- library_agent, library_count.

-- How many graphs a user has.
CREATE TABLE graph_count (
    user_id text PRIMARY KEY,
    graphs  bigint NOT NULL
) WITH (fillfactor = 50);

-- The agents in users' libraries. The name, the description and latest_version repeat what the graph's owner stored,
-- written in the transaction that stores it: lists sort and search by them.
CREATE TABLE library_agent (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id        text        NOT NULL,
    graph_id       uuid        NOT NULL,
    pinned         integer     NOT NULL DEFAULT 0, -- the version at which the entry stays; 0: it follows the active one
    version        integer     NOT NULL,
    latest_version integer     NOT NULL, -- of those that the user can have
    is_owner       boolean     NOT NULL,
    name           text        NOT NULL,
    description    text        NOT NULL,
    -- What searches look through: folding the case of ten thousand entries takes longer than reading them. What
    -- stands between the two is in no text that people write.
    searched       text        NOT NULL GENERATED ALWAYS AS (lower(name || E'\x01' || description)) STORED,
    is_favorite    boolean     NOT NULL DEFAULT false,
    is_archived    boolean     NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- Entries of a graph: by-graph, adding again, following.
CREATE UNIQUE INDEX library_agent_by_graph ON library_agent (user_id, graph_id, pinned);
-- The three orders of the list. A whole name could be too long for an index.
CREATE INDEX library_agent_by_update ON library_agent (user_id, is_archived, updated_at DESC, id);
CREATE INDEX library_agent_by_creation ON library_agent (user_id, is_archived, created_at DESC, id);
CREATE INDEX library_agent_by_name ON library_agent (user_id, is_archived, (lower(left(name, 200)) COLLATE "C"), id);

-- How many entries a user's library has, favourites included, and how many of them are favourites.
CREATE TABLE library_count (
    user_id            text PRIMARY KEY,
    listed             bigint NOT NULL,
    listed_favorites   bigint NOT NULL,
    archived           bigint NOT NULL,
    archived_favorites bigint NOT NULL
) WITH (fillfactor = 50);

-- +goose StatementBegin
CREATE FUNCTION graph_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO graph_count AS c (user_id, graphs)
    VALUES (coalesce(NEW.user_id, OLD.user_id), CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END)
    ON CONFLICT (user_id) DO UPDATE SET graphs = c.graphs + excluded.graphs;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION library_agent_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO library_count AS c (user_id, listed, listed_favorites, archived, archived_favorites)
    VALUES (
        coalesce(NEW.user_id, OLD.user_id),
        coalesce((NOT NEW.is_archived)::int, 0) - coalesce((NOT OLD.is_archived)::int, 0),
        coalesce((NOT NEW.is_archived AND NEW.is_favorite)::int, 0) - coalesce((NOT OLD.is_archived AND OLD.is_favorite)::int, 0),
        coalesce(NEW.is_archived::int, 0) - coalesce(OLD.is_archived::int, 0),
        coalesce((NEW.is_archived AND NEW.is_favorite)::int, 0) - coalesce((OLD.is_archived AND OLD.is_favorite)::int, 0)
    )
    ON CONFLICT (user_id) DO UPDATE SET
        listed = c.listed + excluded.listed, listed_favorites = c.listed_favorites + excluded.listed_favorites,
        archived = c.archived + excluded.archived, archived_favorites = c.archived_favorites + excluded.archived_favorites;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- The trigger locks out writers of graphs to the end of this migration: what follows misses none.
CREATE TRIGGER graph_counted AFTER INSERT OR DELETE ON graph FOR EACH ROW EXECUTE FUNCTION graph_counted();
INSERT INTO graph_count (user_id, graphs) SELECT user_id, count(*) FROM graph GROUP BY user_id;

-- Sub-graphs do not belong into the library. Nothing tells them apart but that another graph of the user names them.
INSERT INTO library_agent (user_id, graph_id, version, latest_version, is_owner, name, description, created_at, updated_at)
SELECT g.user_id, g.id, g.active_version, g.latest_version, true, v.name, v.description, g.created_at, g.updated_at
FROM graph g JOIN graph_version v ON v.graph_id = g.id AND v.version = g.active_version
WHERE NOT EXISTS (
    SELECT FROM (
        SELECT DISTINCT p.user_id, p.id, (regexp_matches(d.document, '"graph_id"\s*:\s*"([0-9a-f-]{36})"', 'g'))[1] AS names
        FROM graph p JOIN graph_version d ON d.graph_id = p.id
    ) nesting
    WHERE nesting.user_id = g.user_id AND nesting.names = g.id::text AND nesting.id <> g.id
);
INSERT INTO library_count (user_id, listed, listed_favorites, archived, archived_favorites)
SELECT user_id, count(*), 0, 0, 0 FROM library_agent GROUP BY user_id;
CREATE TRIGGER library_agent_counted AFTER INSERT OR DELETE OR UPDATE OF is_favorite, is_archived ON library_agent
    FOR EACH ROW EXECUTE FUNCTION library_agent_counted();

-- +goose Down
DROP TRIGGER graph_counted ON graph;
DROP FUNCTION graph_counted;
DROP TABLE library_count, library_agent, graph_count;
DROP FUNCTION library_agent_counted;
