-- +goose Up

-- The entries of a graph in the libraries of others than its owner, who are told when a newer version is published.
CREATE INDEX library_agent_of_others ON library_agent (graph_id) WHERE NOT is_owner;

-- +goose Down
DROP INDEX library_agent_of_others;
