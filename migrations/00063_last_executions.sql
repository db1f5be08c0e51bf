-- +goose Up

-- The last executions of a user's graph, nested ones aside, at most so many of each status, which execution_by_graph serves.
-- No other index is in this order, and nothing may be sorted: without statistics, or by those of a table that had one graph,
-- the planner thinks as well of execution_by_status and execution_by_user, by which all of the user's executions are read.
-- Behind the last of a status come those of the next one.
CREATE FUNCTION last_executions(of_user text, of_graph uuid, statuses text[], most integer)
RETURNS TABLE (created_at timestamptz, id uuid, status text)
LANGUAGE sql STABLE ROWS 5 SET enable_sort = off
AS $$
    SELECT e.created_at, e.id, e.status FROM unnest(statuses) AS s (status) CROSS JOIN LATERAL (
        SELECT x.status, x.created_at, x.id FROM execution x
        WHERE x.user_id = of_user AND (x.graph_id, x.status) >= (of_graph, s.status) AND x.graph_id <= of_graph AND x.parent_id IS NULL
        ORDER BY x.graph_id, x.status, x.created_at DESC, x.id DESC LIMIT most) AS e
    WHERE e.status = s.status
$$;

-- +goose Down
DROP FUNCTION last_executions;
