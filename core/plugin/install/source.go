package install

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/patchbay-io/patchbay/core/plugin"
)

type sourceKind int

const (
	folderSource sourceKind = iota
	archiveSource
	urlSource
	ociSource
	uploadSource
)

// Source is where a package comes from.
type Source struct {
	kind      sourceKind
	text      string
	signature string // path or URL; empty: beside the archive
	reader    io.Reader
}

// Fetch is how a package is fetched.
type Fetch struct {
	// HTTP makes requests. It decides which addresses are reached.
	HTTP http.RoundTripper
	// Signatures is what an unsigned package gets, Keys and Identities are those whose signatures count.
	Signatures Policy
	Keys       []crypto.PublicKey
	Identities []Identity
	// Root is what signatures of identities are verified by; nil: that of Sigstore's public service, which is fetched.
	Root TrustedRoot
	// Demanded says that a signature of one of the keys or identities is wanted whatever the policy is.
	Demanded bool
	// Credential gives what a registry asks for; nil: nothing.
	Credential auth.CredentialFunc
	// Verified is who has signed the archive with this Digest, where that has been verified already.
	Verified string
	// Digest, unless empty, is what the archive's must be.
	Digest   string
	Progress Progress
}

// looks says whether signatures are looked for at all.
func (f Fetch) looks() bool { return f.Signatures != Off || f.Demanded }

// trusts says whether anybody's signature counts.
func (f Fetch) trusts() bool { return len(f.Keys)+len(f.Identities) > 0 }

// String is the source for people, logs and plugins.lock: without what follows a URL's path, which may be a secret.
func (s Source) String() string {
	if s.kind != urlSource {
		return s.text
	}
	return withoutQuery(s.text)
}

func withoutQuery(text string) string {
	text, _, _ = strings.Cut(text, "#")
	text, _, _ = strings.Cut(text, "?")
	return text
}

// Remote says that the source is no file of this machine.
func (s Source) Remote() bool { return s.kind == urlSource || s.kind == ociSource }

// ParseSource understands what a user calls a source: a folder, a .tar.gz, an https:// URL, an OCI reference with or
// without oci:// before it. signature, unless empty, is a file or URL with the archive's signature.
func ParseSource(text, signature string) (Source, error) {
	s := Source{text: text, signature: signature}
	scheme, rest, hasScheme := strings.Cut(text, "://")
	if !hasScheme {
		info, err := os.Stat(text)
		switch {
		case err == nil && info.IsDir():
			s.kind = folderSource
			if signature != "" {
				return s, errors.New("a folder has no signature; take the archive that was signed")
			}
			if isProject(text) {
				return s, fmt.Errorf("%s is the project of a plugin: run make build there, and install %s", text, filepath.Join(text, "dist"))
			}
		case err == nil && info.Mode().IsRegular():
			s.kind = archiveSource
		case err == nil:
			return s, fmt.Errorf("%s is no file and no folder", text)
		case looksLikeReference(text):
			s.kind, s.text = ociSource, "oci://"+text
			return s, nil
		case errors.Is(err, fs.ErrNotExist):
			return s, fmt.Errorf("there is no file and no folder %s; a source of plugins is one of these, or begins with https:// or oci://", text)
		default:
			return s, fmt.Errorf("find the plugin: %w", err)
		}
		if s.text, err = filepath.Abs(text); err != nil {
			return s, fmt.Errorf("find the plugin: %w", err)
		}
		return s, nil
	}
	switch scheme {
	case "https":
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			return s, fmt.Errorf("%.200q is no URL", text)
		}
		if u.User != nil {
			return s, errors.New("the URL holds a name or a password, which would be kept with the plugin; take one without")
		}
		s.kind = urlSource
	case "oci":
		if _, err := registry.ParseReference(rest); err != nil {
			return s, fmt.Errorf("%.200q is no reference such as oci://registry.example.com/plugins/name:1.0.0: %w", text, err)
		}
		s.kind = ociSource
	default:
		return s, fmt.Errorf("%s:// is no source of plugins; there are https://, oci://, folders and .tar.gz files", scheme)
	}
	return s, nil
}

// isProject says whether a folder holds what a plugin is built from, and not the plugin.
func isProject(folder string) bool {
	_, manifest := os.Stat(filepath.Join(folder, plugin.ManifestName))
	_, makefile := os.Stat(filepath.Join(folder, "Makefile"))
	return errors.Is(manifest, fs.ErrNotExist) && makefile == nil
}

