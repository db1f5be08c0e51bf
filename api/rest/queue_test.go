package rest

import "testing"

func TestQueueIsShown(t *testing.T) {
	t.Parallel()
	f, _ := newKeyFixture(t)
	ann, admin := tokenOf(t, "ann"), tokenOf(t, "operator", "role", "admin")
	expect(t, f.as(ann, "GET", "/api/v2/me/queue", ""), 200, `"running":1`, `"waiting":2`, `"oldest_waiting_since":null`)
	expect(t, f.as(ann, "GET", "/api/v2/admin/queue", ""), 403)
	expect(t, f.as(admin, "GET", "/api/v2/admin/queue", ""), 200, `"waiting":2`, `"user_id":"ann"`, `"servers":[]`)
}
