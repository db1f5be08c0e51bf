package rest

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"

	"github.com/gorilla/mux"
	"github.com/swaggest/swgui/v5/static"
)

// The page that shows the document: a viewer that is part of the program and asks nobody but this server.
var (
	//go:embed docs.html
	docsPage []byte
	//go:embed docs.js
	docsStart []byte
)

// docsPolicy allows what the viewer does: it sets styles in elements, shows pictures that its style sheet holds, and
// calls the API.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// routeDocs serves /docs. It asks for no credential and is not counted, as the document itself.
func routeDocs(router *mux.Router) error {
	files := []struct {
		path, media, packed string
		body                []byte
	}{
		{path: "/docs", media: "text/html; charset=utf-8", body: docsPage},
		{path: "/docs/start.js", media: "text/javascript; charset=utf-8", body: docsStart},
		{path: "/docs/swagger-ui-bundle.js", media: "text/javascript; charset=utf-8", packed: "swagger-ui-bundle.js.gz"},
		{path: "/docs/swagger-ui.css", media: "text/css; charset=utf-8", packed: "swagger-ui.css.gz"},
		{path: "/docs/favicon-32x32.png", media: "image/png", packed: "favicon-32x32.png"},
	}
	for _, f := range files {
		if f.packed != "" {
			var err error
			if f.body, err = viewerFile(f.packed); err != nil {
				return fmt.Errorf("read the viewer's %s: %w", f.packed, err)
			}
		}
		etag := etagOf(f.body)
		router.HandleFunc(f.path, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Security-Policy", docsPolicy)
			h.Set("Cache-Control", "private, no-cache")
			h.Set("ETag", etag)
			if tagMatches(r.Header.Get("If-None-Match"), etag) {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			h.Set("Content-Type", f.media)
			h.Set("Content-Length", strconv.Itoa(len(f.body)))
			_, _ = w.Write(f.body) // an error is the client's, who has gone
		}).Methods(http.MethodGet)
	}
	return nil
}

// viewerFile is a file of the viewer, unpacked; answers are packed again for whoever takes that.
func viewerFile(name string) ([]byte, error) {
	body, err := fs.ReadFile(static.FS, name)
	if err != nil || !bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		return body, err
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	body, err = io.ReadAll(unpacked)
	return body, errors.Join(err, unpacked.Close())
}
