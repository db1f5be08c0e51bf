package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/goccy/go-yaml"
)

// Document is openapi.yaml, taken apart once: what is served as /openapi.json, and what requests are checked against.
type Document struct {
	json   []byte
	etag   string
	routes map[routeKey]*routers.Route
	access map[routeKey]access
}

type routeKey struct{ path, method string }

// ParseDocument reads openapi.yaml.
func ParseDocument(source []byte) (*Document, error) {
	spec, err := openapi3.NewLoader().LoadFromData(source)
	if err != nil {
		return nil, err
	}
	if err := spec.Validate(context.Background()); err != nil {
		return nil, err
	}
	text, err := yaml.YAMLToJSON(source)
	if err != nil {
		return nil, fmt.Errorf("turn it into JSON: %w", err)
	}
	d := &Document{json: text, etag: etagOf(text), routes: map[routeKey]*routers.Route{}, access: map[routeKey]access{}}
	for path, item := range spec.Paths.Map() {
		for method, operation := range item.Operations() {
			d.routes[routeKey{path, method}] = &routers.Route{
				Spec: spec, Path: path, PathItem: item, Method: method, Operation: operation,
			}
			if d.access[routeKey{path, method}], err = accessOf(operation); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

func (d *Document) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = answerTagged(w, r.Header.Get("If-None-Match"), d.json, d.etag) // an error is the client's, who has gone
}

// answerTagged answers with a body that seldom changes; caches may keep it when they ask before they use it.
func answerTagged(w http.ResponseWriter, known string, body []byte, etag string) error {
	w.Header().Set("Cache-Control", "private, no-cache")
	w.Header().Set("ETag", etag)
	if tagMatches(known, etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, err := w.Write(body)
	return err
}

// etagOf makes a weak tag, since the answer may be sent compressed.
func etagOf(body []byte) string {
	sum := sha256.Sum256(body)
	return `W/"` + hex.EncodeToString(sum[:12]) + `"`
}
