//go:build unix

package sdk

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Standard output of a plugin carries one line, the handshake (or its manifest). Whatever else a block, a library or a
// child process prints there would break it, so in a process that a host started file descriptor 1 is moved aside
// before anything else runs, and prints go to standard error, where the host takes them for log lines.
var (
	handshake = os.Stdout
	stderr    = os.Stderr
)

func init() {
	if os.Getenv(proto.Handshake.MagicCookieKey) != proto.Handshake.MagicCookieValue && !wantsManifest() {
		return
	}
	aside, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return // no standard output at all: nothing to protect
	}
	if err := unix.Dup2(2, 1); err != nil {
		return
	}
	handshake = os.NewFile(uintptr(aside), "handshake")
	os.Stdout = os.Stderr
}

// restoreStdio undoes what go-plugin did to the standard streams: it replaces them with pipes that fill up unless the
// host reads them over gRPC. Called by handlers, which go-plugin starts after it has replaced them.
func restoreStdio() { os.Stdout, os.Stderr = stderr, stderr }
