package install

import (
	"cmp"
	"context"
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
	// Key is a public key in PEM of which a signature is demanded, Identity issuer and subject of somebody of whom one is.
	// Neither is taken where signatures are required.
	Key, Identity string

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
	if o.Key != "" || o.Identity != "" {
		if fetch, err = demand(fetch, o.Key, o.Identity); err != nil {
			return nil, err
		}
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

// demand has the signature of one key or identity count, and no others'.
func demand(fetch Fetch, key, identity string) (_ Fetch, err error) {
	if fetch.Signatures == Require {
		return fetch, &Refusal{"this server takes the keys in PATCHBAY_PLUGIN_KEYS and the identities in PATCHBAY_PLUGIN_IDENTITIES " +
			"and no others, since it requires signatures"}
	}
	fetch.Demanded, fetch.Keys, fetch.Identities = true, nil, nil
	if key != "" {
		if fetch.Keys, err = ParseKeys([]byte(key)); err != nil {
			return fetch, &BadPackage{fmt.Errorf("read the key: %w", err)}
		}
	}
	if identity != "" {
		if fetch.Identities, err = ParseIdentities(strings.Split(strings.TrimSpace(identity), "\n")); err != nil {
			return fetch, &BadPackage{err}
		}
	}
	return fetch, nil
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
