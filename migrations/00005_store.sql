-- +goose Up

-- Versions that were published, and the nested agents that they lead to: copies that stay when their author deletes
-- the graph, since others go on using them. They belong to core/graph, like graph_version.
CREATE TABLE published_graph (
    graph_id    uuid        NOT NULL,
    version     integer     NOT NULL,
    user_id     text        NOT NULL,
    name        text        NOT NULL,
    description text        NOT NULL,
    document    text        NOT NULL,
    created_at  timestamptz NOT NULL, -- of the graph
    updated_at  timestamptz NOT NULL, -- of the version
    PRIMARY KEY (graph_id, version)
);

-- What a published version consists of: itself and its nested agents, all levels. Read by the part, to find the
-- published versions through which somebody may use it.
CREATE TABLE published_part (
    graph_id     uuid    NOT NULL,
    version      integer NOT NULL,
    root_id      uuid    NOT NULL,
    root_version integer NOT NULL,
    PRIMARY KEY (graph_id, version, root_id, root_version),
    FOREIGN KEY (graph_id, version) REFERENCES published_graph (graph_id, version)
);

-- Executions of published graphs by others than their authors, one row each, written with the execution itself and
-- taken out by whoever keeps the sum. Belongs to core/execution.
CREATE TABLE execution_by_other (
    execution_id uuid PRIMARY KEY,
    graph_id     uuid NOT NULL
);

