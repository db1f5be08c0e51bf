//go:build linux

package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/plugin/isolation"
)

// mustIsolate makes a missing means of isolation an error and no reason to leave a test out.
const mustIsolate = "PATCHBAY_TEST_ISOLATION"

// needs leaves the test out where the system lacks a feature.
func needs(t testing.TB, system *isolation.System, names ...string) {
	t.Helper()
	for _, f := range system.Features() {
		if !f.Have && slices.Contains(names, f.Name) {
			if os.Getenv(mustIsolate) != "" {
				t.Fatalf("the system lacks isolation of %s: %s", f.Name, f.Detail)
			}
			t.Skipf("the system lacks isolation of %s: %s", f.Name, f.Detail)
		}
	}
}

type target struct{ Kind, What string }

func (h *testHost) attack(targets ...target) (done []string) {
	h.t.Helper()
	raw, err := json.Marshal(map[string]any{"value": targets})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, output := range h.mustDo(blockAttack, string(raw)) {
		var text string
		if err := json.Unmarshal([]byte(output), &text); err != nil {
			h.t.Fatal(err)
		}
		done = append(done, text)
	}
	return done
}

// temptations are things that no plugin can have, all open to every user as far as they are files: the permissions of
// files are not to be what keeps a plugin out.
func temptations(t testing.TB, h *testHost) []target {
	dir := openFolder(t)
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("sesame"), 0o666); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "socket")
	unixListener := listen(t, "unix", socket)
	if err := os.Chmod(socket, 0o777); err != nil {
		t.Fatal(err)
	}
	tcp := listen(t, "tcp", "127.0.0.1:0")
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	abstract := listen(t, "unix", "@patchbay-test-"+filepath.Base(dir))
	targets := []target{
		{"read", secret}, {"read", dir}, {"write", secret}, {"write", filepath.Join(dir, "new")}, {"run", "cat " + secret},
		{"read", "/etc/shadow"}, {"read", "/etc/hostname"}, {"read", "/proc"}, {"read", "/proc/self/environ"}, {"read", "/proc/self/mem"},
		{"read", "/proc/mounts"}, {"read", "/"}, {"read", "/root"}, {"read", "/home"}, {"read", "/tmp"}, {"write", "/tmp/patchbay-attack"},
		{"read", "/sys/kernel"}, {"read", "/dev/mem"}, {"read", "/dev/sda"}, {"read", h.launcher.runtime.path},
		{"unix", unixListener.Addr().String()}, {"unixgram", socket}, {"unix", abstract.Addr().String()},
		{"tcp", tcp.Addr().String()}, {"tcp", "169.254.169.254:80"}, {"tcp", "[::1]:1"}, {"udp", udp.LocalAddr().String()}, {"udp", "169.254.169.254:53"},
		{"call", "open_tree_attr"}, {"call", "statmount"}, {"call", "listmount"}, {"call", "listns"}, {"call", "kexec_file_load"},
		{"root", ""}, {"namespace", ""}, {"ipc", "shm"}, {"ipc", "sem"}, {"ipc", "msg"}, {"group", "/sys/fs/cgroup/memory/cgroup.procs"}, {"group", "/sys/fs/cgroup/cgroup.procs"},
	}
	victims := []int{os.Getpid(), os.Getppid()}
	for _, st := range h.Plugins() {
		if st.Name != "good" {
			victims = append(victims, st.PID)
		}
	}
	for _, pid := range victims {
		number := strconv.Itoa(pid)
		proc := "/proc/" + number
		targets = append(targets, target{"signal", number}, target{"ptrace", number}, target{"memory", number}, target{"read", proc + "/environ"},
			target{"read", proc + "/mem"}, target{"read", proc + "/cmdline"}, target{"read", proc + "/root"}, target{"read", proc + "/fd"})
	}
	folders, err := filepath.Glob(filepath.Join(h.launcher.runtime.path, "p-*"))
	if err != nil || len(folders) < 2 {
		t.Fatalf("private folders %v %v", folders, err)
	}
	own := "nowhere"
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", h.status("good").PID)); err == nil {
		own = cwd
	}
	for _, folder := range folders {
		if folder == own {
			continue
		}
		sockets, err := filepath.Glob(filepath.Join(folder, "plugin-dir*", "plugin*"))
		if err != nil || len(sockets) == 0 {
			t.Fatalf("sockets %v %v", sockets, err)
		}
		targets = append(targets, target{"read", folder}, target{"write", filepath.Join(folder, "new")}, target{"unix", sockets[0]})
	}
	return targets
}

