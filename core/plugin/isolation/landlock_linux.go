package isolation

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// What every process may read: programs, libraries, their configuration, roots of trust, time zones. Of /etc, which holds
// secrets too, no more than that.
var readable = []string{
	"/bin", "/sbin", "/usr", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/run/current-system/sw",
	"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/ld-musl-x86_64.path", "/etc/ld-musl-aarch64.path",
	"/etc/alternatives", "/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf", "/etc/ca-certificates", "/etc/pki/ca-trust",
	"/etc/pki/tls/certs", "/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf", "/etc/static/ssl",
	"/etc/localtime", "/etc/timezone", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/protocols", "/etc/services",
	"/sys/devices/system/cpu", "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
}

// Processes with the network look names up too.
var readableForNetwork = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf"}

var devices = []string{"/dev/null", "/dev/zero", "/dev/full"}

var randomness = []string{"/dev/random", "/dev/urandom"}

const (
	accessFile  = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSExecute | ll.AccessFSWriteFile | ll.AccessFSTruncate)
	accessRead  = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSReadDir | ll.AccessFSExecute)
	accessWrite = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSReadDir | ll.AccessFSWriteFile | ll.AccessFSTruncate |
		ll.AccessFSRemoveDir | ll.AccessFSRemoveFile | ll.AccessFSMakeDir | ll.AccessFSMakeReg | ll.AccessFSMakeSock |
		ll.AccessFSMakeFifo | ll.AccessFSMakeSym | ll.AccessFSRefer)
)

// landlockVersion is that of the kernel's Landlock, 0 where there is none. The system call tells; files in /sys do not.
func landlockVersion() int {
	version, err := ll.LandlockGetABIVersion()
	if err != nil {
		return 0
	}
	return version
}

// usablePath leaves of a PATH the folders of programs that a process may execute: others would only mislead it.
func usablePath(path string, spec Spec) string {
	may := append(readable[:len(readable):len(readable)], filepath.Dir(spec.Path))
	for _, f := range spec.Files {
		if !f.Write {
			may = append(may, f.Path)
		}
	}
	var usable []string
	for _, folder := range filepath.SplitList(path) {
		resolved, err := filepath.EvalSymlinks(folder)
		if err == nil && slices.ContainsFunc(may, func(m string) bool { return resolved == m || strings.HasPrefix(resolved, m+"/") }) {
			usable = append(usable, folder)
		}
	}
	if len(usable) == 0 {
		return "/usr/local/bin:/usr/bin:/bin"
	}
	return strings.Join(usable, string(filepath.ListSeparator))
}

// granted is what every process may read, where it is there.
func granted(network bool) []string {
	paths := slices.Clone(readable)
	if network {
		paths = append(paths, readableForNetwork...)
	}
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if path := os.Getenv(name); path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

// knownRights are those of Landlock's versions, the first one first.
var knownRights = []landlock.Config{
	landlock.V1, landlock.V2, landlock.V3, landlock.V4, landlock.V5, landlock.V6, landlock.V7, landlock.V8, landlock.V9, landlock.V10, landlock.V11,
}

// restrict leaves this thread, and what it becomes, the files of its plan. It is in its working folder. Other threads are
// not asked to follow, which would need /proc: the exec ends them.
func restrict(p plan) error {
	handled := knownRights[min(landlockVersion(), len(knownRights))-1]
	if p.Network {
		handled.HandledAccessNet = 0
	}
	rules, err := ll.LandlockCreateRuleset(&ll.RulesetAttr{
		HandledAccessFS: uint64(handled.HandledAccessFS), HandledAccessNet: uint64(handled.HandledAccessNet), Scoped: uint64(handled.Scoped),
	}, 0)
	if err != nil {
		return fmt.Errorf("restrict files: %w", err)
	}
	defer func() { _ = unix.Close(rules) }()
	// By a descriptor the way there need not be open to the plugin's user, and nothing else can take the place.
	grantOpen := func(fd int, access landlock.AccessFSSet) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			access &= accessFile
		}
		return ll.LandlockAddPathBeneathRule(rules, &ll.PathBeneathAttr{AllowedAccess: uint64(access & handled.HandledAccessFS), ParentFd: fd}, 0)
	}
	grant := func(path string, access landlock.AccessFSSet) error {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		return grantOpen(fd, access)
	}
	for _, path := range granted(p.Network) {
		_ = grant(path, accessRead) // what is not there, or not for this user, is not needed
	}
	for _, path := range devices {
		_ = grant(path, landlock.AccessFSSet(ll.AccessFSReadFile|ll.AccessFSWriteFile|ll.AccessFSTruncate))
	}
	for _, path := range randomness {
		_ = grant(path, landlock.AccessFSSet(ll.AccessFSReadFile))
	}
	if err := grant(".", accessWrite); err != nil {
		return fmt.Errorf("grant the working folder: %w", err)
	}
	if !p.Probe {
		if err := grantOpen(folderFile, accessRead); err != nil {
			return fmt.Errorf("grant the plugin's folder: %w", err)
		}
	}
	for i, f := range p.Files {
		access := accessRead
		if f.Write { // what it can write it cannot execute
			access = accessWrite
		}
		if err := grantOpen(grantedFiles+i, access); err != nil {
			return fmt.Errorf("grant the file %s: %w", f.Path, err)
		}
	}
	if err := ll.LandlockRestrictSelf(rules, 0); err != nil {
		return fmt.Errorf("restrict files: %w", err)
	}
	return nil
}
