package install

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"
)

var zero = time.Unix(0, 0)

func TestSignaturesOfKnownKeysCount(t *testing.T) {
	t.Parallel()
	archive := []byte("the archive")
	sum := sha256.Sum256(archive)
	long := sha512.Sum512(archive)
	elliptical, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	rivest, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(key crypto.Signer, digest []byte, o crypto.SignerOpts) string {
		raw, err := key.Sign(rand.Reader, digest, o)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(raw)
	}
	good := sign(elliptical, sum[:], crypto.SHA256)
	digest := base64.StdEncoding.EncodeToString(sum[:])
	payload := []byte(`{"critical":{"image":{"docker-manifest-digest":"sha256:00"}}}`)
	payloadSum := sha256.Sum256(payload)
	keys := []crypto.PublicKey{other.Public(), elliptical.Public(), edwards.Public(), rivest.Public()}
	for name, test := range map[string]struct {
		signature signature
		by        crypto.PublicKey
		want      string
	}{
		"ECDSA":            {signature{text: []byte(good + "\n")}, elliptical.Public(), ""},
		"Ed25519":          {signature{text: []byte(sign(edwards, archive, crypto.Hash(0)))}, edwards.Public(), ""},
		"Ed25519 of a sum": {signature{text: []byte(sign(edwards, long[:], &ed25519.Options{Hash: crypto.SHA512}))}, edwards.Public(), ""},
		"RSA":              {signature{text: []byte(sign(rivest, sum[:], crypto.SHA256))}, rivest.Public(), ""},
		"bundle":           {signature{text: fmt.Appendf(nil, `{"messageSignature":{"messageDigest":{"digest":%q},"signature":%q},"verificationMaterial":{"publicKey":{}}}`, digest, good)}, elliptical.Public(), ""},
		"older bundle":     {signature{text: fmt.Appendf(nil, `{"base64Signature":%q}`, good)}, elliptical.Public(), ""},
		"of a payload":     {signature{text: []byte(sign(elliptical, payloadSum[:], crypto.SHA256)), payload: payload}, elliptical.Public(), ""},
		"another payload":  {signature{text: []byte(good), payload: payload}, nil, "none of the known keys"},
		"another archive":  {signature{text: fmt.Appendf(nil, `{"messageSignature":{"messageDigest":{"digest":"AAAA"},"signature":%q}}`, good)}, nil, "another archive"},
		"changed":          {signature{text: []byte(sign(elliptical, long[:32], crypto.SHA256))}, nil, "none of the known keys"},
		"keyless":          {signature{text: fmt.Appendf(nil, `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","messageSignature":{"signature":%q},"verificationMaterial":{"certificate":{"rawBytes":"AA=="}}}`, good)}, nil, "keyless"},
		"key in an older":  {signature{text: fmt.Appendf(nil, `{"base64Signature":%q,"cert":%q}`, good, base64.StdEncoding.EncodeToString([]byte("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n")))}, elliptical.Public(), ""},
		"nonsense":         {signature{text: []byte("%%%")}, nil, "neither base64"},
		"empty bundle":     {signature{text: []byte("{}")}, nil, "holds no signature"},
	} {
		got, err := Fetch{Keys: keys}.verify(t.Context(), bytes.NewReader(archive), sum[:], []signature{test.signature})
		switch {
		case test.want != "" && (err == nil || got != "" || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %q %v, want %q", name, got, err, test.want)
		case test.want == "" && (err != nil || got != Fingerprint(test.by)):
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if got, err := (Fetch{}).verify(t.Context(), bytes.NewReader(archive), sum[:], []signature{{text: []byte(good)}}); got != "" || err != nil {
		t.Errorf("without keys: %q %v", got, err)
	}
	if _, err := (Fetch{Keys: []crypto.PublicKey{other.Public()}}).verify(t.Context(), bytes.NewReader(archive), sum[:], []signature{{text: []byte(good)}}); err == nil {
		t.Error("somebody else's key counts")
	}
}

func TestKeysAreReadFromPEM(t *testing.T) {
	t.Parallel()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	if keys, err := ParseKeys(append(public, public...)); err != nil || len(keys) != 2 {
		t.Errorf("%v %v", keys, err)
	}
	for name, raw := range map[string][]byte{
		"nothing": nil, "a private key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), "garbage": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}),
	} {
		if _, err := ParseKeys(raw); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}

func FuzzSignatures(f *testing.F) {
	v := newSigner(f)
	f.Add([]byte(`{"messageSignature":{"signature":"AAAA"}}`))
	f.Add([]byte(`AAAA`))
	f.Add(v.sign(f, []byte("another archive"), nil))
	f.Add(v.older(f, []byte("another archive")))
	f.Add(v.attest(f, statement(cosignStatement, sha256.Sum256([]byte("another archive"))), nil))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	fetch := Fetch{Keys: []crypto.PublicKey{key.Public(), edwards.Public()}, Identities: v.trusts(f, issuer+" "+author), Root: v}
	sum := sha256.Sum256(nil)
	f.Fuzz(func(t *testing.T, text []byte) {
		if by, err := fetch.verify(t.Context(), bytes.NewReader(nil), sum[:], []signature{{text: text}}); by != "" || err == nil {
			t.Errorf("%q is a signature: %q %v", text, by, err)
		}
	})
}

func TestWhatIsNoSourceIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://example.com/x.tar.gz": "no source", "ftp://x/y": "no source", "https://": "no URL", "https://user:pass@example.com/x": "password",
		"oci://nonsense": "no reference", "oci://UPPER/x y": "no reference", "./nowhere": "no file and no folder", "/dev/null": "no file and no folder",
	} {
		if _, err := ParseSource(text, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if s, err := ParseSource("ghcr.io/acme/plugin:1.0.0", ""); err != nil || s.String() != "oci://ghcr.io/acme/plugin:1.0.0" || !s.Remote() {
		t.Errorf("%v %v", s, err)
	}
	if _, err := ParseSource(t.TempDir(), "x.sig"); err == nil {
		t.Error("a folder has a signature")
	}
}
