package servertest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrNoPgBouncer means that the program is not installed.
var ErrNoPgBouncer = errors.New("PgBouncer is not installed")

// PgBouncer is one in transaction mode that stands before a database.
type PgBouncer struct {
	*Kept
	// DSN is the database's, through it.
	DSN string
	log *os.File
}

// StartPgBouncer starts one that keeps its files in a folder, which it makes; the user postgres must be able to enter the one
// above. The DSN is the database's by itself; sessions is how many it has there, which its clients share.
func StartPgBouncer(dir, dsn string, sessions int) (*PgBouncer, error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		return nil, ErrNoPgBouncer
	}
	to, err := url.Parse(dsn)
	if err != nil {
		return nil, err
	}
	address, err := FreeAddress("127.0.0.1")
	if err != nil {
		return nil, err
	}
	host, port := to.Query().Get("host"), "5432"
	if host == "" {
		host, port = to.Hostname(), to.Port()
	}
	password, _ := to.User.Password()
	_, own, _ := net.SplitHostPort(address)
	name := strings.TrimPrefix(to.Path, "/")
	config := fmt.Sprintf("[databases]\n%s = host=%s port=%s dbname=%s user=%s password=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %s\nunix_socket_dir =\n"+
		"auth_type = any\npool_mode = transaction\ndefault_pool_size = %d\nmax_client_conn = 200\nserver_login_retry = 1\nignore_startup_parameters = extra_float_digits,plan_cache_mode\n",
		name, host, port, name, to.User.Username(), password, own, sessions)
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(file, []byte(config), 0o600)); err != nil {
		return nil, err
	}
	var attributes *syscall.SysProcAttr
	if os.Geteuid() == 0 { // which it refuses to run as
		who, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(who.Uid)
		gid, _ := strconv.Atoi(who.Gid)
		if err := errors.Join(os.Chown(dir, uid, gid), os.Chown(file, uid, gid)); err != nil {
			return nil, err
		}
		attributes = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	return &PgBouncer{
		Kept: Keep(log, func() *exec.Cmd {
			cmd := exec.Command(program, file)
			cmd.Dir, cmd.SysProcAttr = dir, attributes
			return cmd
		}),
		DSN: fmt.Sprintf("postgres://%s:any@%s/%s?sslmode=disable", to.User.Username(), address, name),
		log: log,
	}, nil
}

// Finish ends it for good.
func (p *PgBouncer) Finish() {
	p.Kept.Finish()
	_ = p.log.Close()
}

// FreeAddress is one of a host that nothing listens at.
func FreeAddress(host string) (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
