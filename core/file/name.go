package file

import (
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"
)

// maxName is the length in bytes of names that file systems take.
const maxName = 255

const octets = "application/octet-stream"

// sniff says what a file's beginning looks like.
func sniff(beginning []byte) string { return mimetype.Detect(beginning).String() }

// mediaType is what was given, if it says anything, else what was seen.
func mediaType(given, seen string) string {
	media, parameters, err := mime.ParseMediaType(given)
	if clean := mime.FormatMediaType(media, parameters); err == nil && clean != "" && media != octets && strings.Contains(media, "/") && len(clean) <= maxName {
		return clean
	}
	if seen == "" { // an empty file
		return octets
	}
	return seen
}

// cleanName makes a name that no system takes for a path, a command or two lines: the last element of a path, without
// control characters and those that turn the direction of writing.
func cleanName(name, media string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, name)
	name = strings.Trim(name, " .")
	if name == "" {
		name = "file" + extension(media)
	}
	return shorten(name)
}

// extension is the one that files of a media type usually have.
func extension(media string) string {
	known := mimetype.Lookup(strings.TrimSpace(strings.SplitN(media, ";", 2)[0]))
	if known == nil {
		return ""
	}
	return known.Extension()
}

// shorten cuts a name before its extension.
func shorten(name string) string {
	if len(name) <= maxName {
		return name
	}
	end := ""
	if i := strings.LastIndexByte(name, '.'); i > 0 && len(name)-i <= 32 {
		end = name[i:]
	}
	cut := name[:maxName-len(end)]
	for !utf8.ValidString(cut) {
		cut = cut[:len(cut)-1]
	}
	return cut + end
}
