package install

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	sigstore "github.com/sigstore/sigstore/pkg/signature"
)

// proof is a signature that was read, and not verified.
type proof struct {
	message message
	raw     []byte         // by a key, of the message itself
	bundle  *bundle.Bundle // instead of raw: a statement about the message, or one that is keyless
	keyless bool
}

// form is what tells the forms of bundles apart, and all of those that hold nothing but a signature by a key.
type form struct {
	MessageSignature *struct {
		MessageDigest struct {
			Digest []byte `json:"digest"`
		} `json:"messageDigest"`
		Signature []byte `json:"signature"`
	} `json:"messageSignature"`
	Envelope *json.RawMessage `json:"dsseEnvelope"`
	Material *struct {
		Certificate *json.RawMessage `json:"certificate"`
		Chain       *json.RawMessage `json:"x509CertificateChain"`
	} `json:"verificationMaterial"`
	olderBundle
}

// olderBundle is the form that cosign wrote before that of sigstore, in files and, in parts, beside the layers of
// signatures in registries.
type olderBundle struct {
	Signature []byte     `json:"base64Signature"`
	Cert      string     `json:"cert,omitempty"` // base64 of PEM; that of a key is no certificate
	Entry     olderEntry `json:"rekorBundle,omitzero"`
}

// olderEntry is what the log has promised.
type olderEntry struct {
	Promise []byte `json:"SignedEntryTimestamp"`
	Payload struct {
		Body  []byte `json:"body"`
		Time  int64  `json:"integratedTime"` // in seconds since 1970
		Index int64  `json:"logIndex"`
		Log   string `json:"logID"` // hexadecimal
	} `json:"Payload"`
}

// read finds out what form a signature has. The archive is what it is of, unless it has a payload.
func (s signature) read(archive message) (p proof, err error) {
	p.message = archive
	if s.payload != nil {
		digest := sha256.Sum256(s.payload)
		p.message = message{archive: bytes.NewReader(s.payload), sum: digest[:]}
	}
	text := bytes.TrimSpace(s.text)
	if !bytes.HasPrefix(text, []byte("{")) {
		if p.raw, err = base64.StdEncoding.DecodeString(string(text)); err != nil {
			err = fmt.Errorf("the signature is neither base64 nor a bundle of sigstore: %w", err)
		}
		return p, err
	}
	var f form
	if err := json.Unmarshal(text, &f); err != nil {
		return p, fmt.Errorf("read the signature's bundle: %w", err)
	}
	p.keyless = f.Material != nil && (f.Material.Certificate != nil || f.Material.Chain != nil) || f.certificate() != nil
	switch {
	case f.MessageSignature != nil:
		if d := f.MessageSignature.MessageDigest.Digest; len(d) > 0 && !bytes.Equal(d, p.message.sum) {
			return p, errors.New("the signature is of another archive, or the archive was changed after it was signed")
		}
		p.raw = f.MessageSignature.Signature
	case f.Envelope != nil:
	case len(f.Signature) > 0:
		p.raw = f.Signature
		if p.keyless {
			text, err = f.current(p.message.sum)
		}
	default:
		err = errors.New("the signature's bundle holds no signature of an archive")
	}
	if err == nil && (p.keyless || f.Envelope != nil) {
		p.raw, p.bundle = nil, &bundle.Bundle{}
		err = p.bundle.UnmarshalJSON(text)
	}
	if err != nil {
		return p, fmt.Errorf("read the signature's bundle: %w", err)
	}
	return p, nil
}

// certificate is that of who has signed, in DER; nil: a key has.
func (o olderBundle) certificate() []byte {
	raw, err := base64.StdEncoding.DecodeString(o.Cert)
	if err != nil {
		return nil
	}
	if block, _ := pem.Decode(raw); block != nil && block.Type == "CERTIFICATE" {
		return block.Bytes
	}
	return nil
}

// current writes an older bundle in the form of now.
func (o olderBundle) current(sum []byte) ([]byte, error) {
	log, err := hex.DecodeString(o.Entry.Payload.Log)
	if err != nil {
		return nil, fmt.Errorf("the id of its log: %w", err)
	}
	type object map[string]any
	material := object{"x509CertificateChain": object{"certificates": []object{{"rawBytes": o.certificate()}}}}
	if len(o.Entry.Promise) > 0 {
		var kind struct {
			Kind    string `json:"kind"`
			Version string `json:"apiVersion"`
		}
		if err := json.Unmarshal(o.Entry.Payload.Body, &kind); err != nil {
			return nil, fmt.Errorf("its entry in the log: %w", err)
		}
		material["tlogEntries"] = []object{{
			"logIndex": strconv.FormatInt(o.Entry.Payload.Index, 10), "integratedTime": strconv.FormatInt(o.Entry.Payload.Time, 10),
			"logId": object{"keyId": log}, "kindVersion": object{"kind": kind.Kind, "version": kind.Version},
			"inclusionPromise": object{"signedEntryTimestamp": o.Entry.Promise}, "canonicalizedBody": o.Entry.Payload.Body,
		}}
	}
	return json.Marshal(object{
		"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1", "verificationMaterial": material,
		"messageSignature": object{"messageDigest": object{"algorithm": "SHA2_256", "digest": sum}, "signature": o.Signature},
	})
}

// signingStatements are the kinds of statements that say of what they name: we have made it. Others, such as bills of
// materials and reports of scanners, are about it, and may be all but a recommendation.
var signingStatements = []string{
	"https://sigstore.dev/cosign/sign/v1", "https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v0.2",
}

func isSigningStatement(kind string) bool { return slices.Contains(signingStatements, kind) }

// statedBy verifies a statement that was signed by a key.
func (p proof) statedBy(key crypto.PublicKey) error {
	by, err := sigstore.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		return err
	}
	material := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(by, time.Time{}, time.Time{}), nil
	})
	_, err = p.verify(material, []verify.PolicyOption{verify.WithKey()}, verify.WithNoObserverTimestamps())
	return err
}

// verify verifies a bundle, and that it is of the message.
func (p proof) verify(material root.TrustedMaterial, who []verify.PolicyOption, options ...verify.VerifierOption) (*verify.VerificationResult, error) {
	v, err := verify.NewVerifier(material, append(options, verify.WithoutStatementPredicate())...)
	if err != nil {
		return nil, err
	}
	result, err := v.Verify(p.bundle, verify.NewPolicy(verify.WithArtifactDigest("sha256", p.message.sum), who...))
	if err != nil {
		return nil, err
	}
	if s := result.Statement; s != nil && !isSigningStatement(s.GetPredicateType()) {
		return nil, fmt.Errorf("what was signed is a statement of the kind %.200q about it, and no signature of it", s.GetPredicateType())
	}
	return result, nil
}
