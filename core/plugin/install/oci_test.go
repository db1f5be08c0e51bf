package install

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
)

// testRegistry holds one plugin, under the tag 1.0.0, and what a test puts beside it.
type testRegistry struct {
	*httptest.Server
	t        testing.TB
	plugin   [32]byte // digest of its manifest
	manifest []byte

	mu        sync.Mutex
	content   map[string][]byte // by digest
	tags      map[string]string
	referrers []object
	refuses   int  // status of who asks what refers to a manifest; 0: the list
	endless   bool // each page of it names another
	asked     map[string]int
}

func newRegistry(t testing.TB) *testRegistry {
	t.Helper()
	r := &testRegistry{t: t, content: map[string][]byte{}, tags: map[string]string{}, asked: map[string]int{}}
	raw, err := os.ReadFile(archive(t, "good", "1.0.0", ""))
	if err != nil {
		t.Fatal(err)
	}
	r.manifest = encode(t, object{
		"schemaVersion": 2, "mediaType": manifestType, "artifactType": ArtifactType, "config": r.put("application/vnd.oci.empty.v1+json", []byte("{}")),
		"layers": []object{r.put(ArchiveType, raw)},
	})
	r.plugin = sha256.Sum256(r.manifest)
	r.tags["1.0.0"] = r.put(manifestType, r.manifest)["digest"].(string)
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *testRegistry) put(kind string, raw []byte) object {
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(raw))
	r.content[digest] = raw
	return object{"mediaType": kind, "digest": digest, "size": len(raw)}
}

// refer has a bundle refer to the plugin.
func (r *testRegistry) refer(bundle []byte, kind string) {
	d := r.put(manifestType, encode(r.t, object{
		"schemaVersion": 2, "mediaType": manifestType, "artifactType": bundleType, "config": r.put("application/vnd.oci.empty.v1+json", []byte("{}")),
		"layers": []object{r.put(bundleType, bundle)}, "subject": object{"mediaType": manifestType, "digest": r.tags["1.0.0"], "size": len(r.manifest)},
	}))
	d["artifactType"] = bundleType
	if kind != "" {
		d["annotations"] = object{predicateAnnotation: kind}
	}
	r.referrers = append(r.referrers, d)
}

// tag puts a signature under the tag of the plugin's digest, as cosign did before.
func (r *testRegistry) tag(payload []byte, annotations object) {
	layer := r.put(simpleSigning, payload)
	layer["annotations"] = annotations
	d := r.put(manifestType, encode(r.t, object{
		"schemaVersion": 2, "mediaType": manifestType, "config": r.put("application/vnd.oci.image.config.v1+json", []byte("{}")), "layers": []object{layer},
	}))
	r.tags[strings.Replace(r.tags["1.0.0"], ":", "-", 1)+".sig"] = d["digest"].(string)
}

func (r *testRegistry) payload() []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, r.tags["1.0.0"])
}

