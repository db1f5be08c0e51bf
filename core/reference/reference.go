// Package reference writes the documentation of blocks, as Markdown, from what the blocks say of themselves. It must
// know nothing that a plugin does not declare.
package reference

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/plugin"
)

// BuiltIn is the page of the blocks that need no plugin. No plugin can have its name.
func BuiltIn() plugin.Description {
	d := plugin.Description{Name: "built-in", Text: "Blocks that every server has: they need no plugin"}
	for _, b := range block.Structural() {
		described := plugin.DescribedBlock{Block: b}
		if example, ok := block.StructuralExample(b.ID); ok {
			described.Examples = append(described.Examples, example)
		}
		d.Blocks = append(d.Blocks, described)
	}
	return d
}

// File is the name of a plugin's page.
func File(d plugin.Description) string { return d.Name + ".md" }

// Index lists the pages and their blocks.
func Index(all []plugin.Description) []byte {
	var w bytes.Buffer
	w.WriteString("# Blocks\n\n| block | plugin | |\n|---|---|---|\n")
	type row struct{ name, line string }
	var rows []row
	for _, d := range all {
		names := anchors(d.Blocks)
		for i, b := range d.Blocks {
			rows = append(rows, row{b.Name, fmt.Sprintf("| [%s](%s#%s) | [%s](%s) | %s |\n",
				cell(b.Name), File(d), names[i], cell(d.Name), File(d), cell(b.Description))})
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return strings.Compare(a.name, b.name) })
	for _, r := range rows {
		w.WriteString(r.line)
	}
	return w.Bytes()
}

// Page documents a plugin.
func Page(d plugin.Description) []byte {
	var w bytes.Buffer
	fmt.Fprintf(&w, "# %s\n\n", line(d.Name))
	if d.Text != "" {
		fmt.Fprintf(&w, "%s.\n\n", strings.TrimSuffix(line(d.Text), "."))
	}
	if d.Version != "" {
		fmt.Fprintf(&w, "Version %s.\n\n", line(d.Version))
	}
	if len(d.Settings) > 0 {
		w.WriteString("| setting | default | |\n|---|---|---|\n")
		for _, s := range d.Settings {
			name := fmt.Sprintf("PATCHBAY_PLUGIN_%s_%s", strings.ToUpper(d.Name), strings.ToUpper(s.Name))
			fmt.Fprintf(&w, "| %s | %s | %s |\n", code(name), orNothing(s.Default), cell(s.Text)+note(s.Required, "required")+note(s.Secret, "secret"))
		}
		w.WriteString("\n")
	}
	writeProviders(&w, d.Providers)
	for _, b := range d.Blocks {
		writeBlock(&w, b)
	}
	return append(bytes.TrimRight(w.Bytes(), "\n"), '\n')
}

func writeProviders(w *bytes.Buffer, providers []*plugin.Provider) {
	if len(providers) == 0 {
		return
	}
	w.WriteString("| provider | | connected by | default scopes |\n|---|---|---|---|\n")
	for _, p := range providers {
		var kinds, scopes []string
		if p.OAuth != nil {
			kinds, scopes = append(kinds, "OAuth"), p.OAuth.DefaultScopes
		}
		for _, k := range []struct {
			has  bool
			name string
		}{{p.APIKey, "API key"}, {p.UserPassword, "name and password"}, {p.HostScoped, "headers for a host"}} {
			if k.has {
				kinds = append(kinds, k.name)
			}
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", code(p.Name), cell(p.DisplayName), strings.Join(kinds, ", "), cell(strings.Join(scopes, " ")))
	}
	w.WriteString("\n")
}

func writeBlock(w *bytes.Buffer, b plugin.DescribedBlock) {
	fmt.Fprintf(w, "## %s\n\n", line(b.Name))
	if b.Description != "" {
		fmt.Fprintf(w, "%s.\n\n", strings.TrimSuffix(line(b.Description), "."))
	}
	facts := []string{"`" + b.ID + "`"}
	if len(b.Categories) > 0 {
		facts = append(facts, "categories: "+line(strings.Join(b.Categories, ", ")))
	}
	if b.Kind != block.Standard {
		facts = append(facts, "type: "+string(b.Kind))
	}
	if traits := traitsOf(b.Block); len(traits) > 0 {
		facts = append(facts, "traits: "+strings.Join(traits, ", "))
	}
	if b.StaticOutput {
		facts = append(facts, "its last outputs are kept and used again")
	}
	fmt.Fprintf(w, "%s\n\n", strings.Join(facts, " · "))
	if len(b.Inputs()) > 0 {
		w.WriteString("| input | type | default | |\n|---|---|---|---|\n")
		for _, pin := range b.Inputs() {
			about := describe(pin.Schema)
			value := orNothing(string(pin.Default))
			if pin.Required {
				value = "required"
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s |\n", code(pin.Name), about.kind(), value,
				cell(about.Description)+note(about.Advanced, "advanced")+note(pin.Secret, "secret")+note(pin.Credentials, "credentials"))
		}
		w.WriteString("\n")
	}
	if len(b.Outputs()) > 0 {
		w.WriteString("| output | type | |\n|---|---|---|\n")
		for _, pin := range b.Outputs() {
			about := describe(pin.Schema)
			if pin.Name == block.ErrorPin && about.Description == "" {
				about.Description = "Why the block failed"
			}
			fmt.Fprintf(w, "| %s | %s | %s |\n", code(pin.Name), about.kind(), cell(about.Description))
		}
		w.WriteString("\n")
	}
	for _, example := range b.Examples {
		writeExample(w, example)
	}
}

func traitsOf(b *block.Block) []string {
	var traits []string
	for _, t := range []struct {
		has  bool
		name string
	}{{b.Traits.Pure, "pure"}, {b.Traits.Streaming, "streaming"}, {b.Traits.Once, "once"}} {
		if t.has {
			traits = append(traits, t.name)
		}
	}
	return traits
}

// writeExample shows the input and, one a line, the outputs in their order.
func writeExample(w *bytes.Buffer, e block.Example) {
	var input bytes.Buffer
	if err := json.Indent(&input, e.Input, "", "  "); err != nil {
		input.Reset()
		input.Write(e.Input)
	}
	w.WriteString("Example:\n\n")
	writeFenced(w, "json", input.String())
	if len(e.Outputs) == 0 {
		w.WriteString("gives nothing.\n\n")
		return
	}
	w.WriteString("gives\n\n")
	var outputs strings.Builder
	for _, output := range e.Outputs {
		fmt.Fprintf(&outputs, "%s = %s\n", output.Pin, line(string(output.Value)))
	}
	writeFenced(w, "", strings.TrimSuffix(outputs.String(), "\n"))
}

// writeFenced puts a fence around text that is longer than any in it.
func writeFenced(w *bytes.Buffer, language, text string) {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	fmt.Fprintf(w, "%s%s\n%s\n%s\n\n", fence, language, text, fence)
}
