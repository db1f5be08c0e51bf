-- +goose Up

-- What happened in executions, in partitions by the time at which they began, which their ids tell (UUIDv7): dropping
-- what is old is instant, and what is new has small indexes. A partition is dropped when no execution that began in it
-- is left. There is no DEFAULT partition and no foreign key: both would be in the way of that.

-- The lowest id of a time, and the time of an id, to the millisecond.
-- +goose StatementBegin
CREATE FUNCTION history_id(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION history_time(id uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT to_timestamp((('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0)::double precision)
$$;
-- +goose StatementEnd

-- The partitions of a table and the times that each is for: from since on (null: for ever), before until.
CREATE VIEW history_partition AS
SELECT p.relname::text AS parent, c.relname::text AS name,
    history_time(substring(b.bounds FROM $$FROM \('([^']+)'\)$$)::uuid) AS since,
    history_time(substring(b.bounds FROM $$TO \('([^']+)'\)$$)::uuid) AS until
FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL pg_get_expr(c.relpartbound, c.oid) AS b(bounds)
WHERE i.inhparent IN (to_regclass('journal'), to_regclass('value'));

-- Makes the partitions that a time belongs to, unless they are there: of so many days, or fewer where others are in the
-- way. ATTACH locks nobody out who reads or writes. It says how many it has made.
-- +goose StatementBegin
CREATE FUNCTION history_cover(at timestamptz, days integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    made integer := 0;
    history text;
    child text;
    low timestamptz;
    high timestamptz;
BEGIN
    FOREACH history IN ARRAY ARRAY['journal', 'value'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM history_partition p WHERE p.parent = history AND coalesce(p.since <= at, true) AND at < p.until);
        PERFORM pg_advisory_xact_lock(7240917650); -- others who make partitions
        CONTINUE WHEN EXISTS (SELECT FROM history_partition p WHERE p.parent = history AND coalesce(p.since <= at, true) AND at < p.until);
        low := date_bin(make_interval(days => days), at, timestamptz '2001-01-01 00:00:00+00'); -- a Monday
        high := low + make_interval(hours => 24 * days);
        SELECT greatest(low, 'epoch', max(p.until) FILTER (WHERE p.until <= at)), least(high, min(p.since) FILTER (WHERE p.since > at))
            INTO low, high FROM history_partition p WHERE p.parent = history;
        child := history || '_' || to_char(low AT TIME ZONE 'UTC', 'YYYYMMDD');
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) WITH (toast_tuple_target = 8160)', child, history);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', history, child, history_id(low), history_id(high));
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
-- +goose StatementEnd

-- What there is becomes the first partition, for all that began before one or two weeks from now.
ALTER TABLE journal RENAME TO journal_first;
ALTER INDEX journal_pkey RENAME TO journal_first_pkey;
ALTER INDEX journal_by_page RENAME TO journal_first_by_page;
ALTER INDEX journal_outputs RENAME TO journal_first_outputs;
CREATE TABLE journal (
    execution_id uuid    NOT NULL,
    pos          integer NOT NULL,
    seq          bigint  NOT NULL,
    page         integer NOT NULL,
    queued       integer NOT NULL,
    completed    integer NOT NULL,
    failed       integer NOT NULL,
    is_output    boolean NOT NULL,
    body         bytea   NOT NULL,
    PRIMARY KEY (execution_id, pos)
) PARTITION BY RANGE (execution_id);
ALTER TABLE journal ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX journal_by_page ON journal (execution_id, page, pos);
CREATE INDEX journal_outputs ON journal (execution_id, pos) WHERE is_output;

-- Large values lie in chunks of 256 KiB, numbered from 0, each packed for itself (packing 1: by zstd) where that makes
-- it smaller. Those that were there are one chunk, whatever their size.
ALTER TABLE value RENAME TO value_first;
ALTER TABLE value_first ADD COLUMN chunk integer NOT NULL DEFAULT 0, ADD COLUMN packing smallint NOT NULL DEFAULT 0;
ALTER TABLE value_first DROP CONSTRAINT value_pkey;
ALTER TABLE value_first ADD PRIMARY KEY (execution_id, digest, chunk);
CREATE TABLE value (
    execution_id uuid     NOT NULL,
    digest       bytea    NOT NULL,
    data         bytea    NOT NULL,
    chunk        integer  NOT NULL DEFAULT 0,
    packing      smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (execution_id, digest, chunk)
) PARTITION BY RANGE (execution_id);
ALTER TABLE value ALTER COLUMN data SET STORAGE EXTERNAL;

-- +goose StatementBegin
DO $$
DECLARE
    latest timestamptz := greatest(now(), (SELECT history_time(execution_id) FROM journal_first ORDER BY execution_id DESC LIMIT 1),
        (SELECT history_time(execution_id) FROM value_first ORDER BY execution_id DESC LIMIT 1));
    until uuid := history_id(date_bin('7 days', latest + interval '14 days', timestamptz '2001-01-01 00:00:00+00'));
BEGIN
    EXECUTE format('ALTER TABLE journal ATTACH PARTITION journal_first FOR VALUES FROM (MINVALUE) TO (%L)', until);
    EXECUTE format('ALTER TABLE value ATTACH PARTITION value_first FOR VALUES FROM (MINVALUE) TO (%L)', until);
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION history_cover;
CREATE TABLE journal_whole (
    execution_id uuid    NOT NULL,
    pos          integer NOT NULL,
    seq          bigint  NOT NULL,
    page         integer NOT NULL,
    queued       integer NOT NULL,
    completed    integer NOT NULL,
    failed       integer NOT NULL,
    is_output    boolean NOT NULL,
    body         bytea   NOT NULL
) WITH (toast_tuple_target = 8160);
ALTER TABLE journal_whole ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO journal_whole SELECT execution_id, pos, seq, page, queued, completed, failed, is_output, body FROM journal;
DROP TABLE journal;
ALTER TABLE journal_whole RENAME TO journal;
ALTER TABLE journal ADD CONSTRAINT journal_pkey PRIMARY KEY (execution_id, pos);
CREATE INDEX journal_by_page ON journal (execution_id, page, pos);
CREATE INDEX journal_outputs ON journal (execution_id, pos) WHERE is_output;

-- The version before reads values in one piece and none that is packed; those are lost.
CREATE TABLE value_whole (
    execution_id uuid  NOT NULL,
    digest       bytea NOT NULL,
    data         bytea NOT NULL
);
ALTER TABLE value_whole ALTER COLUMN data SET STORAGE EXTERNAL;
INSERT INTO value_whole SELECT execution_id, digest, string_agg(data, '' ORDER BY chunk) FROM value
    GROUP BY execution_id, digest HAVING max(packing) = 0;
DROP TABLE value;
ALTER TABLE value_whole RENAME TO value;
ALTER TABLE value ADD CONSTRAINT value_pkey PRIMARY KEY (execution_id, digest);
DROP VIEW history_partition;
DROP FUNCTION history_time, history_id;
