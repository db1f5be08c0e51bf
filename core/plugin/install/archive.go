package install

import (
	"archive/tar"
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
)

// limits bound what a package may be.
type limits struct {
	archive  int64 // bytes as it is fetched
	unpacked int64 // bytes of all files
	files    int   // with folders and links
	path     int   // bytes of a name with its folders
}

var defaultLimits = limits{archive: 512 << 20, unpacked: 2 << 30, files: 50_000, path: 512}

// unpacker fills a folder with a package's files, and remembers their digests. Nothing that it is told to write can
// come to lie outside of the folder.
type unpacker struct {
	root    *os.Root
	limits  limits
	size    int64
	entries int
	digests map[string]string
}

func newUnpacker(folder string, l limits) (*unpacker, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return &unpacker{root: root, limits: l, digests: map[string]string{}}, nil
}

func (u *unpacker) close() { _ = u.root.Close() }

// admit counts an entry and gives its name in the folder.
func (u *unpacker) admit(name string) (string, error) {
	if u.entries++; u.entries > u.limits.files {
		return "", u.tooMany()
	}
	clean := path.Clean(strings.TrimSuffix(name, "/"))
	switch {
	case len(name) > u.limits.path:
		return "", fmt.Errorf("the name %.100q… is longer than %d bytes", name, u.limits.path)
	case !utf8.ValidString(name): // plugins.lock could not name it
		return "", fmt.Errorf("the name %.200q is not UTF-8: give the file another one", name)
	case strings.ContainsAny(name, "\\\x00\n\r"):
		return "", fmt.Errorf("the name %.200q holds a backslash or the end of a line: give the file another one", name)
	case path.IsAbs(name) || !filepath.IsLocal(clean) || slices.Contains(strings.Split(name, "/"), ".."):
		return "", fmt.Errorf("the name %.200q leads out of the package", name)
	}
	return clean, nil
}

func (u *unpacker) folder(name string) error {
	name, err := u.admit(name)
	if err != nil || name == "." {
		return err
	}
	return u.root.MkdirAll(name, 0o755)
}

func (u *unpacker) file(name string, executable bool, from io.Reader) error {
	name, err := u.admit(name)
	if err != nil {
		return err
	}
	if dir := path.Dir(name); dir != "." {
		if err := u.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	mode := fs.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	to, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there twice", name)
	}
	if err != nil {
		return err
	}
	sum := sha256.New()
	left := u.limits.unpacked - u.size
	n, err := io.Copy(io.MultiWriter(to, sum), io.LimitReader(from, left+1))
	u.size += n
	err = cmp.Or(err, to.Chmod(mode), to.Sync()) // the mode is not to depend on the umask
	err = cmp.Or(err, to.Close())
	if err == nil && n > left {
		err = u.tooMuch()
	}
	u.digests[name] = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return err
}

// link makes a symbolic link, which must stay in the package.
func (u *unpacker) link(name, to string) error {
	name, err := u.admit(name)
	if err != nil {
		return err
	}
	if path.IsAbs(to) || len(to) > u.limits.path || strings.ContainsAny(to, "\\\x00") || !filepath.IsLocal(path.Join(path.Dir(name), to)) {
		return fmt.Errorf("the link %s leads out of the package", name)
	}
	if dir := path.Dir(name); dir != "." {
		if err := u.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	sum := sha256.Sum256([]byte(to))
	u.digests[name] = "sha256:" + hex.EncodeToString(sum[:])
	return u.root.Symlink(to, name)
}

// survey counts what is in a .tar.gz before any of it is written, which takes far longer.
func (u *unpacker) survey(from io.Reader) error {
	zipped, err := gzip.NewReader(bufio.NewReader(from))
	if err != nil {
		return fmt.Errorf("unpack: this is no .tar.gz: %w", err)
	}
	archive := tar.NewReader(zipped)
	for entries, size := 0, int64(0); ; entries++ {
		header, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("unpack: %w", err)
		case entries >= u.limits.files:
			return fmt.Errorf("unpack: %w", u.tooMany())
		}
		if size += header.Size; size > u.limits.unpacked {
			return fmt.Errorf("unpack: %w", u.tooMuch())
		}
	}
}

func (u *unpacker) tooMany() error { return fmt.Errorf("there are more than %d files", u.limits.files) }

func (u *unpacker) tooMuch() error {
	return fmt.Errorf("the files take more than %d MiB", u.limits.unpacked>>20)
}

// unpackArchive unpacks a .tar.gz. Only files, folders and symbolic links can be in it.
func (u *unpacker) unpackArchive(from io.ReadSeeker) error {
	if err := u.survey(from); err != nil {
		return err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	zipped, err := gzip.NewReader(bufio.NewReader(from))
	if err != nil {
		return fmt.Errorf("unpack: this is no .tar.gz: %w", err)
	}
	for archive := tar.NewReader(zipped); ; {
		header, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return finish(zipped)
		case err != nil:
			return fmt.Errorf("unpack: %w", err)
		}
		switch header.Typeflag {
		case tar.TypeReg:
			err = u.file(header.Name, header.FileInfo().Mode()&0o111 != 0, archive)
		case tar.TypeDir:
			err = u.folder(header.Name)
		case tar.TypeSymlink:
			err = u.link(header.Name, header.Linkname)
		case tar.TypeXGlobalHeader:
		default:
			err = fmt.Errorf("%.200q is no file, folder or symbolic link", header.Name)
		}
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
	}
}

// maxPadding bounds what may follow the files of an archive.
const maxPadding = 16 << 20

// finish reads what follows the files, so that the checksum at the very end is compared.
func finish(zipped io.Reader) error {
	switch n, err := io.Copy(io.Discard, io.LimitReader(zipped, maxPadding+1)); {
	case err != nil:
		return fmt.Errorf("unpack: the archive is damaged: %w", err)
	case n > maxPadding:
		return fmt.Errorf("unpack: more than %d MiB follow the files", maxPadding>>20)
	}
	return nil
}

// digestOf is the digest of a file as the unpacker writes it down.
func digestOf(path string, e fs.DirEntry) (string, error) {
	sum := sha256.New()
	if e.Type()&fs.ModeSymlink != 0 {
		to, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		_, _ = io.WriteString(sum, to)
		return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
	}
	if !e.Type().IsRegular() {
		return "", errors.New("it is no file")
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}
