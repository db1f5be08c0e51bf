package install

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	sigstore "github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// trustedRootOf is the file of a Sigstore of the test's.
func trustedRootOf(t testing.TB, s *signer) []byte {
	t.Helper()
	logs := s.RekorLogs()
	for id, log := range logs { // which has its id in hexadecimal
		raw, err := hex.DecodeString(id)
		if err != nil {
			t.Fatal(err)
		}
		log.ID, log.SignatureHashFunc = raw, crypto.SHA256
	}
	written, err := root.NewTrustedRoot(root.TrustedRootMediaType01, s.FulcioCertificateAuthorities(), s.CTLogs(), s.TimestampingAuthorities(), logs)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := written.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// published is a repository of TUF with one file, by path.
func published(t testing.TB, file []byte) (first []byte, all map[string][]byte) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	by, err := sigstore.LoadSigner(key, crypto.Hash(0))
	if err != nil {
		t.Fatal(err)
	}
	public, err := metadata.KeyFromPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(time.Hour)
	top := metadata.Root(until)
	for _, role := range []string{metadata.ROOT, metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS} {
		if err := top.Signed.AddKey(public, role); err != nil {
			t.Fatal(err)
		}
	}
	targets := metadata.Targets(until)
	info, err := metadata.TargetFile().FromBytes("trusted_root.json", file, "sha256")
	if err != nil {
		t.Fatal(err)
	}
	targets.Signed.Targets["trusted_root.json"] = info
	sum := sha256.Sum256(file)
	all = map[string][]byte{"/targets/" + hex.EncodeToString(sum[:]) + ".trusted_root.json": file}
	put := func(name string, sign func(sigstore.Signer) (*metadata.Signature, error), bytes func(bool) ([]byte, error)) {
		if _, err := sign(by); err != nil {
			t.Fatal(err)
		}
		raw, err := bytes(false)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = raw
	}
	put("/1.root.json", top.Sign, top.ToBytes)
	put("/1.targets.json", targets.Sign, targets.ToBytes)
	snapshot, timestamp := metadata.Snapshot(until), metadata.Timestamp(until)
	put("/1.snapshot.json", snapshot.Sign, snapshot.ToBytes)
	put("/timestamp.json", timestamp.Sign, timestamp.ToBytes)
	return all["/1.root.json"], all
}

func TestCertificatesAreFetchedWhereNoneAreNamed(t *testing.T) {
	t.Parallel()
	v := newSigner(t)
	first, files := published(t, trustedRootOf(t, v))
	serve := func(r *http.Request) (*http.Response, error) {
		raw, ok := files[r.URL.Path]
		if !ok {
			return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody}, nil
		}
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(raw))}, nil
	}
	options := func() *tuf.Options {
		return &tuf.Options{Root: first, RepositoryBaseURL: "https://tuf.example", CachePath: t.TempDir()}
	}
	fetched, err := fetchRoot(options(), serve)
	if err != nil {
		t.Fatal(err)
	}
	archive := []byte("the archive")
	sum := sha256.Sum256(archive)
	by, err := Fetch{Identities: v.trusts(t, issuer+" "+author), Root: fetched}.verify(t.Context(), bytes.NewReader(archive), sum[:], []signature{{text: v.sign(t, archive, nil)}})
	if err != nil || by != issuer+" "+author {
		t.Errorf("%q %v", by, err)
	}
	for path := range files {
		if strings.Contains(path, "trusted_root") {
			files[path] = trustedRootOf(t, newSigner(t)) // of the attacker's
		}
	}
	if _, err := fetchRoot(options(), serve); err == nil {
		t.Error("another file than was published is taken")
	}
}

// refusing is a network that lets nothing through.
type refusing struct{ asked chan string }

func (r refusing) RoundTrip(q *http.Request) (*http.Response, error) {
	if _, bounded := q.Context().Deadline(); !bounded {
		return nil, errors.New("the request has no bound")
	}
	select {
	case r.asked <- q.URL.Host:
	default:
	}
	return nil, context.DeadlineExceeded
}

func TestWithoutTheNetworkOneIsToldWhatToDo(t *testing.T) {
	t.Parallel()
	v := newSigner(t)
	archive := []byte("the archive")
	sum := sha256.Sum256(archive)
	network := refusing{make(chan string, 1)}
	fetch := Fetch{HTTP: network, Identities: v.trusts(t, issuer+" "+author)}
	_, err := fetch.verify(t.Context(), bytes.NewReader(archive), sum[:], []signature{{text: v.sign(t, archive, nil)}})
	if err == nil || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "PATCHBAY_PLUGIN_TRUSTED_ROOT") || !strings.Contains(err.Error(), "cosign trusted-root create") {
		t.Errorf("%v", err)
	}
	if host := <-network.asked; host != "tuf-repo-cdn.sigstore.dev" {
		t.Errorf("asked %s", host)
	}
}

func TestCertificatesAreReadFromAFile(t *testing.T) {
	t.Parallel()
	v := newSigner(t)
	file := filepath.Join(t.TempDir(), "trusted_root.json")
	if _, err := ReadTrustedRoot(file); err == nil || !strings.Contains(err.Error(), "cosign trusted-root create") {
		t.Errorf("nothing: %v", err)
	}
	if err := os.WriteFile(file, trustedRootOf(t, v), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := ReadTrustedRoot(file)
	if err != nil {
		t.Fatal(err)
	}
	archive := []byte("the archive")
	sum := sha256.Sum256(archive)
	fetch := Fetch{HTTP: refusing{}, Identities: v.trusts(t, issuer+" "+author), Root: read}
	if by, err := fetch.verify(t.Context(), bytes.NewReader(archive), sum[:], []signature{{text: v.sign(t, archive, nil)}}); err != nil || by != issuer+" "+author {
		t.Errorf("%q %v", by, err)
	}
}
