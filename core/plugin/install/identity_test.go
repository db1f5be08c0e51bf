package install

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	sigstore "github.com/sigstore/sigstore/pkg/signature"
	sigdsse "github.com/sigstore/sigstore/pkg/signature/dsse"
	"google.golang.org/protobuf/encoding/protojson"
)

const (
	issuer          = "https://id.example"
	author          = "ada@acme.example"
	cosignStatement = "https://sigstore.dev/cosign/sign/v1"
)

// signer is a Sigstore of the test's: it certifies anybody, keeps a log and tells the time. Its certificates are in no log
// of certificates, unless certified says that they had to be.
type signer struct {
	*ca.VirtualSigstore
	certified bool
}

func newSigner(t testing.TB) *signer {
	t.Helper()
	v, err := ca.NewVirtualSigstore()
	if err != nil {
		t.Fatal(err)
	}
	return &signer{VirtualSigstore: v}
}

func (s *signer) CTLogs() map[string]*root.TransparencyLog {
	if s.certified {
		return s.VirtualSigstore.CTLogs()
	}
	return nil
}

func (s *signer) trusts(t testing.TB, identities ...string) []Identity {
	t.Helper()
	list, err := ParseIdentities(identities)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// object is a bundle that a test may change.
type object map[string]any

func (s *signer) sign(t testing.TB, archive []byte, change func(object)) []byte {
	t.Helper()
	e, err := s.Sign(author, issuer, archive)
	if err != nil {
		t.Fatal(err)
	}
	return s.bundleOf(t, e, change)
}

func (s *signer) attest(t testing.TB, statement string, change func(object)) []byte {
	t.Helper()
	e, err := s.AttestAtTime(author, issuer, []byte(statement), time.Now().Add(time.Minute), true)
	if err != nil {
		t.Fatal(err)
	}
	return s.bundleOf(t, e, change)
}

func statement(kind string, sum [32]byte) string {
	return fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","predicateType":%q,"subject":[{"name":"x","digest":{"sha256":"%x"}}],"predicate":{}}`, kind, sum)
}

// bundleOf is what a client writes of a signature.
func (s *signer) bundleOf(t testing.TB, e *ca.TestEntity, change func(object)) []byte {
	t.Helper()
	by, err := e.VerificationContent()
	if err != nil {
		t.Fatal(err)
	}
	certificate := object{"rawBytes": by.Certificate().Raw}
	material := object{}
	b := object{"verificationMaterial": material}
	entries, err := e.TlogEntries()
	if err != nil {
		t.Fatal(err)
	}
	material["tlogEntries"] = []object{s.logged(t, entries[0].TransparencyLogEntry())}
	if entries[0].HasInclusionProof() {
		b["mediaType"], material["certificate"] = bundleType, certificate
	} else {
		b["mediaType"], material["x509CertificateChain"] = "application/vnd.dev.sigstore.bundle+json;version=0.1", object{"certificates": []object{certificate}}
	}
	times, err := e.Timestamps()
	if err != nil {
		t.Fatal(err)
	}
	material["timestampVerificationData"] = object{"rfc3161Timestamps": []object{{"signedTimestamp": times[0]}}}
	content, err := e.SignatureContent()
	if err != nil {
		t.Fatal(err)
	}
	if message := content.MessageSignatureContent(); message != nil {
		b["messageSignature"] = object{"messageDigest": object{"algorithm": "SHA2_256", "digest": message.Digest()}, "signature": message.Signature()}
	} else {
		b["dsseEnvelope"] = envelopeOf(content.EnvelopeContent().RawEnvelope())
	}
	if change != nil {
		change(b)
	}
	return encode(t, b)
}

// logged is an entry as the log answers it: with its kind, and with the promise that it will be in the log.
func (s *signer) logged(t testing.TB, e *rekor.TransparencyLogEntry) object {
	t.Helper()
	raw, err := protojson.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var entry object
	var kind struct{ Kind, APIVersion string }
	if err := errors.Join(json.Unmarshal(raw, &entry), json.Unmarshal(e.GetCanonicalizedBody(), &kind)); err != nil {
		t.Fatal(err)
	}
	entry["kindVersion"] = object{"kind": kind.Kind, "version": kind.APIVersion}
	entry["inclusionPromise"] = object{"signedEntryTimestamp": s.promise(t, e)}
	return entry
}

func (s *signer) promise(t testing.TB, e *rekor.TransparencyLogEntry) []byte {
	t.Helper()
	promise, err := s.RekorSignPayload(tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(e.GetCanonicalizedBody()), IntegratedTime: e.GetIntegratedTime(), LogIndex: e.GetLogIndex(),
		LogID: hex.EncodeToString(e.GetLogId().GetKeyId()),
	})
	if err != nil {
		t.Fatal(err)
	}
	return promise
}

