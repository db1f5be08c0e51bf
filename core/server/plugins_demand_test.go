package server_test

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"testing"
)

// A demand that somebody made and the server does not understand is refused: nothing is installed without it.
func TestUploadsDropNoDemand(t *testing.T) {
	t.Parallel()
	archive, err := os.ReadFile(pluginArchive(t, "good", "1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	i := startInstance(t)
	token, err := i.patchbay("token", "--user", alice, "--role", "admin")
	if err != nil {
		t.Fatal(err)
	}
	const path = "/api/v2/admin/plugins"
	send := func(to string, parts ...string) (int, string) {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		for _, name := range parts {
			part, _ := w.CreateFormFile(name, name) // into memory
			content := "text"
			if name == "file" {
				content = string(archive)
			}
			_, _ = io.WriteString(part, content)
		}
		_ = w.Close()
		status, answer := i.call(alice, http.MethodPost, path+to, body.Bytes(), "Content-Type", w.FormDataContentType(), "Authorization", "Bearer "+strings.TrimSpace(token))
		return status, string(answer)
	}
	const upload = "/upload?consent=true"
	for _, test := range []struct {
		to    string
		parts []string
		want  string
	}{
		{upload, []string{"file", "key"}, `"key":"this part must come before the file"`},
		{upload, []string{"file", "identity"}, `"identity":"this part must come before the file"`},
		{upload, []string{"file", "pubkey"}, `"pubkey":"the form may have the parts`},
		{upload, []string{"pubkey", "file"}, `"pubkey":"the form may have the parts`},
		{upload, []string{"file", "file"}, `"file":"the form has this part twice"`},
		{upload, []string{"source", "source", "file"}, `"source":"the form has this part twice"`},
		{upload, []string{"source"}, `"file":"the form has no part of this name"`},
		{upload + "&diggest=sha256:0", []string{"file"}, `"diggest":"there is no parameter of this name"`},
	} {
		if status, answer := send(test.to, test.parts...); status != http.StatusUnprocessableEntity || !strings.Contains(answer, test.want) {
			t.Errorf("%s %v: %d %s, want %s", test.to, test.parts, status, answer, test.want)
		}
	}
	for _, at := range []string{"", "/good/upgrade"} {
		status, answer := i.call(alice, http.MethodPost, path+at, []byte(`{"source":"https://example.com/x.tar.gz","diggest":"sha256:0"}`), "Authorization", "Bearer "+strings.TrimSpace(token))
		if status != http.StatusUnprocessableEntity || !strings.Contains(string(answer), "diggest") {
			t.Errorf("%s: %d %s", at, status, answer)
		}
	}
	if out := i.mustPatchbay("text", "plugin", "list"); strings.Contains(out, "good") {
		t.Errorf("something was installed:\n%s", out)
	}
	if status, answer := send(upload, "source", "file"); status != http.StatusCreated {
		t.Errorf("what is as it should be: %d %s", status, answer)
	}
}
