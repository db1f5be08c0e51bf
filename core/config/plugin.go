package config

import (
	"fmt"
	"strings"
)

// pluginSetting is one setting of some plugin: the name, in capitals, is that of the plugin and that of the setting
// with a line between. Which is which only a plugin's own name tells, for both may have lines in them.
type pluginSetting struct{ name, value string }

const fileSuffix = "_FILE"

// readFiles puts what lies in files in the place of the settings that name them.
func readFiles(settings []pluginSetting) ([]pluginSetting, error) {
	var all []pluginSetting
	for _, p := range settings {
		short, ok := strings.CutSuffix(p.name, fileSuffix)
		if ok {
			value, err := readSecret(p.value)
			if err != nil {
				return nil, fmt.Errorf("%s%s: %w", pluginPrefix, p.name, err)
			}
			p = pluginSetting{name: short, value: value}
		}
		all = append(all, p)
	}
	return all, nil
}

// PluginSettings are the settings that could be meant for a plugin, by name in small letters.
func (s *Settings) PluginSettings(plugin string) map[string]string {
	settings := map[string]string{}
	for _, p := range s.plugins {
		name, ok := strings.CutPrefix(p.name, strings.ToUpper(plugin)+"_")
		if ok && name != "" {
			settings[strings.ToLower(name)] = p.value
		}
	}
	return settings
}