func (r *testRegistry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	parts := strings.Split(strings.TrimPrefix(q.URL.Path, "/v2/acme/good/"), "/")
	if len(parts) != 2 {
		http.NotFound(w, q)
		return
	}
	r.asked[parts[0]]++
	name, kind := parts[1], "application/octet-stream"
	raw, ok := r.content[name]
	switch parts[0] {
	case "referrers":
		if r.refuses != 0 {
			w.WriteHeader(r.refuses)
			return
		}
		if r.endless {
			w.Header().Set("Link", fmt.Sprintf("<%s?page=%d>; rel=\"next\"", q.URL.Path, r.asked["referrers"]))
		}
		kind, raw, ok = indexType, encode(r.t, object{"schemaVersion": 2, "mediaType": indexType, "manifests": append([]object{}, r.referrers...)}), true
	case "manifests":
		if tagged, there := r.tags[name]; there {
			name = tagged
			raw, ok = r.content[name]
		}
		if kind = manifestType; strings.Contains(string(raw), indexType) {
			kind = indexType
		}
		w.Header().Set("Docker-Content-Digest", name)
	}
	if !ok {
		http.NotFound(w, q)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	if q.Method != http.MethodHead {
		_, _ = w.Write(raw)
	}
}

// stage gives who has signed what the registry has.
func (r *testRegistry) stage(fetch Fetch) (string, error) {
	r.t.Helper()
	at, err := url.Parse(r.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	source, err := ParseSource("oci://"+at.Host+"/acme/good:1.0.0", "")
	if err != nil {
		r.t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	fetch.HTTP = transport
	p, err := Scratch(r.t.(*testing.T).TempDir()).Stage(r.t.Context(), source, fetch)
	if err != nil {
		return "", err
	}
	p.Discard()
	return p.SignedBy, nil
}

func TestSignaturesAreFoundInRegistries(t *testing.T) {
	t.Parallel()
	v := newSigner(t)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	trusted := Fetch{Signatures: Warn, Keys: []crypto.PublicKey{key.Public()}, Identities: v.trusts(t, issuer+" "+author), Root: v}
	by, fingerprint := issuer+" "+author, Fingerprint(key.Public())
	keyed := func(message []byte) string {
		sum := sha256.Sum256(message)
		raw, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(raw)
	}
	for name, test := range map[string]struct {
		put  func(r *testRegistry)
		by   string
		want string // an error
	}{
		"none": {func(*testRegistry) {}, "", ""},
		"statement of an identity": {func(r *testRegistry) {
			r.refer(v.attest(t, statement(cosignStatement, r.plugin), nil), cosignStatement)
		}, by, ""},
		"without annotations":       {func(r *testRegistry) { r.refer(v.attest(t, statement(cosignStatement, r.plugin), nil), "") }, by, ""},
		"signature of the manifest": {func(r *testRegistry) { r.refer(v.sign(t, r.manifest, nil), "") }, by, ""},
		"statement of a key":        {func(r *testRegistry) { r.refer(stated(t, key, statement(cosignStatement, r.plugin)), "") }, fingerprint, ""},
		"of another manifest":       {func(r *testRegistry) { r.refer(v.attest(t, statement(cosignStatement, sha256.Sum256(nil)), nil), "") }, "", "does not match"},
		"bill of materials":         {func(r *testRegistry) { r.refer([]byte("{}"), "https://spdx.dev/Document") }, "", ""},
		"said to be one of signing": {func(r *testRegistry) {
			r.refer(v.attest(t, statement("https://spdx.dev/Document", r.plugin), nil), cosignStatement)
		}, "", "no signature of it"},
		"no bundle": {func(r *testRegistry) { r.refer([]byte("{"), "") }, "", "read the signature's bundle"},
		"huge":      {func(r *testRegistry) { r.refer([]byte(strings.Repeat(" ", maxSignature+1)), "") }, "", ""},
		"said to be huge": {func(r *testRegistry) {
			r.refer([]byte("{}"), "")
			r.referrers[0]["size"] = maxOCIManifest + 1
		}, "", ""},
		"huge, and one that counts": {func(r *testRegistry) {
			r.refer([]byte(strings.Repeat(" ", maxSignature+1)), "")
			r.refer(v.attest(t, statement(cosignStatement, r.plugin), nil), "")
		}, by, ""},
		"list under a tag": {func(r *testRegistry) {
			r.refuses = http.StatusNotFound
			r.refer(v.attest(t, statement(cosignStatement, r.plugin), nil), "")
			d := r.put(indexType, encode(t, object{"schemaVersion": 2, "mediaType": indexType, "manifests": r.referrers}))
			r.tags[strings.Replace(r.tags["1.0.0"], ":", "-", 1)] = d["digest"].(string)
		}, by, ""},
		"no list": {func(r *testRegistry) { r.refuses = http.StatusMethodNotAllowed }, "", ""},
		"tag of a key": {func(r *testRegistry) {
			r.tag(r.payload(), object{signatureAnnotation: keyed(r.payload())})
		}, fingerprint, ""},
		"tag of an identity": {func(r *testRegistry) {
			b := v.olderParts(t, r.payload())
			certificate, err := base64.StdEncoding.DecodeString(b.Cert)
			if err != nil {
				t.Fatal(err)
			}
			r.tag(r.payload(), object{
				signatureAnnotation: base64.StdEncoding.EncodeToString(b.Signature), certificateAnnotation: string(certificate), entryAnnotation: string(encode(t, b.Entry)),
			})
		}, by, ""},
		"tag of an identity, not logged": {func(r *testRegistry) {
			b := v.olderParts(t, r.payload())
			r.tag(r.payload(), object{
				signatureAnnotation:   base64.StdEncoding.EncodeToString(b.Signature),
				certificateAnnotation: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.certificate()})),
			})
		}, "", "does not count"},
		"tag of another payload": {func(r *testRegistry) {
			other := []byte(strings.Replace(string(r.payload()), "sha256:", "sha256:0", 1))
			r.tag(other, object{signatureAnnotation: keyed(other)})
		}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			test.put(r)
			by, err := r.stage(trusted)
			switch {
			case test.want == "" && (err != nil || by != test.by):
				t.Errorf("%q %v, want %q", by, err, test.by)
			case test.want != "" && (err == nil || by != "" || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%q %v, want %q", by, err, test.want)
			}
		})
	}
}

func TestWhatRegistriesAreAskedIsBounded(t *testing.T) {
	t.Parallel()
	v := newSigner(t)
	trusted := Fetch{Signatures: Warn, Identities: v.trusts(t, issuer+" "+author), Root: v}
	many := newRegistry(t)
	for i := range 3 * maxSignatures {
		many.refer(fmt.Appendf(nil, `{"n":%d}`, i), "")
	}
	if by, err := many.stage(trusted); by != "" || err == nil {
		t.Errorf("many: %q %v", by, err)
	}
	if got := many.asked["blobs"]; got > maxSignatures+1 {
		t.Errorf("many: %d blobs were fetched", got)
	}
	pages := newRegistry(t)
	pages.endless = true
	if by, err := pages.stage(trusted); by != "" || err == nil || !strings.Contains(err.Error(), "pages") {
		t.Errorf("endless: %q %v", by, err)
	}
	if got := pages.asked["referrers"]; got != maxPages {
		t.Errorf("endless: %d pages were fetched", got)
	}
}

// A registry that cannot tell of signatures disturbs only those who asked for them.
func TestRegistriesAreAskedForSignaturesThatCount(t *testing.T) {
	t.Parallel()
	v := newSigner(t)
	identities := v.trusts(t, issuer+" "+author)
	for name, test := range map[string]struct {
		fetch Fetch
		asked bool
	}{
		"somebody is trusted":   {Fetch{Signatures: Warn, Identities: identities}, true},
		"nobody is":             {Fetch{Signatures: Warn}, false},
		"none are looked for":   {Fetch{Signatures: Off, Identities: identities}, false},
		"none but one demanded": {Fetch{Signatures: Off, Identities: identities, Demanded: true}, true},
	} {
		r := newRegistry(t)
		r.refuses = http.StatusInternalServerError
		_, err := r.stage(test.fetch)
		if asked := err != nil && strings.Contains(err.Error(), "ask the registry for signatures"); asked != test.asked || !asked && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