-- Who publishes. The three statistics are kept by store_listing's trigger.
CREATE TABLE store_creator (
    user_id      text PRIMARY KEY,
    username     text        NOT NULL UNIQUE,
    name         text        NOT NULL,
    description  text        NOT NULL DEFAULT '',
    links        text[]      NOT NULL DEFAULT '{}',
    avatar_url   text        NOT NULL DEFAULT '',
    num_agents   integer     NOT NULL DEFAULT 0,
    num_featured integer     NOT NULL DEFAULT 0,
    agent_runs   bigint      NOT NULL DEFAULT 0,
    rating_sum   bigint      NOT NULL DEFAULT 0,
    rating_count bigint      NOT NULL DEFAULT 0,
    rating       double precision NOT NULL GENERATED ALWAYS AS (CASE WHEN rating_count = 0 THEN 0 ELSE rating_sum::double precision / rating_count END) STORED,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX store_creator_listed ON store_creator (username) WHERE num_agents > 0;
CREATE INDEX store_creator_by_agents ON store_creator (num_agents DESC, username) WHERE num_agents > 0;
CREATE INDEX store_creator_by_runs ON store_creator (agent_runs DESC, username) WHERE num_agents > 0;
CREATE INDEX store_creator_by_rating ON store_creator (rating DESC, username) WHERE num_agents > 0;

-- An agent in the store: one a graph. The columns from name on are those of the submission that is shown. It is listed
-- while one is approved and its author has the graph; a deleted graph leaves source null.
CREATE TABLE store_listing (
    id             uuid PRIMARY KEY,
    user_id        text        NOT NULL REFERENCES store_creator (user_id),
    graph_id       uuid        NOT NULL UNIQUE,
    source         uuid        REFERENCES graph (id) ON DELETE SET NULL,
    slug           text        NOT NULL,
    latest_version integer     NOT NULL DEFAULT 0,
    active         uuid,       -- the approved submission that is shown
    featured       boolean     NOT NULL DEFAULT false,
    runs           bigint      NOT NULL DEFAULT 0,
    rating_sum     bigint      NOT NULL DEFAULT 0,
    rating_count   bigint      NOT NULL DEFAULT 0,
    rating         double precision NOT NULL GENERATED ALWAYS AS (CASE WHEN rating_count = 0 THEN 0 ELSE rating_sum::double precision / rating_count END) STORED,
    listed         boolean     NOT NULL GENERATED ALWAYS AS (active IS NOT NULL AND source IS NOT NULL) STORED,
    listed_at      timestamptz, -- of what is shown
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    name           text        NOT NULL DEFAULT '',
    sub_heading    text        NOT NULL DEFAULT '',
    description    text        NOT NULL DEFAULT '',
    image_url      text        NOT NULL DEFAULT '',
    categories     text[]      NOT NULL DEFAULT '{}',
    category_keys  text[]      NOT NULL DEFAULT '{}', -- in lower case
    graph_version  integer     NOT NULL DEFAULT 0,
    words          text        NOT NULL DEFAULT '',   -- of name and sub_heading, as typing errors are looked for
    search         tsvector    NOT NULL DEFAULT '',
    UNIQUE (user_id, slug)
);
-- The orders of the list of agents.
CREATE INDEX store_listing_first ON store_listing (featured DESC, runs DESC, id) WHERE listed;
CREATE INDEX store_listing_by_runs ON store_listing (runs DESC, id) WHERE listed;
CREATE INDEX store_listing_by_rating ON store_listing (rating DESC, id) WHERE listed;
CREATE INDEX store_listing_by_age ON store_listing (listed_at DESC, id) WHERE listed;
CREATE INDEX store_listing_by_name ON store_listing (lower(name), id) WHERE listed;
CREATE INDEX store_listing_categories ON store_listing USING gin (category_keys) WHERE listed;
CREATE INDEX store_listing_search ON store_listing USING gin (search) WHERE listed;
CREATE INDEX store_listing_source ON store_listing (source);

-- Typing errors are found by trigrams where the database has them and lets us; the store works without.
-- +goose StatementBegin
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX store_listing_words ON store_listing USING gin (words gin_trgm_ops) WHERE listed;
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'the store does without pg_trgm: %', SQLERRM;
END
$$;
-- +goose StatementEnd

-- What an author submits for a listing, one row a version of it.
CREATE TABLE store_submission (
    id                uuid PRIMARY KEY,
    listing_id        uuid        NOT NULL REFERENCES store_listing (id) ON DELETE CASCADE,
    version           integer     NOT NULL,
    user_id           text        NOT NULL,
    graph_id          uuid        NOT NULL,
    graph_version     integer     NOT NULL,
    name              text        NOT NULL,
    sub_heading       text        NOT NULL,
    description       text        NOT NULL,
    instructions      text        NOT NULL,
    categories        text[]      NOT NULL,
    image_urls        text[]      NOT NULL,
    video_url         text        NOT NULL,
    output_demo_url   text        NOT NULL,
    changes_summary   text        NOT NULL,
    schedule_cron     text        NOT NULL,
    status            text        NOT NULL,
    submitted_at      timestamptz NOT NULL DEFAULT now(),
    reviewed_at       timestamptz,
    reviewer_id       text,
    comments          text        NOT NULL DEFAULT '',
    internal_comments text        NOT NULL DEFAULT '',
    UNIQUE (listing_id, version)
);
CREATE UNIQUE INDEX store_submission_pending ON store_submission (listing_id) WHERE status = 'PENDING';
CREATE INDEX store_submission_by_user ON store_submission (user_id, submitted_at DESC, id);
CREATE INDEX store_submission_by_status ON store_submission (status, submitted_at DESC, id);
CREATE INDEX store_submission_by_age ON store_submission (submitted_at DESC, id);

-- What users think of an agent, once each.
CREATE TABLE store_review (
    listing_id uuid        NOT NULL REFERENCES store_listing (id) ON DELETE CASCADE,
    user_id    text        NOT NULL,
    score      smallint    NOT NULL CHECK (score BETWEEN 1 AND 5),
    comments   text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (listing_id, user_id)
);
CREATE INDEX store_review_by_age ON store_review (listing_id, updated_at DESC, user_id);

-- How many agents and submissions there are, so that lists need not count them. '' stands for all.
CREATE TABLE store_count (
    kind  text    NOT NULL, -- listed: by category; creators; submissions: by status
    key   text    NOT NULL,
    count bigint  NOT NULL,
    PRIMARY KEY (kind, key)
);

-- +goose StatementBegin
CREATE FUNCTION store_count_add(what text, keys text[], n integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO store_count (kind, key, count) SELECT what, k, n FROM unnest(keys) k ORDER BY k
    ON CONFLICT (kind, key) DO UPDATE SET count = store_count.count + excluded.count
$$;
-- +goose StatementEnd

-- Triggers keep the counts, since a graph's deletion takes its listing out of the store without anybody's help. Counts are
-- touched only when something appears or goes, '' first: what happens often, runs and ratings, must not wait for them.
-- +goose StatementBegin
CREATE FUNCTION store_listing_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was boolean := TG_OP <> 'INSERT' AND OLD.listed;
    is_now boolean := TG_OP <> 'DELETE' AND NEW.listed;
    agents integer;
BEGIN
    IF was AND (NOT is_now OR OLD.category_keys <> NEW.category_keys) THEN
        PERFORM store_count_add('listed', OLD.category_keys || '{""}', -1);
    END IF;
    IF is_now AND (NOT was OR OLD.category_keys <> NEW.category_keys) THEN
        PERFORM store_count_add('listed', NEW.category_keys || '{""}', 1);
    END IF;
    IF was AND NOT is_now THEN
        UPDATE store_creator SET num_agents = num_agents - 1, num_featured = num_featured - OLD.featured::integer,
            agent_runs = agent_runs - OLD.runs, rating_sum = rating_sum - OLD.rating_sum, rating_count = rating_count - OLD.rating_count
        WHERE user_id = OLD.user_id RETURNING num_agents INTO agents;
        IF agents = 0 THEN
            PERFORM store_count_add('creators', '{""}', -1);
        END IF;
    ELSIF is_now AND NOT was THEN
        UPDATE store_creator SET num_agents = num_agents + 1, num_featured = num_featured + NEW.featured::integer,
            agent_runs = agent_runs + NEW.runs, rating_sum = rating_sum + NEW.rating_sum, rating_count = rating_count + NEW.rating_count
        WHERE user_id = NEW.user_id RETURNING num_agents INTO agents;
        IF agents = 1 THEN
            PERFORM store_count_add('creators', '{""}', 1);
        END IF;
    ELSIF is_now AND (OLD.featured, OLD.runs, OLD.rating_sum, OLD.rating_count) <> (NEW.featured, NEW.runs, NEW.rating_sum, NEW.rating_count) THEN
        UPDATE store_creator SET num_featured = num_featured + NEW.featured::integer - OLD.featured::integer, agent_runs = agent_runs + NEW.runs - OLD.runs,
            rating_sum = rating_sum + NEW.rating_sum - OLD.rating_sum, rating_count = rating_count + NEW.rating_count - OLD.rating_count
        WHERE user_id = NEW.user_id;
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER store_listing_changed AFTER INSERT OR UPDATE OR DELETE ON store_listing
    FOR EACH ROW EXECUTE FUNCTION store_listing_changed();

-- +goose StatementBegin
CREATE FUNCTION store_submission_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM store_count_add('submissions', ARRAY[OLD.status, ''], -1);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM store_count_add('submissions', ARRAY[NEW.status, ''], 1);
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER store_submission_counted AFTER INSERT OR DELETE ON store_submission
    FOR EACH ROW EXECUTE FUNCTION store_submission_changed();
CREATE TRIGGER store_submission_moved AFTER UPDATE OF status ON store_submission
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION store_submission_changed();

-- +goose Down
DROP TABLE store_count, store_review, store_submission, store_listing, store_creator, execution_by_other, published_part, published_graph;
DROP FUNCTION store_listing_changed(), store_submission_changed(), store_count_add(text, text[], integer);
