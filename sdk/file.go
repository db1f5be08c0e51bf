package sdk

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// File is a file that is read, wherever it lies.
type File struct {
	Name      string
	MediaType string
	Size      int64 // -1: not known
	body      io.ReadCloser
}

// Read reads on.
func (f *File) Read(p []byte) (int, error) { return f.body.Read(p) }

// Close gives the file up.
func (f *File) Close() error { return f.body.Close() }

// OpenFile opens what a file pin holds: a workspace:// address of a stored file, an http or https address, or a data:
// URI. How much it reads of a file that somebody else made is the block's affair: io.LimitReader helps.
func OpenFile(ctx context.Context, ref string) (*File, error) {
	scheme, _, _ := strings.Cut(ref, ":")
	switch strings.ToLower(scheme) {
	case "workspace":
		return openStored(ctx, ref)
	case "http", "https":
		return download(ctx, ref)
	case "data":
		return openData(ref)
	default:
		return nil, InvalidInput("%q is no file: workspace://, http://, https:// and data: are", brief(ref))
	}
}

// StoreFile keeps what r gives as a file of the user's, and gives its workspace:// address. A later attempt of the run
// replaces the file; for that it must store its files in the same order.
func StoreFile(ctx context.Context, name, mediaType string, r io.Reader) (ref string, err error) {
	s := scopeOf(ctx)
	if s.host == nil {
		return "", fmt.Errorf("store file %q: %w", name, ErrNoHost)
	}
	create := &proto.Call{Service: &proto.Call_CreateFile{CreateFile: &proto.CreateFile{
		Nth: s.nth.files.Add(1), Name: validText(name), MediaType: validText(mediaType),
	}}}
	reply, err := call(ctx, create)
	if err == nil {
		err = write(ctx, create.Number, r)
	}
	if err != nil {
		return "", fmt.Errorf("store file %q: %w", name, err)
	}
	return reply.GetFileCreated().GetUri(), nil
}

// write brings all of r to a handle, or gives it up.
func write(ctx context.Context, handle uint64, r io.Reader) error {
	for last := false; !last; {
		piece := make([]byte, proto.CallPiece) // the frame may outlive the call
		n, err := io.ReadFull(r, piece)
		last = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err == nil || last {
			_, err = call(ctx, &proto.Call{Service: &proto.Call_Write{Write: &proto.Write{Handle: handle, Data: piece[:n], Last: last}}})
		}
		if err != nil {
			giveUp(ctx, handle)
			return err
		}
	}
	return nil
}

func openStored(ctx context.Context, ref string) (*File, error) {
	open := &proto.Call{Service: &proto.Call_OpenFile{OpenFile: &proto.OpenFile{Uri: validText(ref)}}}
	reply, err := call(ctx, open)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", brief(ref), err)
	}
	opened := reply.GetFileOpened()
	return &File{
		Name: opened.GetName(), MediaType: opened.GetMediaType(), Size: opened.GetSize(),
		body: &stream{ctx: ctx, run: ctx, handle: open.Number},
	}, nil
}

func download(ctx context.Context, ref string) (*File, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, ref, nil)
	if err != nil {
		return nil, InvalidInput("%q is no address: %w", brief(ref), err)
	}
	response, err := HTTPClient(ctx).Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		_ = response.Body.Close()
		problem := InvalidInput
		if response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests {
			problem = Temporary
		}
		return nil, problem("get %s: %s", brief(ref), response.Status)
	}
	mediaType, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		mediaType = ""
	}
	return &File{Name: nameOf(response), MediaType: mediaType, Size: response.ContentLength, body: response.Body}, nil
}

// nameOf is what a download is called.
func nameOf(response *http.Response) string {
	_, parameters, err := mime.ParseMediaType(response.Header.Get("Content-Disposition"))
	if name := path.Base(parameters["filename"]); err == nil && name != "." && name != "/" {
		return name
	}
	if name := path.Base(response.Request.URL.Path); name != "." && name != "/" {
		return name
	}
	return "download"
}

// openData reads a data: URI (RFC 2397), whose parameter name or filename is the file's name.
func openData(ref string) (*File, error) {
	head, data, ok := strings.Cut(ref[len("data:"):], ",")
	if !ok {
		return nil, InvalidInput("%q is no data: URI: the comma before the data is missing", brief(ref))
	}
	kind, encoded := strings.CutSuffix(head, ";base64")
	f := &File{Name: "data", MediaType: "text/plain"}
	if mediaType, parameters, err := mime.ParseMediaType(kind); err == nil {
		f.MediaType = mediaType
		for _, parameter := range []string{"filename", "name"} {
			if name, err := url.PathUnescape(parameters[parameter]); err == nil && name != "" {
				f.Name = name
			}
		}
	}
	var content []byte
	text, err := url.PathUnescape(data)
	switch {
	case err == nil && encoded:
		content, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "=")) // line breaks are skipped
	case encoded: // a % is no base64 either
	default:
		content = []byte(text)
	}
	if err != nil {
		return nil, InvalidInput("%q is no data: URI: %w", brief(ref), err)
	}
	f.Size, f.body = int64(len(content)), io.NopCloser(bytes.NewReader(content))
	return f, nil
}

// brief is enough of an address for a message.
func brief(ref string) string {
	if len(ref) > 200 {
		return ref[:200] + "…"
	}
	return ref
}

// stream reads a handle. The host sends larger pieces than readers ask for.
type stream struct {
	ctx    context.Context // of the reading
	run    context.Context
	handle uint64
	piece  []byte
	err    error // after piece
}

// readPiece is how many bytes a call asks for: a compromise of calls and of what lies in memory for each reader.
const readPiece = 64 << 10

func (s *stream) Read(p []byte) (int, error) {
	for len(s.piece) == 0 && s.err == nil && len(p) > 0 {
		reply, err := call(s.ctx, &proto.Call{Service: &proto.Call_Read{Read: &proto.Read{Handle: s.handle, Max: readPiece}}})
		s.piece, s.err = reply.GetPiece().GetData(), err
		if reply.GetPiece().GetEnd() {
			s.err = io.EOF
		}
	}
	n := copy(p, s.piece)
	if s.piece = s.piece[n:]; len(s.piece) == 0 {
		return n, s.err
	}
	return n, nil
}

func (s *stream) Close() error {
	if !errors.Is(s.err, io.EOF) {
		giveUp(s.run, s.handle)
	}
	s.piece, s.err = nil, errors.New("read after Close")
	return nil
}
