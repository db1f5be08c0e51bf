-- +goose Up

-- Whether there is an administrator, asked at start.
CREATE INDEX login_admins ON login (user_id) WHERE is_admin AND NOT is_disabled;

-- +goose Down
DROP INDEX login_admins;
