-- Fills an empty, migrated database: the user of the benchmark has all executions, a hundredth as many graphs, and as
-- many entries in the library; others have as many again, five times as many entries, and what is in the store. Half of
-- the executions are those of one graph, a tenth are nested, and a tenth were accepted on one day.
CREATE TEMPORARY TABLE size AS SELECT {rows}::bigint AS executions, {rows}::bigint / 100 AS graphs;

CREATE FUNCTION pg_temp.numbered(kind text, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT md5(kind || n)::uuid $$;
-- As ids that begin with their time do, those of executions grow.
CREATE FUNCTION pg_temp.executed(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
-- Some words of a language of a few thousand, the first of them frequent.
CREATE FUNCTION pg_temp.words(seed bigint, n integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg('w' || to_hex((4000 * power(('x' || substr(md5(seed || '-' || i), 1, 7))::bit(28)::integer / 268435456.0, 3))::integer), ' ')
    FROM generate_series(1, n) i $$;

-- Counts are made at the end: a trigger for each row of one user would have all wait for one row.
ALTER TABLE graph DISABLE TRIGGER USER;
ALTER TABLE library_agent DISABLE TRIGGER USER;
ALTER TABLE store_listing DISABLE TRIGGER USER;
ALTER TABLE store_submission DISABLE TRIGGER USER;

INSERT INTO graph (id, user_id, active_version, latest_version, created_at, updated_at, searched)
SELECT pg_temp.numbered(kind, n), CASE kind WHEN 'graph' THEN '{user}' ELSE 'author' || n % 1000 END, 1, 1, at, at,
    'agent number ' || n || E'\x01' || pg_temp.words(n, 20)
FROM size, (VALUES ('graph'), ('listed')) k (kind), generate_series(1, graphs) n, LATERAL (SELECT now() - n * interval '1 minute' AS at) t;
INSERT INTO graph_version (graph_id, version, name, description, document, created_at)
SELECT pg_temp.numbered(kind, n), 1, 'Agent number ' || n, pg_temp.words(n, 20), '{"nodes":[],"links":[]}', now()
FROM size, (VALUES ('graph'), ('listed')) k (kind), generate_series(1, graphs) n;
INSERT INTO graph_count (user_id, graphs) SELECT user_id, count(*) FROM graph GROUP BY user_id;

INSERT INTO library_agent (user_id, graph_id, version, latest_version, is_owner, name, description, is_favorite, is_archived, created_at, updated_at)
SELECT '{user}', pg_temp.numbered('graph', n), 1, 1, true, 'Agent number ' || n, pg_temp.words(n, 20), n % 10 = 0, n % 20 = 0, at, at
FROM size, generate_series(1, graphs) n, LATERAL (SELECT now() - n * interval '1 minute' AS at) t;
INSERT INTO library_agent (user_id, graph_id, version, latest_version, is_owner, name, description, created_at, updated_at)
SELECT 'reader' || n % 1000, pg_temp.numbered('listed', n % graphs + 1), 1, 1, false, 'Agent number ' || n, pg_temp.words(n, 20), at, at
FROM size, generate_series(1, 5 * graphs) n, LATERAL (SELECT now() - n * interval '1 second' AS at) t ON CONFLICT DO NOTHING;
INSERT INTO library_count (user_id, listed, listed_favorites, archived, archived_favorites)
SELECT user_id, count(*) FILTER (WHERE NOT is_archived), count(*) FILTER (WHERE NOT is_archived AND is_favorite),
    count(*) FILTER (WHERE is_archived), count(*) FILTER (WHERE is_archived AND is_favorite)
FROM library_agent GROUP BY user_id;

INSERT INTO store_creator (user_id, username, name) SELECT 'author' || n, 'author' || n, 'Author ' || n FROM generate_series(0, 999) n;
INSERT INTO store_listing (id, user_id, graph_id, source, slug, latest_version, active, featured, runs, rating_sum, rating_count, listed_at,
    name, sub_heading, description, categories, category_keys, graph_version, words, search)
SELECT pg_temp.numbered('listing', n), 'author' || n % 1000, pg_temp.numbered('listed', n), pg_temp.numbered('listed', n), 'agent-' || n, 1,
    pg_temp.numbered('submission', n), n % 1000 = 0, n % 777, n % 5 * 3, 3, now() - n * interval '1 minute',
    name, heading, description, ARRAY['Category ' || n % 20], ARRAY['category ' || n % 20], 1, lower(name || ' ' || heading),
    setweight(to_tsvector('simple', name), 'A') || setweight(to_tsvector('simple', heading), 'B') || setweight(to_tsvector('simple', description), 'D')
FROM size, generate_series(1, graphs) n,
    LATERAL (SELECT 'agent ' || pg_temp.words(n, 3) AS name, pg_temp.words(-n, 5) AS heading, pg_temp.words(n, 40) AS description) t;
INSERT INTO store_submission (id, listing_id, version, user_id, graph_id, graph_version, name, sub_heading, description, instructions, categories,
    image_urls, video_url, output_demo_url, changes_summary, schedule_cron, status, submitted_at, reviewed_at)
SELECT active, id, 1, user_id, graph_id, 1, name, sub_heading, description, '', categories, '{}', '', '', '', '', 'APPROVED', listed_at, listed_at
FROM store_listing;
INSERT INTO store_count (kind, key, count)
SELECT 'listed', '', count(*) FROM store_listing
UNION ALL SELECT 'listed', key, count(*) FROM store_listing, unnest(category_keys) key GROUP BY key
UNION ALL SELECT 'submissions', key, count(*) FROM store_submission, unnest(ARRAY['', status]) key GROUP BY key
UNION ALL SELECT 'creators', '', count(*) FROM store_creator;
UPDATE store_creator c SET num_agents = l.n, agent_runs = l.runs, rating_sum = l.sum, rating_count = l.count
FROM (SELECT user_id, count(*) AS n, sum(runs) AS runs, sum(rating_sum) AS sum, sum(rating_count) AS count FROM store_listing GROUP BY user_id) l
WHERE l.user_id = c.user_id;

INSERT INTO execution (id, root_id, parent_id, user_id, graph_id, graph_version, plan_id, status, inputs, created_at, started_at, ended_at, total_nodes, completed_nodes)
SELECT pg_temp.executed(n), pg_temp.executed(n - nested), CASE nested WHEN 1 THEN pg_temp.executed(n - 1) END, '{user}',
    pg_temp.numbered('graph', CASE n % 2 WHEN 0 THEN 1 ELSE n % least(graphs, 1000) + 1 END), 1, '\x00',
    CASE WHEN n % 20 = 0 THEN 'FAILED' WHEN n % 100 = 7 THEN 'TERMINATED' ELSE 'COMPLETED' END, '{}', at, at, at, 3, 3
FROM size, generate_series(1, executions) n,
    LATERAL (SELECT (n % 10 = 3)::integer AS nested, date_trunc('day', now(), 'UTC') + CASE
        WHEN n > executions * 9 / 10 THEN (n - executions) * interval '1 day' / (executions / 10.0)
        ELSE n * interval '99 days' / (executions * 0.9) - interval '100 days' END AS at) t;
INSERT INTO execution_count (user_id, graph_id, nested, day, status, n)
SELECT user_id, coalesce(graph_id, '00000000-0000-0000-0000-000000000000'), parent_id IS NOT NULL, (created_at AT TIME ZONE 'UTC')::date, status, count(*)
FROM execution GROUP BY GROUPING SETS ((1, graph_id, 3, 4, 5), (1, 3, 4, 5));
INSERT INTO execution_last (user_id, graph_id, at)
SELECT user_id, graph_id, max(created_at) FROM execution WHERE parent_id IS NULL GROUP BY user_id, graph_id;

ALTER TABLE graph ENABLE TRIGGER USER;
ALTER TABLE library_agent ENABLE TRIGGER USER;
ALTER TABLE store_listing ENABLE TRIGGER USER;
ALTER TABLE store_submission ENABLE TRIGGER USER;
