package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/patchbay-io/patchbay/core/plugin"
)

var (
	namePattern    = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	versionPattern = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}$`) // a folder's name
)

// stagedPrefix marks the folders of packages that are not installed yet.
const stagedPrefix = ".staged-"

// Package is a plugin that was fetched, verified and unpacked, and is not installed.
type Package struct {
	plugin.Manifest
	Source   string
	Digest   string // of the archive; a folder is packed into one
	SignedBy string // whose signature was verified: fingerprint of a key, or issuer and subject of an identity; empty: nobody's
	Files    map[string]string
	Size     int64 // bytes of all files

	signature string

	staged string // belongs to the package until it is installed
	folder string // in staged: where the manifest is
}

// Discard removes what has not been installed of a package.
func (p *Package) Discard() {
	if p != nil && p.staged != "" {
		_ = os.RemoveAll(p.staged)
		p.staged = ""
	}
}

// Archive is the path of the archive as long as the package is not installed or discarded.
func (p *Package) Archive() string { return filepath.Join(p.staged, "archive") }

// Signature is what the archive came with, for somebody else to verify: empty if it had none, or one of another form.
func (p *Package) Signature() string { return p.signature }

// Progress is told how many bytes have come of how many; 0: nobody knows.
type Progress func(done, total int64)

// Stage fetches a package and verifies it, as far as that goes without starting anything. Whoever gets it installs or
// discards it.
func (s *Store) Stage(ctx context.Context, source Source, fetch Fetch) (_ *Package, err error) {
	if err := os.MkdirAll(s.folder, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of plugins: %w", err)
	}
	staged, err := os.MkdirTemp(s.folder, stagedPrefix)
	if err != nil {
		return nil, fmt.Errorf("stage a plugin: %w", err)
	}
	p := &Package{Source: source.String(), staged: staged}
	defer func() {
		if err != nil {
			p.Discard()
		}
	}()
	content := filepath.Join(staged, "content")
	if err := os.Mkdir(content, 0o755); err != nil {
		return nil, fmt.Errorf("stage a plugin: %w", err)
	}
	u, err := newUnpacker(content, s.limits)
	if err != nil {
		return nil, err
	}
	defer u.close()
	if err := s.unpack(ctx, source, fetch, p, u); err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	p.Size = u.size
	if err := p.settle(content, u.digests); err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	if p.SignedBy == "" && (fetch.Signatures == Require || fetch.Demanded) {
		return nil, fmt.Errorf("%s: %w", source, errUnsigned)
	}
	return p, nil
}

var errUnsigned = errors.New("it has no signature of a known key or identity, which is demanded; " +
	"name the public key of its author in PATCHBAY_PLUGIN_KEYS or who that is in PATCHBAY_PLUGIN_IDENTITIES, and its signature where it does not lie beside the archive")

// unpack fetches an archive, verifies it as it was fetched, and only then looks into it.
func (s *Store) unpack(ctx context.Context, source Source, fetch Fetch, p *Package, u *unpacker) error {
	archive, err := os.OpenFile(p.Archive(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = archive.Close() }()
	sum := sha256.New()
	signatures, err := source.fetch(ctx, fetch, s.limits, io.MultiWriter(archive, sum))
	if err != nil {
		return err
	}
	if len(signatures) == 1 && signatures[0].payload == nil {
		p.signature = string(signatures[0].text)
	}
	p.Digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	if fetch.Digest != "" && fetch.Digest != p.Digest {
		return fmt.Errorf("its digest is %s, not %s", p.Digest, fetch.Digest)
	}
	switch {
	case fetch.Verified != "" && fetch.Digest != "":
		p.SignedBy = fetch.Verified
	case fetch.looks():
		if p.SignedBy, err = fetch.verify(ctx, archive, sum.Sum(nil), signatures); err != nil {
			return err
		}
	}
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return u.unpackArchive(archive)
}

// checkLinks refuses symbolic links that lead out of the folder or to nothing, by whatever chain, and files that came to
// lie elsewhere than the archive said.
func (p *Package) checkLinks() error {
	root, err := os.OpenRoot(p.folder)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	folder, err := filepath.EvalSymlinks(p.folder)
	if err != nil {
		return err
	}
	for _, name := range sortedNames(p.Files) {
		if _, err := root.Stat(name); err != nil {
			return fmt.Errorf("%s leads out of the package or to nothing: %w", name, err)
		}
		at := filepath.Join(folder, name)
		parent, err := filepath.EvalSymlinks(filepath.Dir(at))
		if err != nil {
			return err
		}
		if parent != filepath.Dir(at) {
			return fmt.Errorf("%s lies behind a symbolic link", name)
		}
	}
	return nil
}

// noManifest says why no manifest is found in a package: people pack a folder, and something slips in beside it.
func noManifest(content string, entries []fs.DirEntry) error {
	for _, folder := range entries {
		if _, err := os.Lstat(filepath.Join(content, folder.Name(), plugin.ManifestName)); err != nil {
			continue
		}
		for _, beside := range entries {
			if beside != folder {
				return fmt.Errorf("beside the folder %s, with the plugin in it, there is %q: leave that out, or pack what is in the folder",
					folder.Name(), beside.Name())
			}
		}
	}
	return fmt.Errorf("there is no %s in it", plugin.ManifestName)
}

// settle finds the manifest, in the package or in the only folder of it, and checks it.
func (p *Package) settle(content string, digests map[string]string) error {
	p.folder = content
	prefix := ""
	if _, ok := digests[plugin.ManifestName]; !ok {
		entries, err := os.ReadDir(content)
		if err != nil {
			return err
		}
		if len(entries) != 1 || !entries[0].IsDir() {
			return noManifest(content, entries)
		}
		p.folder, prefix = filepath.Join(content, entries[0].Name()), entries[0].Name()+"/"
	}
	p.Files = make(map[string]string, len(digests))
	for name, digest := range digests {
		p.Files[name[len(prefix):]] = digest
	}
	if err := p.checkLinks(); err != nil {
		return err
	}
	var err error
	if p.Manifest, err = plugin.Inspect(p.folder); err != nil {
		return err
	}
	if !versionPattern.MatchString(p.Version) {
		return fmt.Errorf("%s: version %.100q cannot be a folder's name", plugin.ManifestName, p.Version)
	}
	return nil
}