func envelopeOf(e *dsse.Envelope) object {
	return object{"payload": e.Payload, "payloadType": e.PayloadType, "signatures": []object{{"sig": e.Signatures[0].Sig}}}
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// materialOf is what a bundle is verified by.
func materialOf(t testing.TB, bundle []byte) object {
	t.Helper()
	var b struct{ VerificationMaterial object }
	if err := json.Unmarshal(bundle, &b); err != nil {
		t.Fatal(err)
	}
	return b.VerificationMaterial
}

// older is the form that cosign wrote before.
func (s *signer) older(t testing.TB, archive []byte) []byte {
	t.Helper()
	return encode(t, s.olderParts(t, archive))
}

func (s *signer) olderParts(t testing.TB, archive []byte) olderBundle {
	t.Helper()
	e, err := s.Sign(author, issuer, archive)
	if err != nil {
		t.Fatal(err)
	}
	by, _ := e.VerificationContent()
	content, _ := e.SignatureContent()
	entries, _ := e.TlogEntries()
	entry := entries[0].TransparencyLogEntry()
	b := olderBundle{
		Signature: content.Signature(),
		Cert:      base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: by.Certificate().Raw})),
	}
	b.Entry.Promise = s.promise(t, entry)
	p := &b.Entry.Payload
	p.Body, p.Time, p.Index, p.Log = entry.GetCanonicalizedBody(), entry.GetIntegratedTime(), entry.GetLogIndex(), hex.EncodeToString(entry.GetLogId().GetKeyId())
	return b
}

