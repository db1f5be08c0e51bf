package account

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

func TestTimezonesOfUsers(t *testing.T) {
	t.Parallel()
	s := New(postgrestest.DB(t), "Asia/Kolkata", hclog.NewNullLogger())
	t.Cleanup(s.Close)
	if err := s.Seen(t.Context(), "ann", "ann@example.com"); err != nil {
		t.Fatal(err)
	}
	zone := func(user, want string) {
		t.Helper()
		for range 2 { // read, and remembered
			if got, err := s.Timezone(t.Context(), user); err != nil || got != want {
				t.Errorf("the zone of %s is %q, %v, want %s", user, got, err, want)
			}
		}
	}
	zone("ann", "Asia/Kolkata")
	zone("somebody new", "Asia/Kolkata")
	for _, name := range []string{"Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires"} {
		if err := s.SetTimezone(t.Context(), "ann", name); err != nil {
			t.Fatal(err)
		}
		zone("ann", name)
	}
	zone("ben", "Asia/Kolkata")
	for _, name := range []string{"", "Local", "Mars/X", "../etc/passwd", "/etc/localtime", "UTC\x00", strings.Repeat("x", 10_000)} {
		err := s.SetTimezone(t.Context(), "ann", name)
		if invalid, ok := errors.AsType[*Invalid](err); !ok || invalid.Fields["timezone"] == "" {
			t.Errorf("%.20q: %v", name, err)
		}
	}
	if err := s.Seen(t.Context(), "ann", "ann@example.org"); err != nil {
		t.Fatal(err)
	}
	if u, err := s.User(t.Context(), "ann"); err != nil || *u != (User{"ann", true, "ann@example.org", "America/Argentina/Buenos_Aires"}) {
		t.Errorf("%+v %v", u, err)
	}
}
