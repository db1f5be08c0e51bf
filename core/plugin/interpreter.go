package plugin

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/patchbay-io/patchbay/core/plugin/isolation"
)

// Obstacle is why a script does not start: the system says of its interpreter only that some file is not there.
type Obstacle struct{ What, Advice string }

func (o *Obstacle) String() string { return o.What + ": " + o.Advice }

// Uninterpreted says why a script has not become a process, which has said these words; nil: its interpreter is not why.
func Uninterpreted(script, words string) *Obstacle {
	if !strings.Contains(words, isolation.Refusal+" execute ") {
		return nil
	}
	interpreter := interpreterOf(script)
	if interpreter == "" {
		return nil
	}
	what := fmt.Sprintf("the first line of %s names the interpreter %s, ", filepath.Base(script), interpreter)
	if _, err := os.Stat(interpreter); err != nil {
		return &Obstacle{what + "which is not there", "install it, or name one below /usr, such as #!/usr/bin/env python3"}
	}
	o := &Obstacle{what + "which is there and is not granted to the plugin", "name one below /usr, such as #!/usr/bin/env python3"}
	folder := filepath.Dir(interpreter)
	if filepath.Base(folder) == "bin" { // what it needs lies beside that
		folder = filepath.Dir(folder)
	}
	granted := Permissions{Files: []FileAccess{{Path: folder}}}
	if granted.Check() == nil {
		o.Advice += fmt.Sprintf(`, or ask for its folder with "permissions": {"files": [{"path": %q}]} in %s`, folder, manifestName)
	}
	return o
}

// interpreterOf is what the first line of a script names; empty: it is none.
func interpreterOf(script string) string {
	file, err := os.Open(script)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	line, _ := bufio.NewReader(io.LimitReader(file, 4096)).ReadString('\n')
	rest, ok := strings.CutPrefix(line, "#!")
	if fields := strings.Fields(rest); ok && len(fields) > 0 {
		return printable(fields[0])
	}
	return ""
}
