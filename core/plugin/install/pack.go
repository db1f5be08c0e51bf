package install

import (
	"archive/tar"

	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/gzip"
)

// pack writes a folder as a .tar.gz that is the same whenever the files are.
func pack(folder string, to io.Writer) error {
	folder, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	zipped, err := gzip.NewWriterLevel(to, gzip.NoCompression) // it is unpacked on the same machine
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	archive := tar.NewWriter(zipped)
	err = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil || name == "." {
			return err
		}
		header := &tar.Header{Name: filepath.ToSlash(name), Mode: 0o644, Format: tar.FormatPAX}
		switch {
		case e.IsDir():
			header.Typeflag, header.Name, header.Mode = tar.TypeDir, header.Name+"/", 0o755
			return archive.WriteHeader(header)
		case e.Type()&fs.ModeSymlink != 0:
			header.Typeflag = tar.TypeSymlink
			if header.Linkname, err = os.Readlink(path); err != nil {
				return err
			}
			return archive.WriteHeader(header)
		case !e.Type().IsRegular():
			return fmt.Errorf("%s is no file, folder or symbolic link", name)
		}
		return packFile(archive, header, path)
	})
	if err := errors.Join(err, archive.Close(), zipped.Close()); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	return nil
}

func packFile(archive *tar.Writer, header *tar.Header, path string) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	if info.Mode()&0o111 != 0 {
		header.Mode = 0o755
	}
	header.Typeflag, header.Size = tar.TypeReg, info.Size()
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.CopyN(archive, from, info.Size())
	return err
}
