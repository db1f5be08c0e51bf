package rest

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/gzhttp"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/file"
)

// Files keeps files. Every method sees those of the user alone.
type Files interface {
	Create(ctx context.Context, n file.New) (*file.Writer, error)
	Open(ctx context.Context, user, id string) (*file.Reader, error)
	Get(ctx context.Context, user, id string) (*file.Info, error)
	List(ctx context.Context, user string, offset, limit int) ([]file.Info, int, error)
	Delete(ctx context.Context, user, id string) error
}

// UploadFile is POST /api/v2/files/upload.
func (s *server) UploadFile(ctx context.Context, r UploadFileRequestObject) (UploadFileResponseObject, error) {
	f, err := s.uploadFile(ctx, r.Params.ExpirationHours, r.Body)
	return UploadFile200JSONResponse(f), err
}

func (s *server) uploadFile(ctx context.Context, hours *ExpirationHours, form *multipart.Reader) (UploadedFile, error) {
	lifetime := file.UploadLifetime
	if hours != nil {
		lifetime = time.Duration(*hours) * time.Hour
	}
	part, err := filePart(form)
	if err != nil {
		return UploadedFile{}, err
	}
	w, err := s.files.Create(ctx, file.New{
		User: auth.From(ctx).UserID, Name: part.FileName(), MediaType: part.Header.Get("Content-Type"), Lifetime: lifetime,
	})
	if err != nil {
		return UploadedFile{}, err
	}
	defer w.Abort()
	if _, err := io.Copy(w, readable{part}); err != nil {
		return UploadedFile{}, err
	}
	f, err := w.Commit()
	if err != nil {
		return UploadedFile{}, err
	}
	return UploadedFile{
		Id: f.ID.String(), FileUri: f.URI(), FileName: f.Name, Size: f.Size, ContentType: f.MediaType, ExpiresInHours: int(lifetime / time.Hour),
	}, nil
}

// maxParts bounds the parts of a form that are passed over.
const maxParts = 100

// filePart is the part of a form that is the file.
func filePart(form *multipart.Reader) (*multipart.Part, error) {
	for range maxParts {
		part, err := form.NextRawPart()
		switch {
		case errors.Is(err, io.EOF):
			return nil, problem.Field("file", "the form has no part of this name")
		case err != nil:
			return nil, problem.Field("body", "the form cannot be read")
		case part.FormName() == "file":
			return part, nil
		}
	}
	return nil, problem.Field("body", "the form has too many parts before the file")
}

// readable says of what cannot be read whose fault it is.
type readable struct{ from io.Reader }

func (r readable) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = problem.Field("file", "the file could not be read to its end")
	}
	return n, err
}

// ListFiles is GET /api/v2/files.
func (s *server) ListFiles(ctx context.Context, r ListFilesRequestObject) (ListFilesResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PageSize)
	found, total, err := s.files.List(ctx, auth.From(ctx).UserID, p.offset(), p.size)
	if err != nil {
		return nil, err
	}
	list := make([]File, len(found))
	for i := range found {
		list[i] = fileOf(&found[i])
	}
	return ListFiles200JSONResponse{Files: list, Pagination: p.of(total)}, nil
}

// GetFile is GET /api/v2/files/{file_id}.
func (s *server) GetFile(ctx context.Context, r GetFileRequestObject) (GetFileResponseObject, error) {
	f, err := s.files.Get(ctx, auth.From(ctx).UserID, r.FileId)
	if err != nil {
		return nil, err
	}
	return GetFile200JSONResponse(fileOf(f)), nil
}

// DeleteFile is DELETE /api/v2/files/{file_id}.
func (s *server) DeleteFile(ctx context.Context, r DeleteFileRequestObject) (DeleteFileResponseObject, error) {
	if err := s.files.Delete(ctx, auth.From(ctx).UserID, r.FileId); err != nil {
		return nil, err
	}
	return DeleteFile204Response{}, nil
}

// DownloadFile is GET /api/v2/files/{file_id}/download.
func (s *server) DownloadFile(ctx context.Context, r DownloadFileRequestObject) (DownloadFileResponseObject, error) {
	f, err := s.files.Open(ctx, auth.From(ctx).UserID, r.FileId)
	if err != nil {
		return nil, err
	}
	asked := http.Header{}
	for name, value := range map[string]*string{"Range": r.Params.Range, "If-Range": r.Params.IfRange, "If-None-Match": r.Params.IfNoneMatch} {
		if value != nil {
			asked.Set(name, *value)
		}
	}
	return download{file: f, asked: asked}, nil
}

func fileOf(f *file.Info) File {
	out := File{
		Id: f.ID.String(), FileUri: f.URI(), FileName: f.Name, Size: f.Size, ContentType: f.MediaType, Sha256: hex.EncodeToString(f.SHA256),
		CreatedAt: f.CreatedAt.UTC(), ExpiresAt: f.ExpiresAt.UTC(),
	}
	if f.ExecutionID != (uuid.UUID{}) {
		id := f.ExecutionID.String()
		out.ExecutionId = &id
	}
	return out
}

// download sends a file, or a range of it.
type download struct {
	file  *file.Reader
	asked http.Header // what decides how much
}

// VisitDownloadFileResponse implements DownloadFileResponseObject.
func (d download) VisitDownloadFileResponse(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Content-Type", d.file.MediaType)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": d.file.Name}))
	h.Set("ETag", `"`+hex.EncodeToString(d.file.SHA256)+`"`)
	h.Set(gzhttp.HeaderNoCompression, "1") // ranges are of the bytes as they are
	http.ServeContent(&rangeWriter{ResponseWriter: w}, &http.Request{Method: http.MethodGet, Header: d.asked}, "", d.file.CreatedAt, d.file)
	return nil
}

// rangeWriter answers to ranges that are not there as all parameters are answered that do not fit: with 422.
type rangeWriter struct {
	http.ResponseWriter
	refused bool
}

func (w *rangeWriter) WriteHeader(status int) {
	if status != http.StatusRequestedRangeNotSatisfiable {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.refused = true
	problem.Write(w.ResponseWriter, problem.Field("Range", "the file has no such bytes"))
}

func (w *rangeWriter) Write(p []byte) (int, error) {
	if w.refused {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}
