package install

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Order is what somebody who is not on the server's machine wants to have installed.
type Order struct {
	// Plugin is the one that is to be upgraded; empty: whatever the package is.
	Plugin string
	// Source is an https:// URL or an OCI reference; for an upgrade where the plugin came from unless it is given; with an
	// Archive it is where that came from, for people.
	Source  string
	Archive io.Reader
	// Signature is its URL, or the signature itself with an Archive.
	Signature string
	// Key is a public key in PEM that counts beside those that are set, unless signatures are required.
	Key     string
	Digest  string
	Consent bool
}

// Order fetches, verifies and installs.
func (s *Service) Order(ctx context.Context, o Order) (*Plugin, error) {
	source, err := s.sourceOf(o)
	if err != nil {
		return nil, err
	}
	fetch := s.Fetch
	fetch.Digest = o.Digest
	if o.Key != "" {
		if fetch.Signatures == Require {
			return nil, &Refusal{"this server takes the keys in PATCHBAY_PLUGIN_KEYS and no others, since it requires signatures"}
		}
		keys, err := ParseKeys([]byte(o.Key))
		if err != nil {
			return nil, &BadPackage{fmt.Errorf("read the key: %w", err)}
		}
		fetch.Keys, fetch.Demanded = append([]crypto.PublicKey{}, keys...), true
	}
	p, err := s.Stage(ctx, source, fetch)
	if err != nil {
		return nil, err
	}
	if o.Plugin != "" && p.Name != o.Plugin {
		p.Discard()
		return nil, &BadPackage{fmt.Errorf("%s is the plugin %s, not %s", source, p.Name, o.Plugin)}
	}
	return s.Install(ctx, p, o.Consent)
}

func (s *Service) sourceOf(o Order) (Source, error) {
	if o.Archive != nil {
		return Upload(cmp.Or(o.Source, "upload"), o.Archive, o.Signature), nil
	}
	text := o.Source
	if o.Plugin != "" {
		p, err := s.find(o.Plugin)
		switch {
		case err != nil:
			return Source{}, err
		case p.Own:
			return Source{}, &Refusal{fmt.Sprintf("the plugin %s belongs to the server and is upgraded with it", p.Name)}
		case text == "":
			text = p.Entry.Source
			if !strings.Contains(text, "://") {
				return Source{}, &Refusal{fmt.Sprintf("the plugin %s came from %s, where the server fetches nothing; name a source, or upload it", p.Name, text)}
			}
		}
	}
	// What names a file of this machine would let whoever sends it look for files.
	if !strings.HasPrefix(text, "https://") && !strings.HasPrefix(text, "oci://") || o.Signature != "" && !strings.HasPrefix(o.Signature, "https://") {
		return Source{}, &BadPackage{errors.New("a server fetches from https:// and oci:// only; an archive can be uploaded")}
	}
	source, err := ParseSource(text, o.Signature)
	if err != nil {
		return Source{}, &BadPackage{err}
	}
	return source, nil
}
