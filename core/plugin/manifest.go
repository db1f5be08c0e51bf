package plugin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// What of a manifest can be wrong, in the words of the file: authors write some by hand.

// decodeManifest reads a manifest.
func decodeManifest(data []byte) (m Manifest, err error) {
	err = json.Unmarshal(data, &m)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		before := data[:min(int(syntax.Offset), len(data))]
		column := len(before) - bytes.LastIndexByte(before, '\n') - 1
		return m, fmt.Errorf("%s is no JSON: line %d, column %d: %w", manifestName, 1+bytes.Count(before, []byte("\n")), max(column, 1), err)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return m, fmt.Errorf("%s: %s is a JSON %s, where %s is wanted", manifestName, cmp.Or(wrong.Field, "the whole"), wrong.Value, wanted(wrong.Type))
	}
	if err != nil {
		return m, fmt.Errorf("read %s: %w", manifestName, err)
	}
	if key, _ := doubled(json.NewDecoder(bytes.NewReader(data)), ""); key != "" {
		return m, fmt.Errorf("%s: the key %q is there twice", manifestName, key)
	}
	m.Unknown = unknownKeys(data, reflect.TypeFor[Manifest](), "")
	return m, nil
}

// doubled is a key that some object has twice, with its path: of which one would count, and whoever reads the file may have
// seen the other. Empty: there is none.
func doubled(d *json.Decoder, at string) (string, error) {
	token, err := d.Token()
	begin, ok := token.(json.Delim)
	if err != nil || !ok {
		return "", err
	}
	seen := map[string]bool{}
	for d.More() {
		path := at
		if begin == '{' {
			token, err := d.Token()
			if err != nil {
				return "", err
			}
			key, _ := token.(string)
			if path = strings.TrimPrefix(at+"."+key, "."); seen[strings.ToLower(key)] { // as decoding has it
				return path, nil
			}
			seen[strings.ToLower(key)] = true
		}
		if found, err := doubled(d, path); err != nil || found != "" {
			return found, err
		}
	}
	_, err = d.Token()
	return "", err
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "a list"
	}
	return "an object"
}

// unknownKeys are the keys in a JSON value that its type has not, each with its path.
func unknownKeys(value []byte, t reflect.Type, at string) (unknown []string) {
	switch t.Kind() {
	case reflect.Slice:
		var list []json.RawMessage
		_ = json.Unmarshal(value, &list) // what it is not has nothing in it
		for _, one := range list {
			unknown = append(unknown, unknownKeys(one, t.Elem(), at)...)
		}
	case reflect.Struct:
		var members map[string]json.RawMessage
		_ = json.Unmarshal(value, &members)
		for _, key := range slices.Sorted(maps.Keys(members)) {
			field, known := t.FieldByNameFunc(func(name string) bool {
				field, _ := t.FieldByName(name)
				tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				return tag != "-" && strings.EqualFold(tag, key) // as decoding has it
			})
			if !known {
				unknown = append(unknown, at+key)
			} else {
				unknown = append(unknown, unknownKeys(members[key], field.Type, at+key+".")...)
			}
		}
	}
	return slices.Compact(unknown)
}

// Ignored says which keys of the manifest are not known; empty: all are.
func (m *Manifest) Ignored() string {
	if len(m.Unknown) == 0 {
		return ""
	}
	shown := make([]string, 0, maxIgnored)
	for _, key := range m.Unknown[:min(len(m.Unknown), maxIgnored)] {
		shown = append(shown, fmt.Sprintf("%.100q", key))
	}
	if more := len(m.Unknown) - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("%d more", more))
	}
	what := "unknown key"
	if len(m.Unknown) > 1 {
		what += "s"
	}
	return fmt.Sprintf("%s: %s %s: this version ignores what it does not know", manifestName, what, strings.Join(shown, ", "))
}

const maxIgnored = 10 // keys that are shown

var platformPattern = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+$`)

// check says what of a manifest is wrong by itself. name is the one by which it was found; empty: any.
func (m *Manifest) check(name string) error {
	machine := runtime.GOOS + "/" + runtime.GOARCH
	switch {
	case m.Name == "":
		return fmt.Errorf("%s: name is missing", manifestName)
	case !namePattern.MatchString(m.Name):
		return fmt.Errorf("%s: name %q is not of the form [a-z][a-z0-9_]*", manifestName, m.Name)
	case m.Name != cmp.Or(name, m.Name):
		return fmt.Errorf("%s: name %q is not %q, by which it was found", manifestName, m.Name, name)
	case m.Version == "":
		return fmt.Errorf("%s: version is missing", manifestName)
	case m.Protocol == 0:
		return fmt.Errorf("%s: protocol is missing; this server speaks %d", manifestName, proto.Version)
	case m.Protocol != proto.Version:
		return fmt.Errorf("%s: protocol %d; this server speaks %d", manifestName, m.Protocol, proto.Version)
	case m.Platform != "" && !platformPattern.MatchString(m.Platform):
		return fmt.Errorf("%s: platform %q is not of the form %s", manifestName, m.Platform, machine)
	case cmp.Or(m.Platform, machine) != machine:
		return fmt.Errorf("%s: plugin %s is for %s; this machine is %s", manifestName, m.Name, m.Platform, machine)
	}
	if err := m.Permissions.Check(); err != nil {
		return fmt.Errorf("%s: %w", manifestName, err)
	}
	return nil
}

// checkExecutable says what is wrong with the executable beside a manifest. It names the file and no path: that may be one of
// a package on its way, which nobody knows.
func (m *Manifest) checkExecutable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s says that the plugin is %q, and there is no file %s beside it: the name in the code and that of the executable (NAME in a Makefile) must be the same",
			manifestName, m.Name, filepath.Base(path))
	case err != nil:
		return fmt.Errorf("find the executable %s: %w", filepath.Base(path), errors.Unwrap(err))
	case !info.Mode().IsRegular():
		return fmt.Errorf("the executable %s beside %s is no file", filepath.Base(path), manifestName)
	case info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("%s, beside %s, is not executable (its mode is %#o): chmod +x %[1]s", filepath.Base(path), manifestName, info.Mode().Perm())
	}
	return nil
}
