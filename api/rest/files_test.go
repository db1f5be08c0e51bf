package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/file"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

func init() {
	for _, media := range []string{"image/png", "text/html"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.FileBodyDecoder)
	}
}

// withFiles is the API over a file store with small limits.
func withFiles(t *testing.T) (*fixture, *bun.DB) {
	t.Helper()
	db := postgrestest.DB(t)
	store := file.NewStore(db, file.Limits{File: 1 << 20, User: 1 << 20, Files: 5}, hclog.NewNullLogger())
	return newFixture(t, func(c *Config) { c.Files, c.MaxBody = store, 1000 }), db
}

// form is a body with parts of the form "name;filename;type;content".
func form(t *testing.T, parts ...string) (body *bytes.Buffer, contentType string) {
	t.Helper()
	body = &bytes.Buffer{}
	w := multipart.NewWriter(body)
	for _, p := range parts {
		f := strings.SplitN(p, ";", 4)
		h := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name=%q; filename=%q`, f[0], f[1])}}
		if f[2] != "" {
			h.Set("Content-Type", f[2])
		}
		part, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(part, f[3]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return body, w.FormDataContentType()
}

func (f *fixture) upload(query string, parts ...string) *httptest.ResponseRecorder {
	f.t.Helper()
	body, contentType := form(f.t, parts...)
	r := httptest.NewRequest(http.MethodPost, "/api/v2/files/upload"+query, body)
	r.Header.Set("Authorization", "Bearer ann")
	r.Header.Set("Content-Type", contentType)
	return f.send(r)
}

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(expect(t, w, http.StatusOK)), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestUploadAndDownload(t *testing.T) {
	t.Parallel()
	f, _ := withFiles(t)
	content := strings.Repeat("0123456789", 50_000) // more than bodies may have otherwise
	up := decode[UploadedFile](t, f.upload("?expiration_hours=2", "note;;;ignored", "file;../a b\u00fc.png;image/png;"+content))
	if up.FileUri != "workspace://"+up.Id || up.FileName != "a b\u00fc.png" || up.Size != int64(len(content)) || up.ContentType != "image/png" || up.ExpiresInHours != 2 {
		t.Errorf("%+v", up)
	}
	got := decode[File](t, f.do(http.MethodGet, "/api/v2/files/"+up.Id, ""))
	if got.FileUri != up.FileUri || got.ExecutionId != nil || len(got.Sha256) != 64 || got.ExpiresAt.Sub(got.CreatedAt) != 2*time.Hour {
		t.Errorf("%+v", got)
	}
	path := "/api/v2/files/" + up.Id + "/download"
	w := f.do(http.MethodGet, path, "", "Accept-Encoding", "gzip")
	if expect(t, w, http.StatusOK) != content {
		t.Error("the bytes came back changed")
	}
	h := w.Header()
	if h.Get("Content-Disposition") != "attachment; filename*=utf-8''a%20b%C3%BC.png" || h.Get("Content-Type") != "image/png" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Length") != fmt.Sprint(len(content)) {
		t.Errorf("headers %v", h)
	}
	etag := h.Get("ETag")
	for asked, want := range map[string]string{"bytes=0-4": "01234", "bytes=-3": "789", "bytes=499998-": "89"} {
		if got := expect(t, f.do(http.MethodGet, path, "", "Range", asked), http.StatusPartialContent); got != want {
			t.Errorf("%s: %q", asked, got)
		}
	}
	if got := expect(t, f.do(http.MethodGet, path, "", "Range", "bytes=0-4", "If-Range", etag), http.StatusPartialContent); got != "01234" {
		t.Errorf("%q", got)
	}
	expect(t, f.do(http.MethodGet, path, "", "Range", "bytes=0-4", "If-Range", `"other"`), http.StatusOK)
	expect(t, f.do(http.MethodGet, path, "", "If-None-Match", etag), http.StatusNotModified)
	w = f.do(http.MethodGet, path, "", "Range", "bytes=500000-")
	expect(t, w, http.StatusUnprocessableEntity, `"Range":"the file has no such bytes"`)
	if w.Header().Get("Content-Range") != "" || w.Header().Get("Content-Disposition") != "" || w.Header().Get("ETag") != "" {
		t.Errorf("headers %v", w.Header())
	}
	expect(t, f.do(http.MethodDelete, "/api/v2/files/"+up.Id, ""), http.StatusNoContent)
	expect(t, f.do(http.MethodGet, path, ""), http.StatusNotFound, "file not found")
}

func TestPagesThatBrowsersWouldRunAreAttachments(t *testing.T) {
	t.Parallel()
	f, _ := withFiles(t)
	up := decode[UploadedFile](t, f.upload("", "file;x\".html;text/html;<script>alert(1)</script>"))
	w := f.do(http.MethodGet, "/api/v2/files/"+up.Id+"/download", "")
	expect(t, w, http.StatusOK, "<script>")
	if h := w.Header(); h.Get("Content-Disposition") != `attachment; filename="x\".html"` || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("headers %v", h)
	}
}

func TestListOfFiles(t *testing.T) {
	t.Parallel()
	f, _ := withFiles(t)
	for i := range 3 {
		decode[UploadedFile](t, f.upload("", fmt.Sprintf("file;%d.txt;;%d", i, i)))
	}
	list := decode[FileList](t, f.do(http.MethodGet, "/api/v2/files?page_size=2", ""))
	if len(list.Files) != 2 || list.Files[0].FileName != "2.txt" || list.Files[0].ContentType != "text/plain; charset=utf-8" || list.Pagination.Total != 3 || list.Pagination.TotalPages != 2 {
		t.Errorf("%+v", list)
	}
	if list := decode[FileList](t, f.do(http.MethodGet, "/api/v2/files?page=9", "")); len(list.Files) != 0 || list.Pagination.Total != 3 {
		t.Errorf("%+v", list)
	}
	if list := decode[FileList](t, f.do(http.MethodGet, "/api/v2/files", "", "Authorization", "Bearer bob")); len(list.Files) != 0 || list.Pagination.Total != 0 {
		t.Errorf("%+v", list)
	}
}

func TestFilesOfOthersAreNotThere(t *testing.T) {
	t.Parallel()
	f, _ := withFiles(t)
	up := decode[UploadedFile](t, f.upload("", "file;a;;a"))
	for _, c := range [][2]string{{http.MethodGet, ""}, {http.MethodGet, "/download"}, {http.MethodDelete, ""}} {
		for _, id := range []string{up.Id, "upload", "x", "..", "%2e%2e"} {
			expect(t, f.do(c[0], "/api/v2/files/"+id+c[1], "", "Authorization", "Bearer bob"), http.StatusNotFound, "NOT_FOUND")
		}
	}
	expect(t, f.do(http.MethodGet, "/api/v2/files/"+up.Id, ""), http.StatusOK)
}

func TestUploadsThatAreRefused(t *testing.T) {
	t.Parallel()
	f, db := withFiles(t)
	large := strings.Repeat("x", 1<<20+1)
	w := f.upload("", "file;a;;"+large, "after;;;x")
	expect(t, w, http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE", "1 MiB")
	if w.Header().Get("Connection") != "close" {
		t.Error("the connection waits for a body that nobody reads")
	}
	decode[UploadedFile](t, f.upload("", "file;a;;"+large[:1<<19]))
	expect(t, f.upload("", "file;b;;"+large[:1<<19+1]), http.StatusRequestEntityTooLarge, "your files may be 1 MiB together")
	expect(t, f.upload("", "other;a;;x"), http.StatusUnprocessableEntity, `"file":`)
	expect(t, f.upload("?expiration_hours=49", "file;a;;x"), http.StatusUnprocessableEntity, `"expiration_hours":`)
	expect(t, f.upload("?expiration_hours=0", "file;a;;x"), http.StatusUnprocessableEntity, `"expiration_hours":`)
	expect(t, f.do(http.MethodPost, "/api/v2/files/upload", `{"file":"x"}`), http.StatusUnsupportedMediaType, "multipart/form-data")
	expect(t, f.do(http.MethodPost, "/api/v2/files/upload", "x", "Content-Type", "multipart/form-data"), http.StatusUnprocessableEntity, `"body":`)
	expect(t, f.do(http.MethodPost, "/api/v2/files/upload", "x", "Content-Type", "multipart/form-data; boundary=b"), http.StatusUnprocessableEntity, `"file":`)
	expect(t, f.do(http.MethodPost, "/api/v2/files/upload", "", "Content-Type", "multipart/form-data; boundary=b"), http.StatusUnprocessableEntity)
	body, contentType := form(t, "file;a;;"+large[:1<<18])
	cut := body.String()[:body.Len()-100]
	expect(t, f.do(http.MethodPost, "/api/v2/files/upload", cut, "Content-Type", contentType), http.StatusUnprocessableEntity, "could not be read to its end")
	expect(t, f.do(http.MethodPost, "/api/v2/files/upload", cut, "Content-Type", contentType, "Authorization", ""), http.StatusUnauthorized)
	var files, drafts, chunks int
	if err := db.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM file), (SELECT count(*) FROM file_draft), (SELECT count(*) FROM file_chunk)`).Scan(&files, &drafts, &chunks); err != nil {
		t.Fatal(err)
	}
	if files != 1 || drafts != 0 || chunks != 2 {
		t.Errorf("%d files, %d drafts and %d chunks are left", files, drafts, chunks)
	}
}

// An upload is read as it comes: the answer to one that is too large is there long before its end.
func TestUploadsAreStreamed(t *testing.T) {
	t.Parallel()
	f, _ := withFiles(t)
	s := httptest.NewServer(f.api)
	t.Cleanup(s.Close)
	head, contentType := form(t, "file;a;;")
	beginning, _, _ := strings.Cut(head.String(), "\r\n\r\n")
	r, w := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/api/v2/files/upload", r)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer ann")
	request.Header.Set("Content-Type", contentType)
	sent := make(chan int)
	go func() {
		n, piece := 0, make([]byte, 64<<10)
		_, err := io.WriteString(w, beginning+"\r\n\r\n")
		for err == nil { // for ever, if nobody ends it
			_, err = w.Write(piece)
			n += len(piece)
		}
		sent <- n
	}()
	response, err := s.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d", response.StatusCode)
	}
	_ = r.Close()
	if n := <-sent; n > 16<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}
