// Package postgres opens databases, applies the migrations, and runs the private Postgres of a server that was given
// none. It knows how connections, locks and processes work and nothing of what is stored: tables and their queries
// belong to the packages of their domain.
package postgres

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/driver/pgdriver"
)

// OldestMajor is the oldest major version of Postgres that works.
const OldestMajor = 15

// How long one read or write of a connection may take. A query that runs longer than that is cut off, whatever its
// context says, so that a half-open connection never holds its caller for good.
const (
	dialTimeout  = 5 * time.Second
	queryTimeout = 30 * time.Second
)

// The driver prints connections that it gives up to stderr; their users get errors all the same.
func init() { pgdriver.Logger = silence{} }

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// Open returns a pool of at most maxConns connections to the database of a URL such as
// postgres://user:password@host:5432/name. It connects to nothing yet.
//
// As in libpq, host=/folder names the folder of a unix socket, and without sslmode TLS is used where the server
// offers it.
func Open(dsn string, maxConns int) (*bun.DB, error) {
	pool, err := openPool(dsn, queryTimeout)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(maxConns)
	// A connection costs a login with a slow digest and a process: those that exist are kept.
	pool.SetMaxIdleConns(maxConns)
	return bun.NewDB(pool, pgdialect.New()), nil
}

// Check says why a database can't be used: it can't be reached, or is too old.
func Check(ctx context.Context, db *bun.DB) error {
	var version int
	err := db.QueryRowContext(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version)
	if err != nil {
		return fmt.Errorf("ask the database for its version: %w", err)
	}
	if major := version / 10000; major < OldestMajor {
		return fmt.Errorf("the database is PostgreSQL %d; Patchbay needs %d or newer", major, OldestMajor)
	}
	return nil
}

func openPool(dsn string, timeout time.Duration) (*sql.DB, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		// The error of Parse repeats the URL with its password.
		return nil, errors.New("the database URL is no URL")
	}
	opportunistic := normalise(u)
	connector, err := pgdriver.NewDriver().OpenConnector(u.String())
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %s", strings.ReplaceAll(err.Error(), u.String(), u.Redacted()))
	}
	conf := connector.(*pgdriver.Connector).Config()
	conf.DialTimeout, conf.ReadTimeout, conf.WriteTimeout = dialTimeout, timeout, timeout
	conf.EnableTracing = false
	conf.ResetSessionFunc = refuseDead
	// What is prepared here is prepared because planning it costs as much as executing it.
	if conf.ConnParams == nil {
		conf.ConnParams = map[string]any{}
	}
	conf.ConnParams["plan_cache_mode"] = "force_generic_plan"
	if conf.AppName == "" {
		conf.AppName = "patchbay"
	}
	if conf.Network == "unix" {
		conf.TLSConfig = nil
	} else if opportunistic {
		conf.TLSConfig = nil
		conf.Dialer = dialPreferringTLS
	}
	return sql.OpenDB(connector), nil
}

// refuseDead lets the pool drop a connection whose other end has closed it, or has sent what nobody asked for, which is how
// a database says good-bye. After a restart of the database all connections of the pool are such, and each query would
// fail on one of them.
func refuseDead(_ context.Context, cn *pgdriver.Conn) error {
	conn := cn.Conn()
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return driver.ErrBadConn
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = errors.Is(err, syscall.EAGAIN)
	})
	if err != nil || !quiet {
		return driver.ErrBadConn
	}
	return nil
}

// normalise turns what libpq understands and the driver does not into what it does, and reports whether TLS is up to
// the server.
func normalise(u *url.URL) (opportunistic bool) {
	q := u.Query()
	if host := q.Get("host"); strings.HasPrefix(host, "/") && !strings.Contains(host, "/.s.PGSQL.") {
		port := q.Get("port")
		if port == "" {
			port = "5432"
		}
		q.Set("host", strings.TrimRight(host, "/")+"/.s.PGSQL."+port)
	}
	q.Del("port")
	switch q.Get("sslmode") {
	case "", "allow", "prefer":
		q.Del("sslmode")
		opportunistic = !q.Has("sslrootcert")
	}
	u.RawQuery = q.Encode()
	return opportunistic
}

// dialPreferringTLS is libpq's sslmode=prefer, which the driver lacks: encrypted if the server can, without looking
// at its certificate.
func dialPreferringTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	encrypted, err := offerTLS(ctx, conn)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("agree on TLS with the database: %w", err)
	}
	return encrypted, nil
}

func offerTLS(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	sslRequest := []byte{0, 0, 0, 8, 4, 210, 22, 47}
	if _, err := conn.Write(sslRequest); err != nil {
		return nil, err
	}
	answer := make([]byte, 1)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return nil, err
	}
	if answer[0] == 'S' {
		encrypted := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = encrypted
	}
	return conn, conn.SetDeadline(time.Time{})
}