// stated is a bundle with a statement that was signed by a key.
func stated(t testing.TB, key *ecdsa.PrivateKey, statement string) []byte {
	t.Helper()
	by, err := sigstore.LoadECDSASignerVerifier(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := dsse.NewEnvelopeSigner(&sigdsse.SignerAdapter{SignatureSigner: by, Pub: key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	e, err := signer.SignPayload(context.Background(), "application/vnd.in-toto+json", []byte(statement))
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, object{"mediaType": bundleType, "verificationMaterial": object{"publicKey": object{"hint": "k"}}, "dsseEnvelope": envelopeOf(e)})
}

func TestKeylessSignaturesOfTrustedIdentitiesCount(t *testing.T) {
	t.Parallel()
	v := newSigner(t)
	archive := []byte("the archive")
	sum := sha256.Sum256(archive)
	material := func(change func(object)) func(object) {
		return func(b object) { change(b["verificationMaterial"].(object)) }
	}
	noTime := material(func(m object) { delete(m, "timestampVerificationData") })
	late, err := v.SignAtTime(author, issuer, archive, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	tampered := func(b object) {
		b["dsseEnvelope"].(object)["payload"] = []byte(statement("https://slsa.dev/provenance/v1", sum))
	}
	unlogged := material(func(m object) { delete(m, "tlogEntries") })
	unpromised := material(func(m object) {
		delete(m, "timestampVerificationData")
		delete(m["tlogEntries"].([]object)[0], "inclusionPromise")
	})
	good := v.sign(t, archive, nil)
	other := v.sign(t, []byte("another"), nil)
	for name, test := range map[string]struct {
		text  []byte
		trust string // issuer and subject
		want  string // an error
	}{
		"exact":                          {good, issuer + " " + author, ""},
		"by a pattern":                   {good, issuer + ` /[a-z]+@acme\.example/`, ""},
		"log alone tells the time":       {v.sign(t, archive, noTime), issuer + " " + author, ""},
		"older form":                     {v.older(t, archive), issuer + " " + author, ""},
		"statement of cosign":            {v.attest(t, statement(cosignStatement, sum), nil), issuer + " " + author, ""},
		"provenance":                     {v.attest(t, statement("https://slsa.dev/provenance/v1", sum), nil), issuer + " " + author, ""},
		"another subject":                {good, issuer + " eve@acme.example", `signed by "https://id.example ada@acme.example", who is not trusted`},
		"pattern of a part":              {good, issuer + ` /acme/`, "who is not trusted"},
		"pattern with alternatives":      {good, issuer + ` /x|ada/`, "who is not trusted"},
		"pattern that is to be literal":  {good, issuer + " .*", "who is not trusted"},
		"another issuer":                 {good, "https://other.example " + author, "who is not trusted"},
		"issuer before it":               {good, "https://id.example.org " + author, "who is not trusted"},
		"another archive":                {v.sign(t, []byte("another"), nil), issuer + " " + author, "of another archive"},
		"another archive, older form":    {v.older(t, []byte("another")), issuer + " " + author, "does not count"},
		"statement of another":           {v.attest(t, statement(cosignStatement, sha256.Sum256(nil)), nil), issuer + " " + author, "does not match"},
		"statement about it":             {v.attest(t, statement("https://spdx.dev/Document", sum), nil), issuer + " " + author, "no signature of it"},
		"tampered envelope":              {v.attest(t, statement(cosignStatement, sum), tampered), issuer + " " + author, "does not count"},
		"expired, no timestamp":          {v.bundleOf(t, late, noTime), issuer + " " + author, "does not count"},
		"expired, with a timestamp too":  {v.bundleOf(t, late, nil), issuer + " " + author, "does not count"},
		"no log entry":                   {v.sign(t, archive, unlogged), issuer + " " + author, "log"},
		"no log entry, statement":        {v.attest(t, statement(cosignStatement, sum), unlogged), issuer + " " + author, "log"},
		"a time that nobody vouches for": {v.attest(t, statement(cosignStatement, sum), unpromised), issuer + " " + author, "timestamp"},
		"log entry of another":           {v.sign(t, archive, material(func(m object) { m["tlogEntries"] = materialOf(t, other)["tlogEntries"] })), issuer + " " + author, "log"},
		"certificate of another": {v.sign(t, archive, material(func(m object) {
			for _, name := range []string{"certificate", "x509CertificateChain"} {
				if m[name] != nil {
					m[name] = materialOf(t, other)[name]
				}
			}
		})), issuer + " " + author, "does not count"},
		"of another Sigstore": {newSigner(t).sign(t, archive, nil), issuer + " " + author, "does not count"},
	} {
		by, err := Fetch{Identities: v.trusts(t, test.trust), Root: v}.verify(t.Context(), bytes.NewReader(archive), sum[:], []signature{{text: test.text}})
		switch {
		case test.want == "" && (err != nil || by != issuer+" "+author):
			t.Errorf("%s: %q %v", name, by, err)
		case test.want != "" && (err == nil || by != "" || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %q %v, want %q", name, by, err, test.want)
		}
	}
	certified := &signer{v.VirtualSigstore, true}
	if by, err := (Fetch{Identities: v.trusts(t, issuer+" "+author), Root: certified}).verify(t.Context(), bytes.NewReader(archive), sum[:], []signature{{text: good}}); err == nil {
		t.Errorf("a certificate that is in no log of certificates: %q", by)
	}
}

func TestStatementsOfKeysCount(t *testing.T) {
	t.Parallel()
	archive := []byte("the archive")
	sum := sha256.Sum256(archive)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for name, test := range map[string]struct {
		text []byte
		want string
	}{
		"right":           {stated(t, key, statement(cosignStatement, sum)), ""},
		"another key":     {stated(t, other, statement(cosignStatement, sum)), "none of the known keys"},
		"another subject": {stated(t, key, statement(cosignStatement, sha256.Sum256(nil))), "does not match"},
		"about it":        {stated(t, key, statement("https://cyclonedx.org/bom", sum)), "no signature of it"},
		"no statement":    {stated(t, key, "{}"), "none of the known keys"},
	} {
		by, err := Fetch{Keys: []crypto.PublicKey{key.Public(), other.Public()}[:1]}.verify(t.Context(), bytes.NewReader(archive), sum[:], []signature{{text: test.text}})
		switch {
		case test.want == "" && (err != nil || by != Fingerprint(key.Public())):
			t.Errorf("%s: %q %v", name, by, err)
		case test.want != "" && (err == nil || by != "" || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %q %v, want %q", name, by, err, test.want)
		}
	}
}

// One that counts is enough, and what a key has signed needs nothing of the network.
func TestOneSignatureOfManyIsEnough(t *testing.T) {
	t.Parallel()
	v := newSigner(t)
	archive := []byte("the archive")
	sum := sha256.Sum256(archive)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	raw, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	keyless, keyed := signature{text: v.sign(t, archive, nil)}, signature{text: []byte(base64.StdEncoding.EncodeToString(raw))}
	list := []signature{{text: []byte("{}")}, keyless, keyed}
	identities := v.trusts(t, "https://other.example x", issuer+" "+author)
	for name, test := range map[string]struct {
		fetch Fetch
		want  string
	}{
		"key first": {Fetch{Keys: []crypto.PublicKey{key.Public()}, Identities: identities}, Fingerprint(key.Public())},
		"identity":  {Fetch{Identities: identities, Root: v}, issuer + " " + author},
		"nobody":    {Fetch{}, ""},
	} {
		if by, err := test.fetch.verify(t.Context(), bytes.NewReader(archive), sum[:], list); err != nil || by != test.want {
			t.Errorf("%s: %q %v", name, by, err)
		}
	}
	if _, err := (Fetch{Identities: identities}).verify(t.Context(), bytes.NewReader(archive), sum[:], list); err == nil || !strings.Contains(err.Error(), "PATCHBAY_PLUGIN_TRUSTED_ROOT") {
		t.Errorf("without certificates: %v", err)
	}
}

// Who uploads an archive may demand whose signature it has, unless the server does.
func TestOrdersDemandSignaturesOfIdentities(t *testing.T) {
	t.Parallel()
	v := newSigner(t)
	raw, err := os.ReadFile(archive(t, "good", "1.0.0", ""))
	if err != nil {
		t.Fatal(err)
	}
	bundle := string(v.sign(t, raw, nil))
	f := start(t, t.TempDir())
	f.Fetch.Root = v
	order := func(signature, identity string) (*Plugin, error) {
		return f.Order(t.Context(), Order{Archive: bytes.NewReader(raw), Signature: signature, Identity: identity, Consent: true})
	}
	if _, err := order(bundle, issuer+" eve@acme.example"); err == nil || !strings.Contains(err.Error(), "who is not trusted") {
		t.Errorf("another's: %v", err)
	}
	if _, err := order("", issuer+" "+author); !errors.Is(err, errUnsigned) {
		t.Errorf("nobody's: %v", err)
	}
	if _, err := order(bundle, author); err == nil || !strings.Contains(err.Error(), "an issuer and a subject") {
		t.Errorf("no identity: %v", err)
	}
	p, err := order(bundle, issuer+" eve@acme.example\n"+issuer+" "+author+"\n")
	if err != nil || p.Entry.SignedBy != issuer+" "+author {
		t.Fatalf("%+v %v", p, err)
	}
	l, err := readLock(filepath.Join(f.data, LockName))
	if err != nil || l.Plugins["good"].SignedBy != issuer+" "+author {
		t.Errorf("written down: %+v %v", l, err)
	}
	f.Fetch.HTTP, f.Fetch.Root, f.Fetch.Signatures = refusing{}, nil, Require
	if flaws, err := f.Verify(t.Context(), "good"); err != nil || len(flaws) > 0 {
		t.Errorf("verified without the network: %v %v", flaws, err)
	}
	if _, err := f.Restart(t.Context(), "good"); err != nil {
		t.Errorf("started without the network: %v", err)
	}
	if _, err := order(bundle, issuer+" "+author); err == nil || !strings.Contains(err.Error(), "PATCHBAY_PLUGIN_IDENTITIES") {
		t.Errorf("where the server demands: %v", err)
	}
}

func TestIdentitiesAreUnderstood(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "https://id.example", "ada@acme.example", "id.example ada", "https:// ada", "ftp://id.example ada",
		"https://id.example ada lovelace", "https://id.example /(/", "https://id.example /a)|(b/",
	} {
		if _, err := ParseIdentity(text); err == nil {
			t.Errorf("%q is an identity", text)
		}
	}
	if list, err := ParseIdentities([]string{"https://id.example ada", " https://id.example  /a|b/ "}); err != nil || len(list) != 2 {
		t.Errorf("%v %v", list, err)
	}
}

func TestWorkflowsAreTheSameAtEachRelease(t *testing.T) {
	t.Parallel()
	const workflow = "https://token.example https://git.example/acme/p/.github/workflows/release.yml@refs/tags/v"
	for name, test := range map[string]struct {
		a, b string
		same bool
	}{
		"key": {"sha256:aa", "sha256:aa", true}, "other key": {"sha256:aa", "sha256:ab", false}, "none": {"", "sha256:aa", false},
		"release": {workflow + "1", workflow + "2", true}, "other workflow": {workflow + "1", strings.Replace(workflow, "release", "test", 1) + "1", false},
		"branch":       {workflow + "1", strings.Replace(workflow, "tags", "heads", 1) + "1", false},
		"other branch": {strings.Replace(workflow, "tags", "heads", 1) + "1", strings.Replace(workflow, "tags", "heads", 1) + "2", false},
		"other issuer": {workflow + "1", strings.Replace(workflow, "token", "other", 1) + "1", false},
	} {
		if SameSigner(test.a, test.b) != test.same {
			t.Errorf("%s: %v", name, !test.same)
		}
	}
}
