// Package scaffold begins projects of plugin authors: a folder with one block that builds, is tested and runs. It must
// hold nothing that a project could not be written with by hand.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/examples/plugins"
)

// Languages that projects can be begun in.
var Languages = []string{"go", "python", "typescript"}

// Project is what to begin.
type Project struct {
	Name     string // of the plugin and its folder
	Language string // one of Languages
	// SDK is the root of a checkout of Patchbay, the folder that holds sdk/. Go needs it until a release is published.
	SDK string
	// Patchbay is the program as the project's Makefile calls it.
	Patchbay string
}

//go:embed templates
var templates embed.FS

// runtimes are the files that a language's project shares with its example: what speaks the protocol there.
var runtimes = map[string][]string{
	"python":     {"patchbay.py", "plugin.binpb"},
	"typescript": {"patchbay.ts", "plugin.proto", "plugin.d.ts", "tsconfig.json", "package-lock.json", ".npmrc"},
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// Check says what is wrong with the project.
func (p Project) Check() error {
	if !namePattern.MatchString(p.Name) {
		return fmt.Errorf("%q is no name for a plugin: it takes lower-case letters, digits and _, begins with a letter and has at most 63 of them%s",
			p.Name, suggestion(p.Name))
	}
	if !slices.Contains(Languages, p.Language) {
		return fmt.Errorf("there is no template for the language %q; there are %s", p.Language, strings.Join(Languages, ", "))
	}
	if p.Language != "go" {
		return nil
	}
	if p.SDK == "" {
		return errors.New("no release of the Go SDK is published yet: give the root of a checkout of Patchbay, the folder that holds sdk/, with --sdk")
	}
	if _, err := os.Stat(filepath.Join(p.SDK, "sdk", "go.mod")); err != nil {
		return fmt.Errorf("--sdk %s is not the root of a checkout of Patchbay: it has no sdk/go.mod", p.SDK)
	}
	return nil
}

// suggestion is a name that would do and looks like the one that does not.
func suggestion(name string) string {
	near := regexp.MustCompile(`[^a-z0-9_]+`).ReplaceAllString(strings.ToLower(name), "_")
	near = strings.Trim(strings.TrimLeft(near, "_0123456789"), "_")
	if near = near[:min(len(near), 63)]; near == "" {
		return ""
	}
	return fmt.Sprintf("; %q would do", near)
}

// Write makes the project's folder, which must not be there.
func (p Project) Write(folder string) (err error) {
	if err := p.Check(); err != nil {
		return err
	}
	files, err := p.files()
	if err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s is there already: choose another name, or remove it", folder)
		}
		return fmt.Errorf("make the project's folder: %w", err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
			return fmt.Errorf("write the project: %w", err)
		}
	}
	return nil
}

// files are the project's, by name.
func (p Project) files() (map[string][]byte, error) {
	data := struct {
		Project
		BlockID string
		Title   string
	}{p, uuid.NewString(), strings.ToUpper(p.Name[:1]) + strings.ReplaceAll(p.Name[1:], "_", " ")}
	files := map[string][]byte{}
	for _, set := range []string{"every", p.Language} {
		folder := "templates/" + set
		entries, err := templates.ReadDir(folder)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			t, err := template.New(e.Name()).Delims("<<", ">>").ParseFS(templates, path.Join(folder, e.Name()))
			if err != nil {
				return nil, err
			}
			var b bytes.Buffer
			if err := t.Execute(&b, data); err != nil {
				return nil, err
			}
			name := strings.TrimSuffix(e.Name(), ".tmpl")
			if name == "gitignore" {
				name = ".gitignore"
			}
			files[name] = b.Bytes()
		}
	}
	for _, name := range runtimes[p.Language] {
		content, err := plugins.Files.ReadFile(p.Language + "/" + name)
		if err != nil {
			return nil, err
		}
		files[name] = content
	}
	if p.Language == "go" {
		var err error
		if files["go.mod"], files["go.sum"], err = goModule(p.Name, p.SDK); err != nil {
			return nil, fmt.Errorf("read what the SDK needs: %w", err)
		}
	}
	return files, nil
}
