package config

import (
	"fmt"
	"strings"
)

// pluginSetting is one setting of some plugin: the name, in capitals, is that of the plugin and that of the setting
// with a line between. Which is which only a plugin's own name tells, for both may have lines in them.
type pluginSetting struct{ name, value string }

const fileSuffix = "_FILE"

// read is the setting with what lies in its file, if it names one.
func (p pluginSetting) read() (pluginSetting, error) {
	short, ok := strings.CutSuffix(p.name, fileSuffix)
	if !ok {
		return p, nil
	}
	value, err := readSecret(p.value)
	if err != nil {
		return p, fmt.Errorf("%s%s: %w", pluginPrefix, p.name, err)
	}
	return pluginSetting{name: short, value: value}, nil
}

// PluginSettings are the settings that could be meant for a plugin, by name in small letters. The file of settings and
// files of secrets are read anew each time, so that a plugin that is started again has what they say then.
func (s *Settings) PluginSettings(plugin string) (map[string]string, error) {
	settings := map[string]string{}
	if s.source == nil {
		return settings, nil
	}
	now, err := s.source.again()
	if err != nil {
		return nil, err
	}
	for _, p := range now.plugins {
		if rest, ok := strings.CutPrefix(p.name, strings.ToUpper(plugin)+"_"); !ok || rest == "" {
			continue
		}
		if p, err = p.read(); err != nil {
			return nil, err
		}
		name := strings.ToLower(strings.TrimPrefix(p.name, strings.ToUpper(plugin)+"_"))
		if _, set := settings[name]; !set { // the environment comes first
			settings[name] = p.value
		}
	}
	return settings, nil
}
