package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

// maxFiles bounds the files of one request: each holds a handle of the run while it is sent.
const maxFiles = 32

// body is that of a request: text, or a form of fields and files.
type body struct {
	contentType string // empty: none is said
	text        []byte
	boundary    string // of a form's parts; empty: text
	fields      json.RawMessage
	filesName   string
	files       []string
}

// body makes the request's body. given is the content type that the request's headers say.
func (in requestInput) body(given string) (body, error) {
	content, isForm := in.content(given)
	kind, _, _ := mime.ParseMediaType(given)
	switch {
	case len(in.Files) > maxFiles:
		return body{}, sdk.InvalidInput("a request takes at most %d files", maxFiles)
	case len(in.Files) > 0 && in.JSON:
		return body{}, sdk.InvalidInput("files are not sent as JSON: set json_format to false, and put the form's fields into the body")
	case len(in.Files) > 0 || isForm && kind == "multipart/form-data":
		if !isForm && value.KindOf(content) != value.Null {
			return body{}, sdk.InvalidInput("beside files the body is a dictionary, whose entries are the form's fields")
		}
		return in.multipart(content), nil
	case value.KindOf(content) == value.Null:
		return body{contentType: given}, nil
	case in.JSON && (value.KindOf(in.Body) != value.String || value.KindOf(content) != value.String):
		return body{contentType: or(given, "application/json"), text: content}, nil
	case isForm:
		return body{contentType: or(given, "application/x-www-form-urlencoded"), text: []byte(form(content).Encode())}, nil
	case value.KindOf(content) == value.String:
		return body{contentType: or(given, "text/plain; charset=utf-8"), text: []byte(value.Text(content))}, nil
	default:
		return body{}, sdk.InvalidInput("a body that is %s goes as JSON only: set json_format to true", value.KindOf(content))
	}
}

// content is what the body says: text that is JSON stands for the JSON. isForm tells a dictionary that goes as a form's
// fields: text with a content type of its own is no form, whatever is in it.
func (in requestInput) content(given string) (content json.RawMessage, isForm bool) {
	content = value.Trim(in.Body)
	if len(content) == 0 {
		content = json.RawMessage("null")
	}
	written := value.KindOf(content) == value.String
	if written {
		if parsed, ok := value.Parse(value.Text(content)); ok {
			if kind := value.KindOf(parsed); kind == value.Object || in.JSON {
				content = value.Trim(parsed)
			}
		}
	}
	if in.JSON || value.KindOf(content) != value.Object {
		return content, false
	}
	kind, _, _ := mime.ParseMediaType(given)
	if written && kind != "" && kind != "application/x-www-form-urlencoded" && kind != "multipart/form-data" {
		return value.Trim(in.Body), false
	}
	return content, true
}

func or(text, otherwise string) string {
	if text != "" {
		return text
	}
	return otherwise
}

// form is a dictionary as a form's fields; a list is a field that comes more than once.
func form(object json.RawMessage) url.Values {
	fields := url.Values{}
	eachField(object, fields.Add)
	return fields
}

func eachField(object json.RawMessage, add func(name, text string)) {
	for _, m := range value.Members(object) {
		if value.KindOf(m.Value) != value.List {
			add(m.Key(), fieldText(m.Value))
			continue
		}
		for _, element := range value.Elements(m.Value) {
			add(m.Key(), fieldText(element))
		}
	}
}

func fieldText(v json.RawMessage) string {
	switch value.KindOf(v) {
	case value.String:
		return value.Text(v)
	case value.Null:
		return ""
	default:
		return string(v)
	}
}

// multipart is a form of fields and files, which are read while they are sent.
func (in requestInput) multipart(fields json.RawMessage) body {
	boundary := multipart.NewWriter(io.Discard).Boundary()
	return body{contentType: "multipart/form-data; boundary=" + boundary, boundary: boundary, fields: fields, filesName: in.FilesName, files: in.Files}
}

// open gives the body to send and its size, -1 where a file's is not known.
func (b body) open(ctx context.Context) (io.ReadCloser, int64, error) {
	sent := &parts{}
	if b.boundary == "" {
		sent.add(bytes.NewReader(b.text), int64(len(b.text)))
		return sent.reader(), sent.size, nil
	}
	var text bytes.Buffer
	form := multipart.NewWriter(&text)
	flush := func() {
		sent.add(bytes.NewReader(bytes.Clone(text.Bytes())), int64(text.Len()))
		text.Reset()
	}
	err := form.SetBoundary(b.boundary)
	if value.KindOf(b.fields) == value.Object {
		eachField(b.fields, func(name, field string) { err = errors.Join(err, form.WriteField(name, field)) })
	}
	for _, reference := range b.files {
		file, failure := sdk.OpenFile(ctx, strings.TrimSpace(reference))
		if failure != nil {
			_ = sent.Close()
			return nil, 0, failure
		}
		sent.files = append(sent.files, file)
		_, failure = form.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {multipart.FileContentDisposition(b.filesName, file.Name)},
			"Content-Type":        {or(file.MediaType, "application/octet-stream")},
		})
		err = errors.Join(err, failure)
		flush()
		sent.add(file, file.Size)
	}
	err = errors.Join(err, form.Close())
	flush()
	if err != nil {
		_ = sent.Close()
		return nil, 0, fmt.Errorf("make the form: %w", err)
	}
	return sent.reader(), sent.size, nil
}

// parts are read one after the other.
type parts struct {
	io.Reader
	readers []io.Reader
	files   []io.Closer
	size    int64 // -1: not known
}

func (p *parts) add(r io.Reader, size int64) {
	p.readers = append(p.readers, r)
	if size < 0 || p.size < 0 {
		p.size = -1
		return
	}
	p.size += size
}

func (p *parts) reader() *parts {
	p.Reader = io.MultiReader(p.readers...)
	return p
}

// Close gives the files up.
func (p *parts) Close() error {
	for _, file := range p.files {
		_ = file.Close()
	}
	return nil
}
