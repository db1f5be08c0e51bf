package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Media types of plugins in a registry: a manifest whose layer is the archive. An index names one manifest a platform.
const (
	ArtifactType = "application/vnd.patchbay.plugin.v1"
	ArchiveType  = "application/vnd.patchbay.plugin.archive.v1.tar+gzip"
)

// maxOCIManifest bounds the manifests that are read.
const maxOCIManifest = 4 << 20

// pull writes the archive for this machine's platform.
func (s Source) pull(ctx context.Context, f Fetch, to io.Writer) ([]signature, error) {
	repository, err := remote.NewRepository(strings.TrimPrefix(s.text, "oci://"))
	if err != nil {
		return nil, err
	}
	repository.PlainHTTP = isLoopback(repository.Reference.Registry) // as other tools have it
	repository.Client = &auth.Client{
		Client: &http.Client{Transport: f.HTTP}, Cache: auth.NewCache(), Credential: f.Credential,
	}
	reference := repository.Reference.ReferenceOrDefault()
	root, err := repository.Resolve(ctx, reference)
	if err != nil {
		return nil, fmt.Errorf("ask the registry: %w", err)
	}
	manifest, err := manifestFor(ctx, repository, root)
	if err != nil {
		return nil, err
	}
	layer, err := archiveOf(manifest)
	if err != nil {
		return nil, err
	}
	from, err := repository.Fetch(ctx, layer)
	if err != nil {
		return nil, fmt.Errorf("ask the registry: %w", err)
	}
	defer func() { _ = from.Close() }()
	verified := content.NewVerifyReader(from, layer)
	if _, err := io.Copy(to, &counted{from: verified, total: layer.Size, progress: f.Progress}); err != nil {
		return nil, err
	}
	if err := verified.Verify(); err != nil {
		return nil, fmt.Errorf("what the registry sent is not what its manifest names: %w", err)
	}
	if !f.looks() || !f.trusts() { // what nobody asked for must not fail
		return nil, nil
	}
	return signaturesOf(ctx, repository, root)
}

func isLoopback(registry string) bool {
	host, _, err := net.SplitHostPort(registry)
	if err != nil {
		host = registry
	}
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// rawManifest is a manifest or an index as it lies in a registry.
func rawManifest(ctx context.Context, from content.Fetcher, d ocispec.Descriptor) ([]byte, error) {
	if d.Size > maxOCIManifest {
		return nil, errors.New("the registry's manifest is too large")
	}
	raw, err := content.FetchAll(ctx, from, d)
	if err != nil {
		return nil, fmt.Errorf("ask the registry: %w", err)
	}
	return raw, nil
}

func fetchManifest(ctx context.Context, from content.Fetcher, d ocispec.Descriptor, into any) error {
	raw, err := rawManifest(ctx, from, d)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("read the registry's manifest: %w", err)
	}
	return nil
}

// manifestFor is the manifest itself, or that of an index for this machine.
func manifestFor(ctx context.Context, from content.Fetcher, root ocispec.Descriptor) (*ocispec.Manifest, error) {
	if root.MediaType == ocispec.MediaTypeImageIndex || root.MediaType == "application/vnd.docker.distribution.manifest.list.v2+json" {
		var index ocispec.Index
		if err := fetchManifest(ctx, from, root, &index); err != nil {
			return nil, err
		}
		var there []string
		found := false
		for _, d := range index.Manifests {
			if d.Platform == nil {
				continue
			}
			there = append(there, d.Platform.OS+"/"+d.Platform.Architecture)
			if !found && d.Platform.OS == runtime.GOOS && d.Platform.Architecture == runtime.GOARCH {
				root, found = d, true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is none for %s/%s, only for: %s", runtime.GOOS, runtime.GOARCH, strings.Join(there, ", "))
		}
	}
	var manifest ocispec.Manifest
	if err := fetchManifest(ctx, from, root, &manifest); err != nil {
		return nil, err
	}
	return &manifest, nil
}

// archiveOf is the layer of our type, or else the only one: what other tools have pushed.
func archiveOf(m *ocispec.Manifest) (ocispec.Descriptor, error) {
	for _, layer := range m.Layers {
		if layer.MediaType == ArchiveType {
			return layer, nil
		}
	}
	if len(m.Layers) == 1 {
		return m.Layers[0], nil
	}
	return ocispec.Descriptor{}, fmt.Errorf("it has %d layers and none of the type %s: it is no plugin", len(m.Layers), ArchiveType)
}