// looksLikeReference says whether a text that is no path of this machine could be an OCI reference: its first part
// looks like a host.
func looksLikeReference(text string) bool {
	host, _, ok := strings.Cut(text, "/")
	if !ok || strings.HasPrefix(text, ".") || strings.HasPrefix(text, "/") || !strings.ContainsAny(host, ".:") {
		return false
	}
	_, err := registry.ParseReference(text)
	return err == nil
}

// Upload is a package that somebody sends. signature may be empty.
func Upload(name string, archive io.Reader, signature string) Source {
	return Source{kind: uploadSource, text: name, reader: archive, signature: signature}
}

// fetch writes the archive and gives what could be its signature, if anything.
func (s Source) fetch(ctx context.Context, f Fetch, l limits, to io.Writer) (signatures []signature, err error) {
	to = &bounded{to: to, left: l.archive}
	switch s.kind {
	case folderSource:
		return nil, pack(s.text, to)
	case uploadSource:
		if _, err = io.Copy(to, s.reader); err != nil || s.signature == "" {
			return nil, err
		}
		return []signature{{text: []byte(s.signature)}}, nil
	case archiveSource:
		if err = s.read(f, to); err != nil {
			return nil, err
		}
		return s.signatureBeside(ctx, f)
	case urlSource:
		if err = get(ctx, f, s.text, to, f.Progress); err != nil {
			return nil, err
		}
		return s.signatureBeside(ctx, f)
	case ociSource:
		return s.pull(ctx, f, to)
	}
	return nil, fmt.Errorf("%s is nothing to fetch", s)
}

func (s Source) read(f Fetch, to io.Writer) error {
	file, err := os.Open(s.text)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	_, err = io.Copy(to, &counted{from: file, total: info.Size(), progress: f.Progress})
	return err
}

// signatureNames are where a signature is looked for beside an archive.
var signatureNames = []string{".sigstore.json", ".bundle", ".sig"}

const maxSignature = 1 << 20

func (s Source) signatureBeside(ctx context.Context, f Fetch) ([]signature, error) {
	if !f.looks() && s.signature == "" {
		return nil, nil
	}
	names := []string{s.signature}
	if s.signature == "" {
		names = names[:0]
		for _, suffix := range signatureNames {
			name := s.text + suffix
			if u, err := url.Parse(s.text); s.kind == urlSource && err == nil {
				u.Path, u.RawPath = u.Path+suffix, ""
				name = u.String()
			}
			names = append(names, name)
		}
	}
	for _, name := range names {
		raw, err := readSignature(ctx, f, name)
		switch {
		case err == nil:
			return []signature{{text: raw}}, nil
		case errors.Is(err, fs.ErrNotExist) && s.signature == "":
		default:
			return nil, fmt.Errorf("fetch the signature: %w", err)
		}
	}
	return nil, nil
}

func readSignature(ctx context.Context, f Fetch, name string) ([]byte, error) {
	var text strings.Builder
	to := &bounded{to: &text, left: maxSignature}
	if strings.HasPrefix(name, "https://") {
		err := get(ctx, f, name, to, nil)
		return []byte(text.String()), err
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	_, err = io.Copy(to, file)
	return []byte(text.String()), err
}

// get fetches a URL. What is not there is fs.ErrNotExist.
func get(ctx context.Context, f Fetch, from string, to io.Writer, progress Progress) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: f.HTTP, CheckRedirect: onlyHTTPS}
	response, err := client.Do(request)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err // it names the whole URL
	}
	from = withoutQuery(from)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", from, err)
	}
	defer func() { _ = response.Body.Close() }()
	switch {
	case response.StatusCode == http.StatusNotFound:
		return fmt.Errorf("fetch %s: %w", from, fs.ErrNotExist)
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("fetch %s: the server answered %s", from, response.Status)
	}
	_, err = io.Copy(to, &counted{from: response.Body, total: max(0, response.ContentLength), progress: progress})
	return err
}

const maxRedirects = 10

func onlyHTTPS(r *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if r.URL.Scheme != "https" {
		return fmt.Errorf("a redirect to %s://, which is not https://", r.URL.Scheme)
	}
	return nil
}

// bounded refuses what is too much.
type bounded struct {
	to   io.Writer
	left int64
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, errors.New("it is larger than any plugin may be")
	}
	return b.to.Write(p)
}

// counted tells how much has been read.
type counted struct {
	from        io.Reader
	done, total int64
	progress    Progress
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.done += int64(n)
	if c.progress != nil {
		c.progress(c.done, c.total)
	}
	return n, err
}