func listen(t testing.TB, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// openFolder is one that every user can get to and write into.
func openFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pbopen")
	if err == nil {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestHostilePluginGetsNothing(t *testing.T) {
	t.Parallel()
	h := start(t, "good", "raw_victim")
	needs(t, h.launcher.system, "files", "network", "system calls")
	if os.Geteuid() == 0 {
		needs(t, h.launcher.system, "users")
	}
	if done := h.attack(temptations(t, h)...); len(done) > 0 {
		t.Errorf("it could %s", strings.Join(done, "\n"))
	}
	useful := []target{{"own", ""}, {"self", ""}, {"read", "/etc/passwd"}, {"read", "/usr"}, {"run", "true"}, {"write", "/dev/null"}, {"read", "/dev/urandom"},
		{"run", "test $(ulimit -n) -le 4096 -a $(ulimit -c) = 0"}}
	if done := h.attack(useful...); len(done) != len(useful) {
		t.Errorf("of what it needs it could do %v", done)
	}
	if st := h.status("raw_victim"); st.State != Ready || st.Restarts > 0 {
		t.Errorf("the other plugin: %+v", st)
	}
}

func TestGrantedIsToBeHad(t *testing.T) {
	t.Setenv("GRANTED_TO_PLUGINS", "yes")
	dir := install(t, "good")
	files := openFolder(t)
	for _, name := range []string{"read", "write"} {
		if err := os.Mkdir(filepath.Join(files, name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(files, name, "file"), []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(files, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	permissions := Permissions{
		Environment: []string{"GRANTED_TO_PLUGINS"},
		Files:       []FileAccess{{Path: filepath.Join(files, "read")}, {Path: filepath.Join(files, "write"), Write: true}},
	}
	raw, err := json.Marshal(map[string]any{"name": "good", "version": "1.0.0", "protocol": 1, "permissions": permissions})
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "good", string(raw))
	h := startHost(t, Config{Dirs: []string{dir}}, testPace())
	granted := []target{
		{"read", filepath.Join(files, "read", "file")},
		{"write", filepath.Join(files, "write", "new")}, {"run", `test "$GRANTED_TO_PLUGINS" = yes`},
	}
	if done := h.attack(granted...); len(done) != len(granted) {
		t.Errorf("of what it was granted it had %v", done)
	}
	needs(t, h.launcher.system, "files")
	if done := h.attack(target{"write", filepath.Join(files, "read", "new")}, target{"read", files}, target{"read", "/proc/self/environ"}); len(done) > 0 {
		t.Errorf("it could %v", done)
	}
}

func TestGrantedFileThatIsMissingIsNamedFirst(t *testing.T) {
	t.Parallel()
	dir := install(t, "good", "raw_victim")
	put(t, dir, "good", `{"name":"good","version":"1.0.0","protocol":1,"permissions":{"files":[{"path":"/nowhere/at/all"}]}}`)
	h := startHost(t, Config{Dirs: []string{dir}}, testPace())
	needs(t, h.launcher.system, "files")
	if st := h.status("good"); !strings.HasPrefix(st.Error, "the plugin could not be started: grant the file /nowhere/at/all") {
		t.Errorf("%+v", st)
	}
}

func TestFoldersOfTheServerAreGrantedToNobody(t *testing.T) {
	t.Parallel()
	dir := install(t, "good", "raw_a")
	data := t.TempDir()
	for name, path := range map[string]string{"good": filepath.Dir(data), "raw_a": filepath.Join(data, "server")} {
		put(t, dir, name, fmt.Sprintf(`{"name":%q,"version":"1.0.0","protocol":1,"permissions":{"files":[{"path":%q}]}}`, name, path))
	}
	h := startHost(t, Config{Dirs: []string{dir}, Private: []string{data}}, testPace())
	for _, name := range []string{"good", "raw_a"} {
		if st := h.status(name); st.State != Failed || !strings.Contains(st.Error, "cannot be granted") {
			t.Errorf("%+v", st)
		}
	}
}

// What a plugin was not granted has no name for it: there is nothing to be seen of other files, and no socket to connect
// to, also with the network permission.
func TestPluginsSeeNoFilesButTheirs(t *testing.T) {
	t.Parallel()
	dir := install(t, "good", "raw_victim")
	put(t, dir, "good", fmt.Sprintf(withNetwork, "good"))
	h := startHost(t, Config{Dirs: []string{dir}, Proxy: guarded("127.0.0.2/32")}, testPace())
	needs(t, h.launcher.system, "files", "file names")
	others := openFolder(t)
	socket, datagrams := filepath.Join(others, "socket"), filepath.Join(others, "datagrams")
	listen(t, "unix", socket)
	packets, err := net.ListenPacket("unixgram", datagrams)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = packets.Close() })
	for _, path := range []string{socket, datagrams} {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	victims, err := filepath.Glob(filepath.Join(h.launcher.runtime.path, "p-*", "plugin-dir*", "plugin*"))
	if err != nil || len(victims) != 2 {
		t.Fatalf("sockets %v %v", victims, err)
	}
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", h.status("good").PID))
	if err != nil {
		t.Fatal(err)
	}
	victims = slices.DeleteFunc(victims, func(path string) bool { return strings.HasPrefix(path, own+"/") })
	targets := []target{
		{"unix", socket}, {"unixgram", datagrams}, {"unix", victims[0]}, {"see", victims[0]}, {"see", socket}, {"see", others},
		{"see", "/etc/shadow"}, {"see", "/root"}, {"see", "/home"}, {"see", "/var/lib"}, {"see", "/dev/shm"},
		{"see", filepath.Join(dir, "raw_victim")}, {"write", "/new"}, {"write", "/etc/new"}, {"write", "/usr/new"}, {"write", filepath.Join(dir, "good", "new")},
	}
	for _, pid := range []int{os.Getpid(), os.Getppid(), 1, h.status("raw_victim").PID} {
		for _, way := range []string{"root", "cwd/../../.."} {
			out := fmt.Sprintf("/proc/%d/%s", pid, way)
			targets = append(targets, target{"see", out + "/etc/shadow"}, target{"unix", out + socket}, target{"unixgram", out + datagrams})
		}
	}
	if done := h.attack(targets...); len(done) > 0 {
		t.Errorf("it could %s", strings.Join(done, "\n"))
	}
	useful := []target{{"self", ""}, {"own", ""}, {"run", "echo x | cat /dev/stdin > /dev/stdout"}, {"see", "/bin/sh"}, {"read", "/etc/resolv.conf"}}
	if done := h.attack(useful...); len(done) != len(useful) {
		t.Errorf("of what it needs it could do %v", done)
	}
}

func TestSocketOfSomebodyElseIsNotThePlugins(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "script", `{"name":"script","version":"1.0.0","protocol":1}`)
	if err := os.WriteFile(filepath.Join(dir, "script", "script"), []byte("#!/bin/sh\nread wait < /dev/zero\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	launcher, err := NewLauncher(Config{RuntimeDir: runtimeFolder(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer launcher.Close()
	folder, err := launcher.Folder()
	if err != nil {
		t.Fatal(err)
	}
	cell, err := launcher.Prepare(Installation{Name: "script", Folder: filepath.Join(dir, "script")}, folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cell.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := cell.Dial(t.Context(), "unix", listen(t, "unix", filepath.Join(openFolder(t), "socket")).Addr().String())
	if err == nil {
		_ = conn.Close()
		t.Error("the host took this test's socket for the plugin's")
	} else if !strings.Contains(err.Error(), "connect to the plugin: the socket is that of") {
		t.Error(err)
	}
	_ = syscall.Kill(-cell.Command.Process.Pid, syscall.SIGKILL)
	_ = cell.Command.Wait()
	if _, err := cell.Close(); err != nil {
		t.Error(err)
	}
}

// bounded starts a plugin that may have 128 MiB and 40 processes.
func bounded(t *testing.T) *testHost {
	dir := install(t, "good", "raw_victim")
	put(t, dir, "good", `{"name":"good","version":"1.0.0","protocol":1,"permissions":{"memory":128,"processes":40}}`)
	return startHost(t, Config{Dirs: []string{dir}}, testPace())
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	h := bounded(t)
	r, _ := h.do(blockDevour, `{"n":400,"size":5000}`) // in two seconds, for the watchdog
	if r.Crashed == nil || !strings.Contains(r.Crashed.Detail, "more than the 128 MiB") {
		t.Errorf("%+v %+v", r, r.Crashed)
	}
	h.mustDo(blockEcho, `{"value":1}`)
	if st := h.status("raw_victim"); st.State != Ready || st.Restarts > 0 {
		t.Errorf("the other plugin: %+v", st)
	}
}

func TestPrivateFolderIsBounded(t *testing.T) {
	t.Parallel()
	dir := install(t, "good")
	put(t, dir, "good", `{"name":"good","version":"1.0.0","protocol":1,"permissions":{"memory":64}}`)
	h := startHost(t, Config{Dirs: []string{dir}}, testPace())
	if done := h.attack(target{"run", "head -c 80M /dev/zero > $TMPDIR/large"}); len(done) > 0 {
		t.Error("it wrote a file of more than it may have")
	}
	for script, want := range map[string]string{
		"head -c 40M /dev/zero > $TMPDIR/a; cp $TMPDIR/a $HOME/b; exec sleep 60":                                   "more than the 64 MiB of files",
		"cd $TMPDIR; exec 3> a 4> b; rm a b; head -c 40M /dev/zero >&3; head -c 40M /dev/zero >&4; exec sleep 60":  "more than the 64 MiB of files",
		"mkdir $HOME/many; cd $HOME/many; i=0; while [ $i -lt 10001 ]; do : > $i; i=$((i+1)); done; exec sleep 60": "more than the 10000 files",
	} {
		r, _ := h.do(blockAttack, fmt.Sprintf(`{"value":[{"Kind":"run","What":%q}]}`, script))
		if r.Crashed == nil || !strings.Contains(r.Crashed.Detail, want) {
			t.Errorf("%s: %+v %+v", script, r, r.Crashed)
		}
	}
	h.mustDo(blockEcho, `{"value":1}`)
}

func TestProcessesAreBoundedAndEndWithThePlugin(t *testing.T) {
	t.Parallel()
	h := bounded(t)
	needs(t, h.launcher.system, "processes")
	pid := h.status("good").PID
	var bred int
	if err := json.Unmarshal([]byte(h.mustDo(blockBreed, `{"n":200}`)[0]), &bred); err != nil || bred > 40 {
		t.Errorf("it started %d processes (%v)", bred, err)
	}
	children := descendants(t, pid)
	if len(children) != bred || bred < 5 {
		t.Errorf("%d children of %d", len(children), bred)
	}
	began := time.Now()
	h.Close() // they are in sessions of their own and hold its standard error
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %s", took)
	}
	for _, child := range children {
		if alive(child) {
			t.Errorf("process %d is left", child)
		}
	}
}

func descendants(t *testing.T, parent int) (pids []int) {
	t.Helper()
	raw, err := exec.Command("ps", "-eo", "pid=,ppid=").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		var pid, of int
		if n, _ := fmt.Sscan(line, &pid, &of); n == 2 && of == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestChangedFileIsNotExecuted(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(install(t, "good"), "good")
	digests := map[string]string{}
	for _, name := range []string{"good", manifestName} {
		file, err := os.Open(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		digests[name], err = Digest(file)
		_ = file.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	installed := Installation{Name: "good", Folder: folder, Digests: digests}
	h := startHost(t, Config{Installed: []Installation{installed}}, testPace())
	h.mustDo(blockEcho, `{"value":1}`)
	f, err := installed.inspect()
	if err != nil {
		t.Fatal(err)
	}
	check := func(want string) {
		t.Helper()
		file, err := f.open()
		if err == nil {
			_ = file.Close()
			t.Errorf("it is executed, though %s", want)
		} else if !isPermanent(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell %q", err, want)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write("more", "")
	check("more is not among the files")
	if err := os.Remove(filepath.Join(folder, "more")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(folder, manifestName)); err != nil {
		t.Fatal(err)
	}
	check("1 of those that were installed are missing")
	write(manifestName, "{}")
	check(manifestName + " is not what was installed")
	if err := os.Remove(f.path); err != nil { // a link to what other tests use
		t.Fatal(err)
	}
	write("good", "#!/bin/sh\n")
	check("is not what was installed")
	pid := h.status("good").PID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the verdict", func() bool { return h.status("good").State == Failed })
}

// Without root there are no users for plugins, and Landlock and the filter of system calls have to do.
func TestHostilePluginOfAnOrdinaryUserGetsNothing(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("the other test is this one")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := openFolder(t) // the test binary lies where only root gets to
	for from, to := range map[string]string{self: "test", filepath.Join(built, "testplugin"): "testplugin", filepath.Join(built, "rawplugin"): "rawplugin"} {
		program, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), program, 0o755)
		}
		if err == nil { // who makes hard links to a file must own it
			err = os.Chown(filepath.Join(dir, to), 65534, 65534)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "test"), "-test.run=^TestHostilePluginGetsNothing$|^TestHostilePluginWithTheNetwork|^TestGranted|^TestPluginThatPutsALink|^TestSocketOfSomebodyElse|^TestPluginsSeeNoFiles|^TestMemoryIsBounded$|^TestPrivateFolderIsBounded$|^TestInterpreters|^TestPluginDiesWithAHost|^TestEscaped", "-test.v")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), unprivileged+"="+dir, "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	said, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(said), "--- SKIP") && os.Getenv(mustIsolate) != "" || !strings.Contains(string(said), "--- PASS: TestHostile") {
		t.Errorf("%v\n%s", err, said)
	}
}

// Interpreters need more of the system than programs do: their libraries, and modules beside the script.
func TestInterpretersWorkUnderIsolation(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"python3": `#!/usr/bin/env python3
import ctypes, json, os, socket, ssl, subprocess, sys, tempfile, threading
import beside
ssl.create_default_context()
with tempfile.NamedTemporaryFile() as f: f.write(b"x")
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
subprocess.run([sys.executable, "-c", "pass"], check=True)
a, b = socket.socketpair()
l = socket.socket(socket.AF_UNIX); l.bind("here"); l.listen()
sys.exit(beside.VALUE)
`,
		"node": `#!/usr/bin/env node
const fs = require("fs"), os = require("os"), path = require("path"), child = require("child_process");
const beside = require(path.join(path.dirname(process.argv[1]), "beside.js"));
fs.writeFileSync(path.join(os.tmpdir(), "x"), "x");
require("crypto").randomBytes(8);
child.execFileSync(process.execPath, ["-e", ""]);
require("net").createServer().listen("here", () => process.exit(beside.value));
`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := os.Stat(filepath.Join("/usr/bin", name)); err != nil {
				t.Skip("it is not installed as a part of the system")
			}
			dir := install(t, "raw_victim")
			put(t, dir, "script", `{"name":"script","version":"1.0.0","protocol":1}`)
			for file, text := range map[string]string{"script": script, "beside.py": "VALUE = 7\n", "beside.js": "exports.value = 7\n"} {
				if err := os.WriteFile(filepath.Join(dir, "script", file), []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			h := startHost(t, Config{Dirs: []string{dir}}, testPace())
			if st := h.status("script"); !strings.Contains(st.Error, "exit status 7") {
				t.Errorf("%+v", st)
			}
		})
	}
}
