package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, postgrestest.IgnoreServer()...) }

func newStore(t *testing.T, limits Limits) *Store {
	t.Helper()
	return NewStore(postgrestest.DB(t), limits, hclog.NewNullLogger())
}

// put stores a file in pieces of the given size.
func put(t *testing.T, s *Store, n New, data []byte, piece int) (*Info, error) {
	t.Helper()
	if n.Lifetime == 0 {
		n.Lifetime = time.Hour
	}
	w, err := s.Create(t.Context(), n)
	if err != nil {
		return nil, err
	}
	for len(data) > 0 {
		taken, err := w.Write(data[:min(piece, len(data))])
		if err != nil {
			w.Abort()
			return nil, err
		}
		data = data[taken:]
	}
	return w.Commit()
}

func mustPut(t *testing.T, s *Store, n New, data []byte) *Info {
	t.Helper()
	info, err := put(t, s, n, data, len(data)+1)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func read(t *testing.T, s *Store, user string, id uuid.UUID) ([]byte, error) {
	t.Helper()
	r, err := s.Open(t.Context(), user, id.String())
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// left counts what lies in the tables.
func left(t *testing.T, db *bun.DB) string {
	t.Helper()
	var files, chunks, drafts, counted, bytes int64
	err := db.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM file), (SELECT count(*) FROM file_chunk), (SELECT count(*) FROM file_draft),
		(SELECT coalesce(sum(files), 0)::bigint FROM file_usage), (SELECT coalesce(sum(bytes), 0)::bigint FROM file_usage)`).Scan(&files, &chunks, &drafts, &counted, &bytes)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("files %d chunks %d drafts %d counted %d bytes %d", files, chunks, drafts, counted, bytes)
}

func random(size int) []byte {
	data := make([]byte, size)
	r := rand.New(rand.NewPCG(1, uint64(size)))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

func TestFilesComeOutAsTheyWentIn(t *testing.T) {
	t.Parallel()
	s := newStore(t, DefaultLimits)
	for _, size := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 2 * chunkSize, 3*chunkSize + 7} {
		for _, piece := range []int{1000, chunkSize, chunkSize + 3, 10 << 20} {
			data := random(size)
			info, err := put(t, s, New{User: "a", Name: "x.bin", ExecutionID: uuid.New()}, data, piece)
			if err != nil {
				t.Fatal(err)
			}
			got, err := read(t, s, "a", info.ID)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes in pieces of %d came back as %d, %v", size, piece, len(got), err)
			}
			found, err := s.Get(t.Context(), "a", info.ID.String())
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(data); found.Size != int64(size) || !bytes.Equal(found.SHA256, sum[:]) || found.Name != "x.bin" || found.ExecutionID == (uuid.UUID{}) {
				t.Errorf("%+v", found)
			}
			if life := found.ExpiresAt.Sub(found.CreatedAt); life != time.Hour {
				t.Errorf("kept for %s", life)
			}
			if id, err := ParseURI(found.URI()); err != nil || id != info.ID {
				t.Errorf("%s: %v, %v", found.URI(), id, err)
			}
		}
	}
}

func TestReadersSeek(t *testing.T) {
	t.Parallel()
	s := newStore(t, DefaultLimits)
	data := random(3*chunkSize + 100)
	info := mustPut(t, s, New{User: "a"}, data)
	r, err := s.Open(t.Context(), "a", info.ID.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{3 * chunkSize, 5, chunkSize - 3, 2*chunkSize + 50, len(data) - 1, len(data), len(data) + 10} {
		if _, err := r.Seek(int64(at), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		want := data[min(at, len(data)):min(at+300_000, len(data))]
		got, err := io.ReadAll(io.LimitReader(r, 300_000))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("from %d: %d bytes, %v", at, len(got), err)
		}
	}
	if end, err := r.Seek(-10, io.SeekEnd); err != nil || end != int64(len(data)-10) {
		t.Errorf("%d, %v", end, err)
	}
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Error("a place before the beginning was found")
	}
}

func TestFilesAreTheirUsersAlone(t *testing.T) {
	t.Parallel()
	s := newStore(t, DefaultLimits)
	mine := mustPut(t, s, New{User: "a"}, []byte("mine"))
	mustPut(t, s, New{User: "b"}, []byte("theirs"))
	if _, err := s.Open(t.Context(), "b", mine.ID.String()); !errors.Is(err, ErrNotFound) {
		t.Errorf("opened: %v", err)
	}
	if _, err := s.Get(t.Context(), "b", mine.ID.String()); !errors.Is(err, ErrNotFound) {
		t.Errorf("shown: %v", err)
	}
	if err := s.Delete(t.Context(), "b", mine.ID.String()); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if _, err := put(t, s, New{User: "b", ID: mine.ID}, []byte("over it"), 10); err == nil {
		t.Error("another user's file was replaced")
	}
	if got, err := read(t, s, "a", mine.ID); err != nil || string(got) != "mine" {
		t.Errorf("%q, %v", got, err)
	}
	list, total, err := s.List(t.Context(), "b", 0, 10)
	if err != nil || total != 1 || len(list) != 1 || list[0].Size != 6 {
		t.Errorf("%v, %d, %v", list, total, err)
	}
	for _, id := range []string{"", "x", mine.ID.String() + "0", "urn:uuid:" + mine.ID.String(), "{" + mine.ID.String() + "}"} {
		if _, err := s.Get(t.Context(), "a", id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if got := left(t, s.db); got != "files 2 chunks 2 drafts 0 counted 2 bytes 10" {
		t.Error(got)
	}
}

func TestAFileIsThereWhenItIsComplete(t *testing.T) {
	t.Parallel()
	s := newStore(t, DefaultLimits)
	id := uuid.New()
	w, err := s.Create(t.Context(), New{ID: id, User: "a", Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(random(chunkSize + 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), "a", id.String()); !errors.Is(err, ErrNotFound) {
		t.Errorf("half a file was opened: %v", err)
	}
	if got := left(t, s.db); got != "files 0 chunks 1 drafts 1 counted 0 bytes 0" {
		t.Error(got)
	}
	w.Abort()
	w.Abort()
	if got := left(t, s.db); got != "files 0 chunks 0 drafts 0 counted 0 bytes 0" {
		t.Error(got)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a writer that was given up takes bytes")
	}
	if _, err := w.Commit(); err == nil {
		t.Error("a file that was given up came to be")
	}
}

func TestARepeatedAttemptReplacesItsFile(t *testing.T) {
	t.Parallel()
	s := newStore(t, DefaultLimits)
	id := uuid.New()
	mustPut(t, s, New{ID: id, User: "a", Name: "first.txt"}, random(2*chunkSize))
	old, err := s.Open(t.Context(), "a", id.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, old, 10); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, New{ID: id, User: "a", Name: "second.txt"}, []byte("second"))
	if got, err := read(t, s, "a", id); err != nil || string(got) != "second" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := io.ReadAll(old); !errors.Is(err, ErrGone) { // never the one's beginning with the other's end
		t.Errorf("the replaced file: %v", err)
	}
	if got := left(t, s.db); got != "files 1 chunks 1 drafts 0 counted 1 bytes 6" {
		t.Error(got)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	s := newStore(t, Limits{File: 1000, User: 2500, Files: 4})
	if _, err := put(t, s, New{User: "a"}, random(1001), 400); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "1000 bytes") {
		t.Errorf("a file over the limit: %v", err)
	}
	for range 2 {
		mustPut(t, s, New{User: "a"}, random(1000))
	}
	if _, err := put(t, s, New{User: "a"}, random(501), 100); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "2500 bytes") {
		t.Errorf("over the user's limit: %v", err)
	}
	third := mustPut(t, s, New{User: "a"}, random(500))
	mustPut(t, s, New{User: "a", ID: third.ID}, random(499)) // in its place there is room
	mustPut(t, s, New{User: "a"}, nil)
	if _, err := put(t, s, New{User: "a"}, nil, 1); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "4 files") {
		t.Errorf("too many files: %v", err)
	}
	mustPut(t, s, New{User: "b"}, random(1000))
	if got := left(t, s.db); got != "files 5 chunks 4 drafts 0 counted 5 bytes 3499" {
		t.Error(got)
	}
	if err := s.Delete(t.Context(), "a", third.ID.String()); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, New{User: "a"}, random(500))
}

// Files that are written at the same time are no way around the user's limit.
func TestLimitsOfFilesThatAreWrittenTogether(t *testing.T) {
	t.Parallel()
	const each = checkEvery * chunkSize
	s := newStore(t, Limits{File: 2 * each, User: 3 * each, Files: 100})
	var mu sync.Mutex
	completed, refused := 0, 0
	var g errgroup.Group
	for range 6 {
		g.Go(func() error {
			_, err := put(t, s, New{User: "a"}, make([]byte, each+chunkSize), chunkSize)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				completed++
			case errors.Is(err, ErrFull):
				refused++
			default:
				return err
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if completed > 2 || completed+refused != 6 {
		t.Errorf("%d completed, %d refused", completed, refused)
	}
	want := fmt.Sprintf("files %d chunks %d drafts 0 counted %d bytes %d", completed, completed*(checkEvery+1), completed, completed*(each+chunkSize))
	if got := left(t, s.db); got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

func TestWhatHasExpiredIsSweptAway(t *testing.T) {
	t.Parallel()
	s := newStore(t, DefaultLimits)
	kept := mustPut(t, s, New{User: "a"}, []byte("kept"))
	for range sweepBatch + 3 {
		mustPut(t, s, New{User: "a", Lifetime: time.Microsecond}, []byte("x"))
	}
	gone := mustPut(t, s, New{User: "b", Lifetime: time.Microsecond}, random(chunkSize+1))
	if _, err := s.Open(t.Context(), "b", gone.ID.String()); !errors.Is(err, ErrNotFound) {
		t.Errorf("an expired file: %v", err)
	}
	list, total, err := s.List(t.Context(), "a", 0, 10)
	if err != nil || total != 1 || len(list) != 1 || list[0].ID != kept.ID {
		t.Errorf("%v, %d, %v", list, total, err)
	}
	writer := func(touched string) *Writer {
		w, err := s.Create(t.Context(), New{User: "a", Lifetime: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(random(chunkSize)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.db.ExecContext(t.Context(), `UPDATE file_draft SET touched_at = now() - ?::interval WHERE content = ?`, touched, w.content); err != nil {
			t.Fatal(err)
		}
		return w
	}
	left1, left2, busy := writer("2 hours"), writer("61 minutes"), writer("59 minutes")
	var g errgroup.Group
	for range 3 { // servers do not agree who sweeps
		g.Go(func() error { return s.sweep(t.Context()) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := left(t, s.db); got != "files 1 chunks 2 drafts 1 counted 1 bytes 4" {
		t.Error(got)
	}
	if _, err := left1.Write(random(chunkSize)); err == nil {
		t.Error("a draft that was swept away took a piece")
	}
	if _, err := left2.Commit(); err == nil {
		t.Error("a draft that was swept away came to be")
	}
	if _, err := busy.Commit(); err != nil {
		t.Error(err)
	}
}

func TestTheSweeperEndsWithTheStore(t *testing.T) {
	t.Parallel()
	s := newStore(t, DefaultLimits)
	mustPut(t, s, New{User: "a", Lifetime: time.Microsecond}, []byte("x"))
	s.Start()
	defer s.Close()
	for left(t, s.db) != "files 0 chunks 0 drafts 0 counted 0 bytes 0" {
		if t.Context().Err() != nil {
			t.Fatal("never swept")
		}
	}
}

func TestWritingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := newStore(t, DefaultLimits)
	ctx, cancel := context.WithCancel(t.Context())
	w, err := s.Create(ctx, New{User: "a", Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(random(chunkSize)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := w.Commit(); err == nil {
		t.Error("committed after the end")
	}
	if got := left(t, s.db); got != "files 0 chunks 0 drafts 0 counted 0 bytes 0" {
		t.Error(got)
	}
}

func TestMediaTypes(t *testing.T) {
	t.Parallel()
	s := newStore(t, DefaultLimits)
	png := "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
	for _, c := range []struct{ given, data, want string }{
		{"", png, "image/png"},
		{"application/octet-stream", png, "image/png"},
		{"nonsense", png, "image/png"},
		{"text/html\r\nX-Evil: 1", png, "image/png"},
		{"Image/JPEG", png, "image/jpeg"},
		{"text/plain;charset=UTF-8", "x", "text/plain; charset=UTF-8"},
		{"", "hello", "text/plain; charset=utf-8"},
		{"", `{"a":[1]}`, "application/json"},
		{"", "%PDF-1.7\n", "application/pdf"},
		{"", "\x00\x01\x02\x03", "application/octet-stream"},
		{"", "", "application/octet-stream"},
		{"x/" + strings.Repeat("y", 300), "hello", "text/plain; charset=utf-8"},
	} {
		info := mustPut(t, s, New{User: "a", MediaType: c.given}, []byte(c.data))
		if info.MediaType != c.want {
			t.Errorf("%.30q with %.10q is %q", c.given, c.data, info.MediaType)
		}
	}
}

func TestNamesAreCleaned(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 200)
	for given, want := range map[string]string{
		"report.pdf":                   "report.pdf",
		"../../etc/passwd":             "passwd",
		`C:\Users\me\résumé.doc`:       "résumé.doc",
		"a\r\nb\x00c\tname.txt":        "abcname.txt",
		"evil\u202egnp.exe":            "evilgnp.exe",
		" .hidden. ":                   "hidden",
		"..":                           "file.png",
		"":                             "file.png",
		"dir/":                         "file.png",
		"\xff\xfe.txt":                 "\uFFFD.txt",
		long + ".txt":                  strings.Repeat("ü", 125) + ".txt",
		"日本 語 (1).txt":                 "日本 語 (1).txt",
		"." + strings.Repeat("x", 300): strings.Repeat("x", 255),
	} {
		if got := cleanName(given, "image/png"); got != want {
			t.Errorf("%q became %q", given, got)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("../a\\b\x00.txt", "image/png")
	f.Add(strings.Repeat("é.", 300), "text/plain; charset=utf-8")
	f.Fuzz(func(t *testing.T, given, media string) {
		name := cleanName(given, mediaType(media, "image/gif"))
		if name == "" || name == "." || name == ".." || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsAny(name, "/\\\x00\r\n\u202e") {
			t.Errorf("%q became %q", given, name)
		}
	})
}

func TestURIs(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	for uri, ok := range map[string]bool{
		"workspace://" + id.String():                  true,
		"workspace://" + id.String() + "#image/png":   true,
		"workspace://" + strings.ToUpper(id.String()): true,
		"workspace://":                                            false,
		"workspace://../" + id.String():                           false,
		"workspace://" + id.String() + "/x":                       false,
		id.String():                                               false,
		"file:///etc/passwd":                                      false,
		"workspace://urn:uuid:" + id.String():                     false,
		"WORKSPACE://" + strings.Repeat("0", 36):                  false,
		"workspace://" + strings.ReplaceAll(id.String(), "-", ""): false,
	} {
		if got, err := ParseURI(uri); (err == nil && got == id) != ok {
			t.Errorf("%s: %v, %v", uri, got, err)
		}
	}
}

// disturbed does something while the database breaks off what it asks first.
func disturbed(t *testing.T, s *Store, do func() error) {
	t.Helper()
	tx, err := s.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), `LOCK TABLE file_chunk, file_draft IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- do() }()
	waiting := func(before int) (pid int) {
		for pid == 0 {
			err := s.db.QueryRowContext(t.Context(), `
				SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> ?`, before).Scan(&pid)
			if err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-done:
				t.Fatalf("it ended with %v", err)
			default:
			}
		}
		return pid
	}
	first := waiting(0)
	if _, err := s.db.ExecContext(t.Context(), `SELECT pg_terminate_backend(?)`, first); err != nil {
		t.Fatal(err)
	}
	waiting(first)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestPiecesOutlastTheDatabase(t *testing.T) {
	t.Parallel()
	s := newStore(t, DefaultLimits)
	data := random(chunkSize + 7)
	w, err := s.Create(t.Context(), New{User: "a", Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	disturbed(t, s, func() error { _, err := w.Write(data[:chunkSize]); return err })
	if _, err := w.Write(data[chunkSize:]); err != nil {
		t.Fatal(err)
	}
	var info *Info
	disturbed(t, s, func() (err error) { info, err = w.Commit(); return err })
	r, err := s.Open(t.Context(), "a", info.ID.String())
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	disturbed(t, s, func() (err error) { got, err = io.ReadAll(r); return err })
	if !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back", len(got))
	}
}

// What was done although the answer was lost is not done twice.
func TestPiecesAreStoredOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t, DefaultLimits)
	data := random(chunkSize + 7)
	w, err := s.Create(t.Context(), New{User: "a", Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	w.chunk = data[:chunkSize]
	for range 2 {
		if err := w.storeOnce(); err != nil {
			t.Fatal(err)
		}
		w.chunks, w.chunk = 0, data[:chunkSize]
	}
	w.chunks, w.chunk, w.size = 1, nil, chunkSize
	if _, err := w.Write(data[chunkSize:]); err != nil {
		t.Fatal(err)
	}
	first, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	w.ended, w.err = false, nil
	again, err := w.Commit()
	if err != nil || again.ID != first.ID || !again.CreatedAt.Equal(first.CreatedAt) {
		t.Errorf("%+v, then %+v, %v", first, again, err)
	}
	if got := left(t, s.db); got != fmt.Sprintf("files 1 chunks 2 drafts 0 counted 1 bytes %d", len(data)) {
		t.Error(got)
	}
	if got, err := read(t, s, "a", first.ID); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
