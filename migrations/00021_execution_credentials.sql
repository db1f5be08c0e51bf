-- +goose Up

-- Which credentials an execution uses, by references alone: JSON of what its caller named, what its nodes use, and which
-- of them are skipped for lack of any. Empty for nearly all.
ALTER TABLE execution ADD COLUMN credentials text;

-- +goose Down
ALTER TABLE execution DROP COLUMN credentials;
