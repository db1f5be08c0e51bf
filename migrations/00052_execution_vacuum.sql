-- +goose Up

-- An execution's row changes twice, and its status stands in indexes. Where there are millions, the default waits until
-- every fifth has gone before it clears away what is left of them, and claims read past all of that.
ALTER TABLE execution SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- +goose Down
ALTER TABLE execution RESET (autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor);
