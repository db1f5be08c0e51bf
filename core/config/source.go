package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
)

// Group is the key of the kong group of the settings: only its flags are looked for in the environment and the file.
const Group = "settings"

const (
	prefix       = "PATCHBAY_"
	pluginPrefix = prefix + "PLUGIN_"
	defaultFile  = "patchbay.yaml"
)

// Variable is the environment variable of a setting that is written as flags are.
func Variable(setting string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
}

// variableOf is the environment variable of a flag.
func variableOf(flag *kong.Flag) string {
	if setting := flag.Tag.Get("setting"); setting != "" {
		return Variable(setting)
	}
	return Variable(flag.Name)
}

// Source gives kong the settings of the environment and of the file.
type Source struct {
	environment map[string]string
	known       map[string]bool
	file        map[string]string // by variable
	explicit    string            // path of the file that was named
	path        string
	loaded      bool
	plugins     []pluginSetting
}

var _ kong.Resolver = (*Source)(nil)

// NewSource reads an environment as os.Environ gives it. A variable that is set and empty counts as not set.
func NewSource(environ []string) *Source {
	s := &Source{environment: map[string]string{}, file: map[string]string{}}
	for _, entry := range environ {
		name, value, ok := strings.Cut(entry, "=")
		switch {
		case !ok || !strings.HasPrefix(name, prefix):
		case value == "":
			delete(s.environment, name)
		default:
			s.environment[name] = value
		}
	}
	return s
}

// Validate is part of kong.Resolver; all is checked when the first flag is resolved.
func (s *Source) Validate(*kong.Application) error { return nil }

// Resolve is part of kong.Resolver.
func (s *Source) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if flag.Group == nil || flag.Group.Key != Group {
		return nil, nil
	}
	if !s.loaded {
		s.loaded = true
		if err := s.load(ctx); err != nil {
			return nil, err
		}
	}
	variable := variableOf(flag)
	origin := variable
	value, ok := s.environment[variable]
	if !ok {
		origin = key(variable) + " in " + s.path
		value, ok = s.file[variable]
	}
	if !ok || flag.Name == "config" {
		return nil, nil
	}
	// kong's own error would name the flag alone, which nobody used.
	trial := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Parse(kong.Scan().PushTyped(value, kong.FlagValueToken), trial); err != nil {
		return nil, fmt.Errorf("%s: %w", origin, err)
	}
	if flag.Enum != "" && !flag.EnumMap()[value] {
		return nil, fmt.Errorf("%s: %q is none of %s", origin, value, strings.ReplaceAll(strings.Trim(flag.Enum, ","), ",", ", "))
	}
	return value, nil
}

// load finds out what names are known, and reads the file.
func (s *Source) load(ctx *kong.Context) error {
	s.known = map[string]bool{}
	s.explicit = s.environment[Variable("config")]
	for _, flag := range ctx.Model.Flags {
		if flag.Group == nil || flag.Group.Key != Group {
			continue
		}
		s.known[variableOf(flag)] = true
		if path, ok := ctx.FlagValue(flag).(string); ok && flag.Name == "config" && path != "" {
			s.explicit = path
		}
	}
	return s.read()
}

// again reads the file once more.
func (s *Source) again() (*Source, error) {
	next := &Source{environment: s.environment, known: s.known, file: map[string]string{}, explicit: s.explicit}
	return next, next.read()
}

// read reads the file and finds unknown names, in it and in the environment.
func (s *Source) read() error {
	for name, value := range s.environment {
		if !s.known[name] && !injected(name) {
			if err := s.plugin(name, value, name); err != nil {
				return err
			}
		}
	}
	return s.readFile()
}

// injected says whether Kubernetes sets a variable, for a service that is called patchbay.
func injected(name string) bool {
	return strings.HasPrefix(name, prefix+"SERVICE_") || name == prefix+"PORT" || strings.HasPrefix(name, prefix+"PORT_")
}

func (s *Source) readFile() error {
	s.path = s.explicit
	if s.path == "" {
		s.path = defaultFile
	}
	raw, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) && s.explicit == "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	var content map[string]any
	if err := yaml.Unmarshal(raw, &content); err != nil {
		return fmt.Errorf("read settings of %s: %w", s.path, err)
	}
	for name, value := range content {
		text, err := scalar(value)
		if err != nil {
			return fmt.Errorf("%s in %s: %w", name, s.path, err)
		}
		variable := Variable(name)
		if name != key(variable) || !s.known[variable] {
			if err := s.plugin(variable, text, name+" in "+s.path); err != nil {
				return err
			}
			continue
		}
		if text != "" {
			s.file[variable] = text
		}
	}
	return nil
}

func key(variable string) string { return strings.ToLower(strings.TrimPrefix(variable, prefix)) }

// scalar turns a value of the file into what the environment would hold.
func scalar(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case []any:
		var all []string
		for _, element := range v {
			text, err := scalar(element)
			if err != nil {
				return "", err
			}
			all = append(all, strings.ReplaceAll(text, ",", `\,`))
		}
		return strings.Join(all, ","), nil
	case map[string]any:
		return "", errors.New("is a mapping; a value or a list is expected")
	default:
		return fmt.Sprint(v), nil
	}
}

// plugin keeps a setting of a plugin; a name that is none is an error.
func (s *Source) plugin(variable, value, shown string) error {
	rest, ok := strings.CutPrefix(variable, pluginPrefix)
	if ok && strings.Contains(strings.Trim(rest, "_"), "_") {
		// Whatever is first wins: the environment is read before the file.
		if !slices.ContainsFunc(s.plugins, func(p pluginSetting) bool { return p.name == rest }) {
			s.plugins = append(s.plugins, pluginSetting{name: rest, value: value})
		}
		return nil
	}
	known := make([]string, 0, len(s.known))
	for name := range s.known {
		known = append(known, name)
	}
	slices.Sort(known)
	closest := nearest(variable, known)
	if shown != variable {
		closest = key(closest)
	}
	return fmt.Errorf("unknown setting %s; the nearest one is %s", shown, closest)
}

// nearest is the known name with the fewest changes of letters to a given one.
func nearest(name string, known []string) string {
	best, least := "", int(^uint(0)>>1)
	for _, k := range known {
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
