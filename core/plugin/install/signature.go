package install

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
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
	payload []byte // nil: the archive itself is signed
}

// errKeyless says that a signature was made without a key of the author's: verifying that needs the certificates of a
// public service, and its log.
var errKeyless = errors.New("the signature was made without a key (keyless), which this program does not verify; have the author sign with: cosign sign-blob --key")

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

// verifySignature gives the fingerprint of the key that has signed. Without keys, or without a signature, nobody has;
// a signature that none of the keys has made is an error.
func verifySignature(archive io.ReaderAt, sum []byte, list []signature, keys []crypto.PublicKey) (string, error) {
	if len(list) == 0 || len(keys) == 0 {
		return "", nil
	}
	var failed error
	for _, s := range list {
		raw, err := s.decode(sum)
		if err != nil {
			failed = err
			continue
		}
		message := message{archive: archive, sum: sum}
		if s.payload != nil {
			digest := sha256.Sum256(s.payload)
			message.archive, message.sum = bytes.NewReader(s.payload), digest[:]
		}
		for _, key := range keys {
			if message.signedBy(key, raw) {
				return Fingerprint(key), nil
			}
		}
		failed = errors.New("none of the known keys has made its signature: it was changed after it was signed, or somebody else has signed it")
	}
	return "", failed
}

// bundle is what is read of the two forms of bundles that cosign writes.
type bundle struct {
	MessageSignature *struct {
		MessageDigest struct {
			Digest []byte `json:"digest"`
		} `json:"messageDigest"`
		Signature []byte `json:"signature"`
	} `json:"messageSignature"`
	VerificationMaterial *struct {
		Certificate *json.RawMessage `json:"certificate"`
		Chain       *json.RawMessage `json:"x509CertificateChain"`
	} `json:"verificationMaterial"`
	Signature []byte `json:"base64Signature"` // of the older form
	Cert      string `json:"cert"`
}

// decode is the signature itself.
func (s signature) decode(sum []byte) ([]byte, error) {
	text := bytes.TrimSpace(s.text)
	if !bytes.HasPrefix(text, []byte("{")) {
		raw, err := base64.StdEncoding.DecodeString(string(text))
		if err != nil {
			return nil, fmt.Errorf("the signature is neither base64 nor a bundle of sigstore: %w", err)
		}
		return raw, nil
	}
	var b bundle
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("read the signature's bundle: %w", err)
	}
	if m := b.VerificationMaterial; m != nil && (m.Certificate != nil || m.Chain != nil) {
		return nil, errKeyless
	}
	switch {
	case b.MessageSignature != nil:
		if d := b.MessageSignature.MessageDigest.Digest; len(d) > 0 && s.payload == nil && !bytes.Equal(d, sum) {
			return nil, errors.New("the signature is of another archive, or the archive was changed after it was signed")
		}
		return b.MessageSignature.Signature, nil
	case len(b.Signature) > 0:
		return b.Signature, nil
	}
	return nil, errors.New("the signature's bundle holds no signature of an archive")
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
