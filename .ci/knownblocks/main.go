// Knownblocks writes the plugins of this repository into the list of known blocks, behind the names of the blocks that
// they bring, by the file of facts that the tests of the plugins hold them to.
//
//	knownblocks <file of facts> <list of blocks>
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: knownblocks <file of facts> <list of blocks>")
	}
	if err := write(os.Args[1], os.Args[2]); err != nil {
		log.Fatal("knownblocks: ", err)
	}
}

func write(facts, list string) error {
	content, err := os.ReadFile(facts)
	if err != nil {
		return err
	}
	var blocks []struct{ Plugin, ID, Name string }
	if err := json.Unmarshal(content, &blocks); err != nil {
		return fmt.Errorf("%s: %w", facts, err)
	}
	known := map[string]string{} // lines by ids
	if content, err = os.ReadFile(list); err != nil {
		return err
	}
	for line := range strings.Lines(string(content)) {
		line, _, _ = strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		id, _, ok := strings.Cut(line, " ")
		if !ok {
			return fmt.Errorf("%s: %q is no id and a name", list, line)
		}
		known[id] = line
	}
	for _, b := range blocks {
		known[b.ID] = b.ID + " " + b.Name + "\t" + b.Plugin
	}
	lines := make([]string, 0, len(known))
	for _, line := range known {
		lines = append(lines, line+"\n")
	}
	slices.Sort(lines)
	return os.WriteFile(list, []byte(strings.Join(lines, "")), 0o644)
}
