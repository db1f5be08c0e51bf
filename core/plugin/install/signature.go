package install

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// Policy is what an unsigned plugin gets.
type Policy string

// The policies: a signature of a known key is demanded, is told of, is not looked for.
const (
	Require Policy = "require"
	Warn    Policy = "warn"
	Off     Policy = "off"
)

// signature is what may be the signature of an archive, or of a payload that names it.
type signature struct {
	text    []byte // of cosign: base64, or a bundle
	payload []byte // a manifest of a registry, or what names one; nil: the archive itself is signed
}

// ReadKeys reads public keys from files with PEM.
func ReadKeys(files []string) ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read the keys of plugins' authors: %w", err)
		}
		more, err := ParseKeys(raw)
		if err != nil {
			return nil, fmt.Errorf("read the keys of plugins' authors: %s: %w", name, err)
		}
		keys = append(keys, more...)
	}
	return keys, nil
}

// ParseKeys reads public keys in PEM: ECDSA (what cosign makes), Ed25519 or RSA.
func ParseKeys(raw []byte) ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			break
		}
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("it holds a %s; a PUBLIC KEY is expected", block.Type)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		switch key.(type) {
		case *ecdsa.PublicKey, ed25519.PublicKey, *rsa.PublicKey:
		default:
			return nil, fmt.Errorf("keys of the type %T are not for signatures of plugins", key)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no PUBLIC KEY in PEM in it")
	}
	return keys, nil
}

// Fingerprint names a key.
func Fingerprint(key crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "" // none of those that ParseKeys gives
	}
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// verify says who has signed: the fingerprint of a key, or issuer and subject of an identity. Where nobody is trusted, or
// without a signature, nobody has; a signature by nobody who is trusted is an error. Those by keys, which need no network,
// are looked at first.
func (f Fetch) verify(ctx context.Context, archive io.ReaderAt, sum []byte, list []signature) (by string, err error) {
	if len(list) == 0 || !f.trusts() {
		return "", nil
	}
	var keyless []proof
	var failed error
	for _, s := range list {
		p, err := s.read(message{archive: archive, sum: sum})
		switch {
		case err != nil:
			failed = err
		case p.keyless:
			keyless = append(keyless, p)
		default:
			if by, failed = p.byKey(f.Keys); failed == nil {
				return by, nil
			}
		}
	}
	if len(keyless) == 0 {
		return "", failed
	}
	if len(f.Identities) == 0 {
		return "", errKeyless
	}
	root, err := f.root(ctx)
	if err != nil {
		return "", err
	}
	for _, p := range keyless {
		if by, failed = p.byIdentity(f.Identities, root); failed == nil {
			return by, nil
		}
	}
	return "", failed
}

var (
	errKeyless = errors.New("the signature was made without a key (keyless), and no identity is named whose signatures count; " +
		"name issuer and subject of its author in PATCHBAY_PLUGIN_IDENTITIES")
	errStranger = errors.New("none of the known keys has made its signature: it was changed after it was signed, or somebody else has signed it")
)

// byKey is the fingerprint of the key that has made it.
func (p proof) byKey(keys []crypto.PublicKey) (string, error) {
	failed := errStranger
	for _, key := range keys {
		if p.bundle == nil {
			if p.message.signedBy(key, p.raw) {
				return Fingerprint(key), nil
			}
			continue
		}
		err := p.statedBy(key)
		if err == nil {
			return Fingerprint(key), nil
		}
		failed = fmt.Errorf("%w (%w)", errStranger, err)
	}
	return "", failed
}

// message is what was signed.
type message struct {
	archive io.ReaderAt
	sum     []byte // SHA-256
}

// maxPureEd25519 bounds what is read into memory for a signature by Ed25519, which is of the whole message.
const maxPureEd25519 = 128 << 20

func (m message) signedBy(key crypto.PublicKey, signature []byte) bool {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, m.sum, signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, m.sum, signature) == nil ||
			rsa.VerifyPSS(key, crypto.SHA256, m.sum, signature, nil) == nil
	case ed25519.PublicKey:
		if len(signature) != ed25519.SignatureSize {
			return false
		}
		sum := sha512.New()
		if _, err := io.Copy(sum, io.NewSectionReader(m.archive, 0, 1<<62)); err != nil {
			return false
		}
		if ed25519.VerifyWithOptions(key, sum.Sum(nil), signature, &ed25519.Options{Hash: crypto.SHA512}) == nil {
			return true
		}
		whole, err := io.ReadAll(io.NewSectionReader(m.archive, 0, maxPureEd25519+1))
		return err == nil && len(whole) <= maxPureEd25519 && ed25519.Verify(key, whole, signature)
	}
	return false
}
