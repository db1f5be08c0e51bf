-- +goose Up

-- Until when servers may begin executions by a plan; who goes on using it says so in time. One that no execution has is
-- removed after that. Executions by it began from made_at on, which for those that are there is not known.
ALTER TABLE execution_plan
    ADD COLUMN made_at      timestamptz NOT NULL DEFAULT 'epoch',
    ADD COLUMN needed_until timestamptz NOT NULL DEFAULT now() + interval '7 days';
ALTER TABLE execution_plan ALTER COLUMN made_at SET DEFAULT now();
-- What may be removed.
CREATE INDEX execution_plan_by_need ON execution_plan (needed_until);

-- +goose Down
DROP INDEX execution_plan_by_need;
ALTER TABLE execution_plan DROP COLUMN needed_until, DROP COLUMN made_at;
