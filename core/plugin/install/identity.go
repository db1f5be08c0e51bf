package install

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// Identity is somebody whose keyless signatures count: an account or a workflow, as an issuer of OpenID Connect calls it.
type Identity struct{ certificate verify.CertificateIdentity }

// ParseIdentities understands identities as people write them.
func ParseIdentities(texts []string) ([]Identity, error) {
	var list []Identity
	for _, text := range texts {
		i, err := ParseIdentity(text)
		if err != nil {
			return nil, fmt.Errorf("read whose keyless signatures count: %.300q: %w", text, err)
		}
		list = append(list, i)
	}
	return list, nil
}

// ParseIdentity understands "https://issuer subject". A subject between slashes is a regular expression, which must match
// the whole of it.
func ParseIdentity(text string) (Identity, error) {
	parts := strings.Fields(text)
	if len(parts) != 2 {
		return Identity{}, errors.New("an issuer and a subject are expected, with a space between them")
	}
	issuer, subject := parts[0], parts[1]
	if u, err := url.Parse(issuer); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return Identity{}, errors.New("the issuer is no URL such as https://accounts.google.com")
	}
	pattern := ""
	if len(subject) > 2 && strings.HasPrefix(subject, "/") && strings.HasSuffix(subject, "/") {
		inner := subject[1 : len(subject)-1]
		if _, err := regexp.Compile(inner); err != nil { // by itself: what is put around it must not complete it
			return Identity{}, fmt.Errorf("the subject is no regular expression: %w", err)
		}
		subject, pattern = "", `^(?:`+inner+`)$`
	}
	c, err := verify.NewShortCertificateIdentity(issuer, "", subject, pattern)
	return Identity{c}, err
}

// byIdentity is the issuer and the subject of who has signed, if that is one of those. Whoever signs without a key has a
// certificate for minutes: that he signed within them is known by the log of signatures, or by an authority for timestamps.
func (p proof) byIdentity(identities []Identity, material root.TrustedMaterial) (string, error) {
	options := []verify.VerifierOption{verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)}
	if len(material.CTLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	var who []verify.PolicyOption
	for _, i := range identities {
		who = append(who, verify.WithCertificateIdentity(i.certificate))
	}
	result, err := p.verify(material, who, options...)
	if _, stranger := errors.AsType[*verify.ErrNoMatchingCertificateIdentity](err); stranger {
		return "", fmt.Errorf("it was signed by %.300q, who is not trusted here; PATCHBAY_PLUGIN_IDENTITIES names who is", p.signer())
	}
	if err != nil {
		return "", fmt.Errorf("its keyless signature does not count: %w", err)
	}
	return signerOf(*result.Signature.Certificate), nil
}

// signer is whom the certificate names, for people.
func (p proof) signer() string {
	content, err := p.bundle.VerificationContent()
	if err == nil && content.Certificate() != nil {
		if summary, err := certificate.SummarizeCertificate(content.Certificate()); err == nil {
			return signerOf(summary)
		}
	}
	return "somebody"
}

func signerOf(c certificate.Summary) string { return c.Issuer + " " + c.SubjectAlternativeName }

// SameSigner says whether two signatures are by the same key or identity. A workflow has another tag at each release; from
// another branch it may be another program.
func SameSigner(a, b string) bool { return withoutTag(a) == withoutTag(b) }

func withoutTag(signer string) string {
	if i := strings.LastIndex(signer, "@refs/tags/"); i > 0 {
		return signer[:i]
	}
	return signer
}
