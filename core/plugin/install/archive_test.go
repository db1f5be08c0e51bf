package install

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type member struct {
	name, link, text string
	kind             byte
	mode             int64
}

func tarball(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	w := tar.NewWriter(zipped)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Linkname: m.link, Typeflag: m.kind, Mode: m.mode, Size: int64(len(m.text))}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(m.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpackInto unpacks into a folder of its own, and says whether anything came to lie beside it.
func unpackInto(t testing.TB, raw []byte, l limits) (folder string, u *unpacker, err error) {
	t.Helper()
	parent := t.TempDir()
	folder = filepath.Join(parent, "in")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if u, err = newUnpacker(folder, l); err != nil {
		t.Fatal(err)
	}
	defer u.close()
	err = u.unpackArchive(bytes.NewReader(raw))
	beside, readErr := os.ReadDir(parent)
	if readErr != nil || len(beside) != 1 {
		t.Fatalf("beside the folder lies: %v %v", beside, readErr)
	}
	return folder, u, err
}

func TestArchivesAreUnpackedAsTheyAre(t *testing.T) {
	t.Parallel()
	folder, u, err := unpackInto(t, tarball(t,
		member{name: "./", kind: tar.TypeDir}, member{name: "./bin/run", text: "#!", mode: 0o4755},
		member{name: "lib/a.txt", text: "a", mode: 0o600}, member{name: "lib/b", kind: tar.TypeSymlink, link: "../bin/run"},
	), defaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"bin/run": 0o755, "lib/a.txt": 0o644, "lib": fs.ModeDir | 0o755} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	if len(u.digests) != 3 || u.digests["lib/a.txt"] != "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" || u.size != 3 {
		t.Errorf("%v, %d bytes", u.digests, u.size)
	}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	t.Parallel()
	small := limits{archive: 1 << 20, unpacked: 1000, files: 10, path: 50}
	many := make([]member, 11)
	for i := range many {
		many[i] = member{name: strings.Repeat("a", i+1)}
	}
	for name, test := range map[string]struct {
		members []member
		want    string
	}{
		"up":               {[]member{{name: "../x"}}, "leads out"},
		"up behind":        {[]member{{name: "a/../../x"}}, "leads out"},
		"absolute":         {[]member{{name: "/etc/x"}}, "leads out"},
		"of Windows":       {[]member{{name: `a\..\..\x`}}, "holds a backslash"},
		"line end":         {[]member{{name: "a\nb"}}, `"a\nb" holds a backslash or the end of a line`},
		"not UTF-8":        {[]member{{name: "data/\xff\xfe.bin"}}, `"data/\xff\xfe.bin" is not UTF-8`},
		"folder not UTF-8": {[]member{{name: "\xff/", kind: tar.TypeDir}}, `"\xff/" is not UTF-8`},
		"link not UTF-8":   {[]member{{name: "\xff", kind: tar.TypeSymlink, link: "a"}}, `"\xff" is not UTF-8`},
		"folder up":        {[]member{{name: "../x/", kind: tar.TypeDir}}, "leads out"},
		"link out":         {[]member{{name: "a", kind: tar.TypeSymlink, link: "../x"}}, "leads out"},
		"link absolute":    {[]member{{name: "a", kind: tar.TypeSymlink, link: "/etc"}}, "leads out"},
		"link deep out":    {[]member{{name: "a/b", kind: tar.TypeSymlink, link: "../../x"}}, "leads out"},
		"by a chain of links": {[]member{{name: "d/e/f/x"}, {name: "a", kind: tar.TypeSymlink, link: "d/e/f"}, {name: "b", kind: tar.TypeSymlink, link: "a/.."},
			{name: "c", kind: tar.TypeSymlink, link: "b/../../.."}, {name: "c/y", text: "y"}}, "out"},
		"through a link":   {[]member{{name: "a", kind: tar.TypeSymlink, link: "b"}, {name: "a", text: "x"}}, "twice"},
		"hard link":        {[]member{{name: "a", kind: tar.TypeLink, link: "/etc/passwd"}}, "no file"},
		"device":           {[]member{{name: "a", kind: tar.TypeChar}}, "no file"},
		"pipe":             {[]member{{name: "a", kind: tar.TypeFifo}}, "no file"},
		"twice":            {[]member{{name: "a"}, {name: "./a"}}, "twice"},
		"file as a folder": {[]member{{name: "a"}, {name: "a/b"}}, "unpack"},
		"large":            {[]member{{name: "a", text: strings.Repeat("z", 1001)}}, "take more"},
		"large in sum":     {[]member{{name: "a", text: strings.Repeat("z", 600)}, {name: "b", text: strings.Repeat("z", 600)}}, "take more"},
		"many":             {many, "more than 10"},
		"long":             {[]member{{name: strings.Repeat("a/", 26) + "b"}}, "longer than"},
	} {
		folder, _, err := unpackInto(t, tarball(t, test.members...), small)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v does not tell %q", name, err, test.want)
		}
		if got := list(t, folder); strings.HasPrefix(test.want, "more") && len(got) > 0 || strings.HasPrefix(test.want, "take") && len(got) > 0 {
			t.Errorf("%s: %v was written before it was refused", name, got)
		}
	}
	damaged := tarball(t, member{name: "a", text: "a"})
	damaged[len(damaged)-8] ^= 1 // of the checksum
	whole := tarball(t, member{name: "a", text: strings.Repeat("text ", 100)})
	for name, raw := range map[string][]byte{"nothing": nil, "text": []byte("hello"), "half": whole[:len(whole)/2], "damaged": damaged, "without its end": whole[:len(whole)-8]} {
		if _, _, err := unpackInto(t, raw, small); err == nil {
			t.Errorf("%s: unpacked", name)
		}
	}
}

func TestPackedFolderIsTheSameWhenUnpacked(t *testing.T) {
	t.Parallel()
	source := folder(t, "good", "1.0.0", "")
	var first, second bytes.Buffer
	if err := pack(source, &first); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(source, "plugin.json"), zero, zero); err != nil {
		t.Fatal(err)
	}
	if err := pack(source, &second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("the archives differ: %v", err)
	}
	into, u, err := unpackInto(t, first.Bytes(), defaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	digests := map[string]string{}
	err = filepath.WalkDir(into, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, _ := filepath.Rel(into, path)
		digests[name], err = digestOf(path, e)
		return err
	})
	if err != nil || !maps.Equal(digests, u.digests) {
		t.Errorf("%v %v\nwritten down: %v", err, digests, u.digests)
	}
}

func FuzzArchives(f *testing.F) {
	f.Add(tarball(f, member{name: "plugin.json", text: "{}"}, member{name: "a/b", kind: tar.TypeSymlink, link: "../plugin.json"}))
	f.Add(tarball(f, member{name: "../x", text: "{}"}))
	f.Add([]byte("\x1f\x8b"))
	small := limits{archive: 1 << 16, unpacked: 1 << 16, files: 20, path: 100}
	f.Fuzz(func(t *testing.T, raw []byte) {
		folder, _, err := unpackInto(t, raw, small)
		if err != nil {
			return
		}
		root, err := os.OpenRoot(folder)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		// Nothing that lies there leads anywhere else.
		_ = fs.WalkDir(root.FS(), ".", func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type()&fs.ModeSymlink != 0 {
				if to, _ := os.Readlink(filepath.Join(folder, path)); filepath.IsAbs(to) {
					t.Errorf("%s leads to %s", path, to)
				}
			}
			return nil
		})
	})
}
