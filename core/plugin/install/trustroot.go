package install

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
)

// TrustedRoot are the certificates and logs that keyless signatures are verified by.
type TrustedRoot = root.TrustedMaterial

// ReadTrustedRoot reads a file such as cosign's trusted-root create writes.
func ReadTrustedRoot(file string) (TrustedRoot, error) {
	read, err := root.NewTrustedRootFromPath(file)
	if err != nil {
		return nil, fmt.Errorf("read the certificates for keyless signatures: %s: %w; "+
			"write it with: cosign trusted-root create --with-default-services --out %s", file, err, file)
	}
	return read, nil
}

// publicTime is how long fetching the trusted root of the public service may take.
const publicTime = 30 * time.Second

// root is what keyless signatures are verified by: what was named, or the public service's as it is now.
func (f Fetch) root(ctx context.Context) (TrustedRoot, error) {
	if f.Root != nil {
		return f.Root, nil
	}
	if f.HTTP == nil {
		return nil, errors.New("there is nothing to fetch the certificates for keyless signatures with; name a file with them in PATCHBAY_PLUGIN_TRUSTED_ROOT")
	}
	ctx, cancel := context.WithTimeout(ctx, publicTime)
	defer cancel()
	client := http.Client{Transport: f.HTTP, CheckRedirect: onlyHTTPS}
	return fetchRoot(tuf.DefaultOptions(), func(r *http.Request) (*http.Response, error) { return client.Do(r.WithContext(ctx)) })
}

// doer makes a request.
type doer func(*http.Request) (*http.Response, error)

// Do makes a request.
func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

// fetchRoot fetches a trusted root by TUF. Nothing of it is kept: what is verified with it is verified once.
func fetchRoot(o *tuf.Options, do doer) (TrustedRoot, error) {
	from := fetcher.NewDefaultFetcher()
	from.SetHTTPClient(do)
	client, err := tuf.New(o.WithFetcher(from).WithDisableLocalCache())
	if err == nil {
		var fetched *root.TrustedRoot
		if fetched, err = root.GetTrustedRoot(client); err == nil {
			return fetched, nil
		}
	}
	return nil, fmt.Errorf("the signature was made without a key (keyless), and the certificates of Sigstore's public service could not be fetched: %w; "+
		"where the network does not allow that, write them to a file elsewhere with cosign trusted-root create --with-default-services, "+
		"and name it in PATCHBAY_PLUGIN_TRUSTED_ROOT", err)
}
