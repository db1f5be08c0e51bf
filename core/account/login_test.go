package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

const password = "correct horse battery"

var signer = Signer{Secret: []byte(strings.Repeat("s", 32)), Audience: "authenticated"}

func newLogins(t *testing.T, db *bun.DB) *Logins {
	t.Helper()
	l, err := NewLogins(newService(t, db), signer)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustLogIn(t *testing.T, l *Logins, email string) *Tokens {
	t.Helper()
	tokens, err := l.LogIn(t.Context(), email, password, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func sessionOf(t *testing.T, access string) string {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, err := jwt.ParseWithClaims(access, claims, func(*jwt.Token) (any, error) { return signer.Secret, nil }, jwt.WithAudience("authenticated")); err != nil {
		t.Fatal(err)
	}
	session, _ := claims["session_id"].(string)
	if claims["iss"] != Issuer || claims["email_verified"] != true || session == "" {
		t.Errorf("claims %v", claims)
	}
	return session
}

func TestLogIn(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	l := newLogins(t, db)
	ctx := t.Context()
	ann, err := l.Create(ctx, " Ann@Example.com", password, true)
	if err != nil || ann.Email != "ann@example.com" || !ann.Admin {
		t.Fatal(ann, err)
	}
	off, err := l.Create(ctx, "off@example.com", password, false)
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	if _, err := l.Change(ctx, off.UserID, LoginChange{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	tokens := mustLogIn(t, l, "ANN@example.com")
	if tokens.Login.UserID != ann.UserID || time.Until(tokens.ExpiresAt) > accessTime || !strings.HasPrefix(tokens.Refresh, "pbr_") {
		t.Errorf("%+v", tokens)
	}
	if err := l.CheckSession(ctx, sessionOf(t, tokens.Access)); err != nil {
		t.Error(err)
	}
	for name, c := range map[string][2]string{
		"wrong password":   {"ann@example.com", password + "!"},
		"empty password":   {"ann@example.com", ""},
		"unknown email":    {"eve@example.com", password},
		"no email":         {"", password},
		"odd email":        {"a\x00b@example.com", password},
		"disabled account": {"off@example.com", password},
		"the decoy's hash": {"eve@example.com", l.hashing.decoy},
	} {
		if got, err := l.LogIn(ctx, c[0], c[1], "192.0.2.1"); !errors.Is(err, ErrRefused) || err.Error() != ErrRefused.Error() {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	var stored string
	if err := db.QueryRowContext(ctx, `
		SELECT string_agg(t, ' ') FROM (SELECT login::text AS t FROM login UNION ALL SELECT refresh_token::text FROM refresh_token UNION ALL SELECT session::text FROM session) x`).
		Scan(&stored); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(stored, password) || strings.Contains(stored, tokens.Refresh[4:]) || !strings.Contains(stored, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("stored is %s", stored)
	}
	if _, err := l.Create(ctx, "ann@EXAMPLE.com", password, false); !errors.Is(err, ErrConflict) {
		t.Errorf("a second account with an email: %v", err)
	}
	for _, email := range []string{"", "ann", "@x", "a@", "a b@x", "a@b@c", "a\n@x"} {
		if _, err := l.Create(ctx, email, password, false); err == nil {
			t.Errorf("%q is an email", email)
		}
	}
	for _, bad := range []string{"", "short", strings.Repeat("é", 9), strings.Repeat("x", maxPassword+1)} {
		if _, err := l.Create(ctx, "bob@example.com", bad, false); err == nil {
			t.Errorf("a password of %d bytes is taken", len(bad))
		}
	}
	list, total, err := l.List(ctx, "", 0, 10)
	if err != nil || total != 2 || len(list) != 2 || list[0].Email != "off@example.com" {
		t.Errorf("%+v, %d, %v", list, total, err)
	}
	if list, total, err := l.List(ctx, "Ann@example.com", 0, 10); err != nil || total != 1 || list[0].UserID != ann.UserID {
		t.Errorf("%+v, %d, %v", list, total, err)
	}
	if there, err := l.HasAdmin(ctx); err != nil || !there {
		t.Error("there is no administrator", err)
	}
}

// What an answer takes must not tell whether there is such an account: the same work is done.
func TestUnknownEmailsTakeTheSameTime(t *testing.T) {
	t.Parallel()
	l := newLogins(t, postgrestest.DB(t))
	if _, err := l.Create(t.Context(), "ann@example.com", password, false); err != nil {
		t.Fatal(err)
	}
	try := func(email string, n int) time.Duration {
		began := time.Now()
		if _, err := l.LogIn(t.Context(), email, "wrong password", fmt.Sprint("192.0.2.", n)); !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	// Who hashes nothing is faster by far each time. Anything else may hold one of them up, but hardly every time.
	var rounds []string
	for round := range 3 {
		known, unknown := time.Hour, time.Hour
		for n := range 3 {
			known, unknown = min(known, try("ann@example.com", 3*round+n)), min(unknown, try("eve@example.com", 3*round+n))
		}
		if known < 3*unknown && unknown < 3*known {
			return
		}
		rounds = append(rounds, fmt.Sprintf("a known email takes %s, an unknown one %s", known, unknown))
	}
	t.Error(strings.Join(rounds, "\n"))
}

func TestRefreshTokensRotate(t *testing.T) {
	t.Parallel()
	l := newLogins(t, postgrestest.DB(t))
	ctx := t.Context()
	if _, err := l.Create(ctx, "ann@example.com", password, false); err != nil {
		t.Fatal(err)
	}
	other := mustLogIn(t, l, "ann@example.com")
	first := mustLogIn(t, l, "ann@example.com")
	second, err := l.Refresh(ctx, first.Refresh)
	if err != nil || second.Refresh == first.Refresh || sessionOf(t, second.Access) != sessionOf(t, first.Access) {
		t.Fatal(second, err)
	}
	third, err := l.Refresh(ctx, second.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	for _, odd := range []string{"", "pbr_", newRefresh(), first.Access} {
		if _, err := l.Refresh(ctx, odd); !errors.Is(err, ErrRefused) {
			t.Errorf("%q: %v", odd, err)
		}
	}
	// The oldest one comes again: whoever has the newest must not go on either.
	if _, err := l.Refresh(ctx, first.Refresh); !errors.Is(err, ErrRefused) {
		t.Errorf("a second use: %v", err)
	}
	if _, err := l.Refresh(ctx, third.Refresh); !errors.Is(err, ErrRefused) {
		t.Errorf("after the second use: %v", err)
	}
	if err := l.CheckSession(ctx, sessionOf(t, third.Access)); !errors.Is(err, ErrRefused) {
		t.Errorf("its access token: %v", err)
	}
	if _, err := l.Refresh(ctx, other.Refresh); err != nil {
		t.Errorf("another session: %v", err)
	}
}

func TestRefreshTokenIsUsedByOneOfMany(t *testing.T) {
	t.Parallel()
	l := newLogins(t, postgrestest.DB(t))
	if _, err := l.Create(t.Context(), "ann@example.com", password, false); err != nil {
		t.Fatal(err)
	}
	tokens := mustLogIn(t, l, "ann@example.com")
	var group sync.WaitGroup
	var mu sync.Mutex
	good := 0
	for range 8 {
		group.Go(func() {
			_, err := l.Refresh(t.Context(), tokens.Refresh)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				good++
			} else if !errors.Is(err, ErrRefused) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if good > 1 {
		t.Errorf("%d got tokens", good)
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	l := newLogins(t, db)
	ctx := t.Context()
	ann, err := l.Create(ctx, "ann@example.com", password, false)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	l.WhenChanged(func(user string) {
		if user == ann.UserID {
			told++
		}
	})
	yes, next := true, "another good password"
	for name, end := range map[string]func(*Tokens) error{
		"logout": func(tokens *Tokens) error {
			user, err := l.LogOut(ctx, tokens.Refresh)
			if user != ann.UserID {
				t.Errorf("whose session is it? %q", user)
			}
			return err
		},
		"expiry": func(*Tokens) error {
			_, err := db.ExecContext(ctx, `UPDATE session SET expires_at = now() - interval '1 second'`)
			l.sessions = newRecent[string, struct{}]() // as after the time of trust
			return err
		},
		"another role":   func(*Tokens) error { _, err := l.Change(ctx, ann.UserID, LoginChange{Admin: &yes}); return err },
		"another server": func(*Tokens) error { return newLogins(t, db).endSessions(ctx, ann.UserID) },
	} {
		tokens := mustLogIn(t, l, "ann@example.com")
		session := sessionOf(t, tokens.Access)
		if err := l.CheckSession(ctx, session); err != nil {
			t.Error(name, err)
		}
		told = 0
		if err := end(tokens); err != nil {
			t.Error(name, err)
		}
		if here := name == "logout" || name == "another role"; here != (told > 0) {
			t.Errorf("%s: who lets users in was told %d times", name, told)
		}
		if name == "another server" {
			eventually(t, "the session ends here too", func() bool { return l.CheckSession(ctx, session) != nil })
		}
		if err := l.CheckSession(ctx, session); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: the session goes on: %v", name, err)
		}
		if _, err := l.Refresh(ctx, tokens.Refresh); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: it is refreshed: %v", name, err)
		}
	}
	if _, err := l.LogOut(ctx, newRefresh()); err != nil {
		t.Error("unknown token:", err)
	}
	tokens := mustLogIn(t, l, "ann@example.com")
	if err := l.ChangePassword(ctx, ann.UserID, "wrong password", next, "192.0.2.1"); err == nil {
		t.Error("changed without the password")
	}
	if err := l.CheckSession(ctx, sessionOf(t, tokens.Access)); err != nil {
		t.Error("a failed change ends the session:", err)
	}
	if same, err := l.Change(ctx, ann.UserID, LoginChange{}); err != nil || same.Email != "ann@example.com" {
		t.Error(same, err)
	}
	if err := l.CheckSession(ctx, sessionOf(t, tokens.Access)); err != nil {
		t.Error("a change of nothing ends the session:", err)
	}
	if err := l.ChangePassword(ctx, ann.UserID, password, next, "192.0.2.1"); err != nil {
		t.Error(err)
	}
	if err := l.CheckSession(ctx, sessionOf(t, tokens.Access)); !errors.Is(err, ErrRefused) {
		t.Errorf("after the change: %v", err)
	}
	if _, err := l.LogIn(ctx, "ann@example.com", password, "192.0.2.1"); !errors.Is(err, ErrRefused) {
		t.Errorf("the old password: %v", err)
	}
	if _, err := l.LogIn(ctx, "ann@example.com", next, "192.0.2.1"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	if err := l.ChangePassword(ctx, "somebody", password, next, "192.0.2.1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a user without login: %v", err)
	}
	for _, c := range []LoginChange{{Admin: &yes}, {}} {
		if _, err := l.Change(ctx, "somebody", c); !errors.Is(err, ErrNotFound) {
			t.Errorf("an unknown account: %v", err)
		}
	}
	if err := l.tidy(ctx); err != nil {
		t.Error(err)
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	l := newLogins(t, db)
	ctx := t.Context()
	if _, err := l.Create(ctx, "ann@example.com", password, false); err != nil {
		t.Fatal(err)
	}
	try := func(email, address string) error {
		_, err := l.attempt(ctx, email, address)
		return err
	}
	refused := func(err error) bool {
		many, ok := errors.AsType[*TooManyAttempts](err)
		return ok && many.Until.After(time.Now()) && time.Until(many.Until) <= window
	}
	for _, email := range []string{"ann@example.com", "nobody@example.com"} { // the bound tells not which exists
		for range perPair {
			if err := try(email, "192.0.2.1"); err != nil {
				t.Fatal(err)
			}
		}
		if err := try(email, "192.0.2.1"); !refused(err) {
			t.Errorf("%s: %v", email, err)
		}
	}
	// The right password does not help who guessed before; the owner, elsewhere, is not locked out.
	if _, err := l.LogIn(ctx, "ann@example.com", password, "192.0.2.1"); !refused(err) {
		t.Errorf("after too many attempts: %v", err)
	}
	if _, err := l.LogIn(ctx, "ann@example.com", password, "192.0.2.2"); err != nil {
		t.Errorf("the owner: %v", err)
	}
	// One address, many emails; a household of IPv6 is one address.
	for i := range perAddress {
		if err := try(fmt.Sprint(i, "@example.com"), fmt.Sprintf("2001:db8::%x", i)); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := try("new@example.com", "2001:db8::ffff"); !refused(err) {
		t.Errorf("one household: %v", err)
	}
	if err := try("new@example.com", "2001:db8:0:1::1"); err != nil {
		t.Errorf("another household: %v", err)
	}
	// One email, many addresses.
	for i := range perEmail {
		if err := try("often@example.com", fmt.Sprintf("10.0.%d.1", i)); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := try("often@example.com", "10.1.0.1"); !refused(err) {
		t.Errorf("one email: %v", err)
	}
	if _, err := db.ExecContext(ctx, `UPDATE login_attempt SET until = now() - interval '1 second'`); err != nil {
		t.Fatal(err)
	}
	if err := try("often@example.com", "10.1.0.1"); err != nil {
		t.Errorf("in the next window: %v", err)
	}
	if err := l.tidy(ctx); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM login_attempt`).Scan(&left); err != nil || left != 3 {
		t.Errorf("%d counts are left, %v", left, err)
	}
}

// Attempts at the same moment count like others, and those that succeed take nothing from their owner.
func TestAttemptsAtTheSameMoment(t *testing.T) {
	t.Parallel()
	l := newLogins(t, postgrestest.DB(t))
	var group sync.WaitGroup
	var mu sync.Mutex
	passed := 0
	for range 4 * perPair {
		group.Go(func() {
			_, err := l.attempt(t.Context(), "ann@example.com", "192.0.2.1")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				passed++
			} else if _, ok := errors.AsType[*TooManyAttempts](err); !ok {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if passed != perPair {
		t.Errorf("%d attempts passed", passed)
	}
	if _, err := l.Create(t.Context(), "bob@example.com", password, false); err != nil {
		t.Fatal(err)
	}
	for range perPair + 2 {
		mustLogIn(t, l, "bob@example.com")
	}
}

func TestHashingIsBoundedAndGivesUp(t *testing.T) {
	t.Parallel()
	p, err := newPasswords()
	if err != nil {
		t.Fatal(err)
	}
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := p.matches(ctx, password, p.decoy); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func FuzzVerifyKey(f *testing.F) {
	f.Add("pb_")
	f.Add("pb_" + strings.Repeat("A", 42))
	f.Add("pb_" + strings.Repeat("A", 43) + "\n")
	s := New(nil, "UTC", hclog.NewNullLogger()) // malformed keys never reach the database
	f.Cleanup(s.Close)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) == keyLength && strings.HasPrefix(text, KeyPrefix) {
			t.Skip("it may be a key")
		}
		if _, err := s.VerifyKey(t.Context(), text); !errors.Is(err, ErrRefused) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// The keys of a disabled account are refused at once, and those of others are not.
func TestADisabledAccountHasNoKeys(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	l := newLogins(t, db)
	ann, err := l.Create(t.Context(), "ann@example.com", password, false)
	if err != nil {
		t.Fatal(err)
	}
	_, hers := mustCreate(t, l.Service, ann.UserID, named("hers", ExecuteGraph))
	_, other := mustCreate(t, l.Service, "somebody", named("other", ExecuteGraph))
	for _, disabled := range []bool{false, true, false} {
		if _, err := l.Change(t.Context(), ann.UserID, LoginChange{Disabled: &disabled}); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time from memory
			if _, err := l.VerifyKey(t.Context(), hers); errors.Is(err, ErrRefused) != disabled {
				t.Errorf("disabled: %t, the key: %v", disabled, err)
			}
			if _, err := l.VerifyKey(t.Context(), other); err != nil {
				t.Errorf("somebody else's key: %v", err)
			}
		}
	}
}
