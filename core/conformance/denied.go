package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/patchbay-io/patchbay/core/plugin"
)

// What programs say that may not do something, with the path before it or behind it, as libraries of Go, Python, Node and
// others have it. What was not granted is not there for a plugin that has a root of its own.
var (
	deniedAtAll  = regexp.MustCompile(`(?i)permission denied|EACCES`)
	deniedBefore = regexp.MustCompile(`(/[^:"'\n]*)["']?: (?i:(permission denied|no such file))`)
	deniedBehind = regexp.MustCompile(`(?i:(permission denied|no such file)[^/\n"']*)["']?(/[^"'\n]+)`)
	deniedSocket = regexp.MustCompile(`(?i)socket: permission denied|connect EACCES|name resolution|EAI_AGAIN|network is unreachable|lookup .* permission denied`)
)

// denied says what a plugin would have to ask for to be allowed what, by its own words, it is not; empty: its words say no
// such thing, or asking would not help.
func (s *suite) denied(words string) string {
	var files []string
	for _, way := range []struct {
		pattern      *regexp.Regexp
		path, reason int
	}{{deniedBefore, 1, 2}, {deniedBehind, 2, 1}} {
		for _, found := range way.pattern.FindAllStringSubmatch(words, -1) {
			path := filepath.Clean(strings.TrimSpace(found[way.path]))
			if info, err := os.Stat(path); err != nil && strings.EqualFold(found[way.reason], "no such file") {
				continue // for nobody
			} else if err != nil { // it is to be made
				path = filepath.Dir(path)
			} else if !info.IsDir() && unix.Access(path, unix.R_OK) != nil {
				continue // nobody can grant what whoever grants it has not
			}
			if path != "/" && !slices.Contains(files, path) {
				files = append(files, path)
			}
		}
	}
	switch {
	case len(files) > 0:
		return s.askForFiles(files)
	case deniedSocket.MatchString(words) && !s.manifest.Permissions.Network:
		return `the plugin is denied the network: ` + ask(`"network": true`) + `, or make requests by the host, which needs none: section 11`
	case deniedAtAll.MatchString(words) && s.manifest.Permissions.Network:
		return `the plugin is denied something that it does not name: if that is a file, ` + ask(`"files": [{"path": "/the/file"}]`)
	case deniedAtAll.MatchString(words):
		return `the plugin is denied something that it does not name: if that is a connection, it is the network: ` + ask(`"network": true`) +
			`, or make requests by the host, which needs none: section 11; if it is a file, ask so for "files": [{"path": "/the/file"}]`
	}
	return ""
}

func (s *suite) askForFiles(files []string) string {
	var entries []string
	for _, path := range files {
		asked := plugin.Permissions{Files: []plugin.FileAccess{{Path: path}}}
		if asked.Check() != nil {
			return fmt.Sprintf("no plugin can be granted %s: do without", path)
		}
		entry := fmt.Sprintf(`{"path": %q}`, path)
		if s.manifest.Permissions.Covers(asked) {
			entry = fmt.Sprintf(`{"path": %q, "write": true}`, path)
		}
		entries = append(entries, entry)
	}
	return fmt.Sprintf(`the plugin is denied %s: %s; to write, with "write": true`, strings.Join(files, ", "), ask(`"files": [`+strings.Join(entries, ", ")+`]`))
}

// ask says how a plugin asks for a permission.
func ask(permission string) string {
	return fmt.Sprintf(`ask for it with "permissions": {%s} in plugin.json, in Go by Permissions of sdk.Plugin: section 1`, permission)
}
