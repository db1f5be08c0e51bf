package install

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// Signatures of cosign's in a registry. Those of now are bundles which refer to the manifest that they are of; the older
// ones lie under a tag of its digest, each a layer with annotations.
const (
	bundleType          = "application/vnd.dev.sigstore.bundle.v0.3+json"
	predicateAnnotation = "dev.sigstore.bundle.predicateType"

	simpleSigning         = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureAnnotation   = "dev.cosignproject.cosign/signature"
	certificateAnnotation = "dev.sigstore.cosign/certificate"
	entryAnnotation       = "dev.sigstore.cosign/bundle"
)

// What is asked of a registry for signatures: anybody who may write there may fill it with them.
const (
	maxSignatures = 20 // of one artifact, in each of the two places
	maxPages      = 10 // of the list of what refers to it
	signatureTime = time.Minute
)

// signaturesOf are the signatures that a registry has of a manifest or an index.
func signaturesOf(ctx context.Context, repository *remote.Repository, at ocispec.Descriptor) ([]signature, error) {
	ctx, cancel := context.WithTimeout(ctx, signatureTime)
	defer cancel()
	bundles, err := referringBundles(ctx, repository, at)
	if err != nil {
		return nil, fmt.Errorf("ask the registry for signatures: %w", err)
	}
	tagged, err := taggedSignatures(ctx, repository, at)
	if err != nil {
		return nil, fmt.Errorf("ask the registry for signatures: %w", err)
	}
	return append(bundles, tagged...), nil
}

// notReferrers is how registries refuse to list what refers to a manifest that have never heard of it, beside 404.
var notReferrers = []int{http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotImplemented}

var errEnough = errors.New("there are enough of them")

// referringBundles are the bundles that refer to a manifest. Those too large for a signature are passed over.
func referringBundles(ctx context.Context, repository *remote.Repository, at ocispec.Descriptor) ([]signature, error) {
	var found []ocispec.Descriptor
	collect := func(page []ocispec.Descriptor) error {
		for _, d := range page {
			if kind := d.Annotations[predicateAnnotation]; d.ArtifactType != bundleType || d.Size > maxSignature || kind != "" && !isSigningStatement(kind) {
				continue
			}
			if found = append(found, d); len(found) >= maxSignatures {
				return errEnough
			}
		}
		return nil
	}
	repository.ReferrerListMaxPages = maxPages
	err := repository.Referrers(ctx, at, bundleType, collect)
	if refused, ok := errors.AsType[*errcode.ErrorResponse](err); ok && slices.Contains(notReferrers, refused.StatusCode) {
		err = errors.Join(repository.SetReferrersCapability(false), repository.Referrers(ctx, at, bundleType, collect))
	}
	if err != nil && !errors.Is(err, errEnough) || len(found) == 0 {
		return nil, err
	}
	signed, err := rawManifest(ctx, repository, at)
	if err != nil {
		return nil, err
	}
	var list []signature
	for _, d := range found {
		var manifest ocispec.Manifest
		if err := fetchManifest(ctx, repository, d, &manifest); err != nil {
			return nil, err
		}
		if len(manifest.Layers) != 1 || manifest.Layers[0].Size > maxSignature {
			continue
		}
		text, err := content.FetchAll(ctx, repository.Blobs(), manifest.Layers[0])
		if err != nil {
			return nil, err
		}
		list = append(list, signature{text: text, payload: signed})
	}
	return list, nil
}

// taggedSignatures are those under the tag of a manifest's digest that name it.
func taggedSignatures(ctx context.Context, repository *remote.Repository, of ocispec.Descriptor) ([]signature, error) {
	at, err := repository.Resolve(ctx, strings.Replace(of.Digest.String(), ":", "-", 1)+".sig")
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var manifest ocispec.Manifest
	if err := fetchManifest(ctx, repository, at, &manifest); err != nil {
		return nil, err
	}
	var list []signature
	for _, layer := range manifest.Layers {
		if layer.MediaType != simpleSigning || layer.Size > maxSignature || len(list) >= maxSignatures {
			continue
		}
		payload, err := content.FetchAll(ctx, repository.Blobs(), layer)
		if err != nil {
			return nil, err
		}
		var signed struct {
			Critical struct {
				Image struct {
					Digest string `json:"docker-manifest-digest"`
				} `json:"image"`
			} `json:"critical"`
		}
		if json.Unmarshal(payload, &signed) != nil || signed.Critical.Image.Digest != of.Digest.String() {
			continue
		}
		text, err := annotated(layer.Annotations)
		if err != nil {
			return nil, err
		}
		list = append(list, signature{text: text, payload: payload})
	}
	return list, nil
}

// annotated is a signature from a layer's annotations: base64, or a bundle of the older form if it is keyless.
func annotated(by map[string]string) ([]byte, error) {
	if by[certificateAnnotation] == "" {
		return []byte(by[signatureAnnotation]), nil
	}
	raw, err := base64.StdEncoding.DecodeString(by[signatureAnnotation])
	b := olderBundle{Signature: raw, Cert: base64.StdEncoding.EncodeToString([]byte(by[certificateAnnotation]))}
	if entry := by[entryAnnotation]; err == nil && entry != "" {
		err = json.Unmarshal([]byte(entry), &b.Entry)
	}
	if err != nil {
		return nil, fmt.Errorf("read a layer's annotations: %w", err)
	}
	return json.Marshal(b)
}
