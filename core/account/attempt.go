package account

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/uptrace/bun/dialect/pgdialect"
)

// So many attempts to log in are let through within window: for an email from one address, for an email in all, from an
// address in all. The first is what stops guessing, and locks out nobody but whoever guesses; the others bound those who
// guess from many addresses, or at many emails.
const (
	window        = 15 * time.Minute
	perPair       = 10
	perEmail      = 100
	perAddress    = 100
	householdBits = 64 // of an IPv6 address: its owner has all addresses that begin with them
)

// TooManyAttempts says when one may try again.
type TooManyAttempts struct{ Until time.Time }

func (e *TooManyAttempts) Error() string {
	return "there were too many attempts to log in; try again later"
}

// attempt counts before the password is looked at, so that attempts at the same moment count too. What it gives takes
// the attempt back when it has succeeded. Emails without an account are counted like others.
func (l *Logins) attempt(ctx context.Context, email, address string) (succeeded func(context.Context), err error) {
	address = household(address)
	limits := map[Digest]int{
		digestOf("pair\n" + email + "\n" + address): perPair,
		digestOf("email\n" + email):                 perEmail,
		digestOf("address\n" + address):             perAddress,
	}
	subjects := make([][]byte, 0, len(limits))
	for subject := range limits {
		subjects = append(subjects, subject.bytes())
	}
	slices.SortFunc(subjects, slices.Compare) // in one order, so that attempts do not wait for each other crosswise
	rows, err := l.db.QueryContext(ctx, `
		INSERT INTO login_attempt (subject, count, until)
		SELECT subject, 1, now() + make_interval(secs => ?) FROM unnest(?::bytea[]) WITH ORDINALITY AS s (subject, n) ORDER BY n
		ON CONFLICT (subject) DO UPDATE SET
			count = CASE WHEN login_attempt.until > now() THEN login_attempt.count + 1 ELSE 1 END,
			until = CASE WHEN login_attempt.until > now() THEN login_attempt.until ELSE excluded.until END
		RETURNING subject, count, until`, window.Seconds(), pgdialect.Array(subjects))
	if err != nil {
		return nil, fmt.Errorf("count an attempt to log in: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var refused *TooManyAttempts
	for rows.Next() {
		var subject []byte
		var count int
		var until time.Time
		if err := rows.Scan(&subject, &count, &until); err != nil {
			return nil, fmt.Errorf("count an attempt to log in: %w", err)
		}
		if count > limits[[sha256.Size]byte(subject)] && (refused == nil || until.After(refused.Until)) {
			refused = &TooManyAttempts{Until: until}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count an attempt to log in: %w", err)
	}
	if refused != nil {
		return nil, refused
	}
	return func(ctx context.Context) {
		_, err := l.db.ExecContext(ctx, `
			UPDATE login_attempt SET count = greatest(count - 1, 0) WHERE subject IN (
				SELECT subject FROM login_attempt WHERE subject = ANY (?::bytea[]) ORDER BY subject FOR UPDATE)`, pgdialect.Array(subjects))
		if err != nil {
			l.log.Warn("an attempt to log in that succeeded stays counted", "error", err)
		}
	}, nil
}

// household is what of an address is counted.
func household(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Is4() {
		return address
	}
	network, err := a.WithZone("").Prefix(householdBits)
	if err != nil {
		return address
	}
	return network.String()
}
