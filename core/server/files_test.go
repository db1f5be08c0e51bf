package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

const (
	fileInputBlock = "95ead23f-8283-4654-aef3-10c053b74a31"
	readFileBlock  = "3735a31f-7e18-4aca-9e90-08a7120674bc"
)

// reading takes a file and gives out its text and what it is known by.
func reading(input map[string]any) []byte {
	input["name"] = "Document"
	return document([]graphNode{
		{"in", fileInputBlock, input},
		{"read", readFileBlock, map[string]any{}},
		{"text", outputBlock, map[string]any{"name": "Text"}},
		{"reference", outputBlock, map[string]any{"name": "Reference"}},
	},
		graphLink{SourceID: "in", SourceName: "result", SinkID: "read", SinkName: "file_input"},
		graphLink{SourceID: "read", SourceName: "content", SinkID: "text", SinkName: "value"},
		graphLink{SourceID: "in", SourceName: "result", SinkID: "reference", SinkName: "value"},
	)
}

type storedFile struct {
	ID          string  `json:"id"`
	URI         string  `json:"file_uri"`
	Name        string  `json:"file_name"`
	Size        int     `json:"size"`
	Type        string  `json:"content_type"`
	ExecutionID *string `json:"execution_id"`
}

func (i *instance) upload(user, name, content string) storedFile {
	i.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", name)
	if err == nil {
		_, err = io.WriteString(part, content)
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		i.t.Fatal(err)
	}
	var f storedFile
	status, answer := i.call(user, http.MethodPost, "/api/v2/files/upload", body.Bytes(), "Content-Type", form.FormDataContentType())
	if err := json.Unmarshal(answer, &f); err != nil || status != http.StatusOK {
		i.t.Fatalf("upload: %d %s", status, answer)
	}
	return f
}

// only is the one value of an output.
func (d details) only(t *testing.T, name string) string {
	t.Helper()
	var s string
	if len(d.Outputs[name]) != 1 || json.Unmarshal(d.Outputs[name][0], &s) != nil {
		t.Fatalf("%s of %+v", name, d)
	}
	return s
}

func TestAgentsReadUploadedFiles(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	content := "line one\n" + strings.Repeat("Grüße ", 100_000)
	up := i.upload(alice, "letter.txt", content)
	graph := i.create(reading(map[string]any{}))
	_, shown := i.call(alice, http.MethodGet, "/api/v2/builder/graphs/"+graph, nil)
	if !bytes.Contains(shown, []byte(`"Document":{"title":"Document","anyOf":[{"type":"string","format":"file"},{"type":"null"}]`)) {
		t.Errorf("the graph's inputs: %.2000s", shown)
	}

	d := i.run(graph, fmt.Sprintf(`{"Document":%q}`, up.URI))
	if d.Status != "COMPLETED" || d.only(t, "Text") != content {
		t.Fatalf("%.2000s", fmt.Sprint(d))
	}
	var kept storedFile
	id := strings.TrimPrefix(d.only(t, "Reference"), "workspace://")
	if _, answer := i.call(alice, http.MethodGet, "/api/v2/files/"+id, nil); json.Unmarshal(answer, &kept) != nil || kept.ExecutionID == nil || *kept.ExecutionID != d.ID || kept.Name != "letter.txt" || kept.ID == up.ID {
		t.Errorf("the execution stored %s", answer)
	}
	if status, bytes := i.call(alice, http.MethodGet, "/api/v2/files/"+id+"/download", nil); status != http.StatusOK || string(bytes) != content {
		t.Errorf("download: %d, %d bytes", status, len(bytes))
	}
	if status, _ := i.call(bob, http.MethodGet, "/api/v2/files/"+id+"/download", nil); status != http.StatusNotFound {
		t.Errorf("another user's download: %d", status)
	}

	// A file of another user is no file.
	stolen := i.upload(bob, "secret.txt", "secret")
	d = i.run(graph, fmt.Sprintf(`{"Document":%q}`, stolen.URI))
	if d.Status != "FAILED" || d.Error == nil || d.Error.NodeID != "in" || !strings.Contains(d.Error.Message, "file not found") {
		t.Errorf("%+v", d)
	}

	// Nothing comes of no file.
	if d := i.run(i.create(reading(map[string]any{"value": "x"})), `{"Document":""}`); d.Status != "COMPLETED" || len(d.Outputs) != 0 {
		t.Errorf("%+v", d)
	}
	d = i.run(i.create(reading(map[string]any{"base_64": true, "value": "data:text/plain;name=a.txt,Hello"})), `{}`)
	if d.only(t, "Text") != "Hello" || d.only(t, "Reference") != "data:text/plain;base64,SGVsbG8=" {
		t.Errorf("%+v", d)
	}
}

func TestAgentsFetchFromAllowedNetworksOnly(t *testing.T) {
	t.Parallel()
	var private atomic.Int32
	inner := serveOn(t, "127.0.0.3", func(http.ResponseWriter, *http.Request) { private.Add(1) })
	outer := serveOn(t, "127.0.0.2", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, inner.URL+"/admin", http.StatusFound)
		case "/moved":
			http.Redirect(w, r, "/note.txt", http.StatusMovedPermanently)
		default:
			_, _ = io.WriteString(w, "from "+r.URL.Path)
		}
	})
	i := startInstance(t, "PATCHBAY_ALLOW_PRIVATE_ADDRESSES=127.0.0.2/32")
	graph := i.create(reading(map[string]any{}))
	for _, path := range []string{"/note.txt", "/moved"} {
		d := i.run(graph, fmt.Sprintf(`{"Document":%q}`, outer.URL+path))
		if d.Status != "COMPLETED" || d.only(t, "Text") != "from /note.txt" {
			t.Errorf("%s: %+v", path, d)
		}
	}
	for _, url := range []string{inner.URL, outer.URL + "/away", "http://[::1]:1/", "http://169.254.169.254/latest/meta-data"} {
		d := i.run(graph, fmt.Sprintf(`{"Document":%q}`, url))
		if d.Status != "FAILED" || d.Error == nil || !strings.Contains(d.Error.Message, "may not be requested") || !strings.Contains(d.Error.Message, "PATCHBAY_ALLOW_PRIVATE_ADDRESSES") {
			t.Errorf("%s: %+v", url, d)
		}
	}
	if private.Load() != 0 {
		t.Errorf("the private server was reached %d times", private.Load())
	}
}

func serveOn(t *testing.T, address string, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Skipf("this machine has no %s: %v", address, err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	s.Start()
	t.Cleanup(s.Close)
	return s
}
