package sdk

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Version of this SDK.
const Version = "0.1.0"

// Plugin is what one process offers.
type Plugin struct {
	Name        string // [a-z][a-z0-9_]*, unique among the plugins of a server
	Version     string // semantic version
	Description string
	Blocks      []Definition
	Providers   []Provider
	Settings    []PluginSetting
	Permissions Permissions
}

// PluginSetting is what the server's administrator can set, by PATCHBAY_PLUGIN_<PLUGIN>_<SETTING>.
type PluginSetting struct {
	Name        string // [a-z][a-z0-9_]*
	Description string
	Default     string
	Required    bool
	Secret      bool
}

var (
	plainName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	semver    = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
)

// Describe checks the plugin and gives what the host is told about it. All that is wrong is in the error.
func (p Plugin) Describe() (*proto.DescribeResponse, error) {
	description := &proto.DescribeResponse{
		Name:            p.Name,
		Version:         p.Version,
		ProtocolVersion: proto.Version,
		Sdk:             "patchbay-go " + Version,
		Description:     p.Description,
		BulkValues:      true,
	}
	var wrong []error
	if !plainName.MatchString(p.Name) {
		wrong = append(wrong, fmt.Errorf("plugin name %q: it takes lower-case letters, digits and _", p.Name))
	}
	if !semver.MatchString(p.Version) {
		wrong = append(wrong, fmt.Errorf("plugin version %q: it must look like 1.2.3", p.Version))
	}
	ids := map[string]string{}
	for _, b := range p.Blocks {
		block, err := b.Describe()
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		if other, ok := ids[block.Id]; ok {
			wrong = append(wrong, fmt.Errorf("block %q has the id of block %q", block.Name, other))
		}
		ids[block.Id] = block.Name
		description.Blocks = append(description.Blocks, block)
	}
	if err := p.Permissions.check(); err != nil {
		wrong = append(wrong, err)
	}
	providers := map[string]bool{}
	for _, provider := range p.Providers {
		described, err := provider.describe(p.Name)
		if err == nil && providers[provider.Name] {
			err = fmt.Errorf("provider %q is there twice", provider.Name)
		}
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		providers[provider.Name] = true
		description.Providers = append(description.Providers, described)
	}
	settings := map[string]bool{}
	for _, s := range p.settings() {
		if settings[s.Name] {
			wrong = append(wrong, fmt.Errorf("setting %q is there twice", s.Name))
		}
		settings[s.Name] = true
		if !plainName.MatchString(s.Name) {
			wrong = append(wrong, fmt.Errorf("setting %q: a name takes lower-case letters, digits and _", s.Name))
		}
		description.Settings = append(description.Settings, &proto.SettingDescription{
			Name: s.Name, Description: s.Description, Default: s.Default, Required: s.Required, Secret: s.Secret,
		})
	}
	return description, errors.Join(wrong...)
}

// settings are those of the plugin and of its providers.
func (p Plugin) settings() []PluginSetting {
	all := slices.Clone(p.Settings)
	for _, provider := range p.Providers {
		all = append(all, provider.settings(p.Name)...)
	}
	return all
}

// Manifest is the file plugin.json beside a plugin's binary: what the host knows before it starts anything.
type Manifest struct {
	Name        string      `json:"name"`
	Version     string      `json:"version"`
	Protocol    int         `json:"protocol"`
	AutoMTLS    bool        `json:"auto_mtls"`
	Description string      `json:"description,omitempty"`
	Permissions Permissions `json:"permissions,omitzero"`
	// Settings and Credentials repeat what the plugin describes, for whoever is asked to install it.
	Settings    []ManifestSetting    `json:"settings,omitempty"`
	Credentials []ManifestCredential `json:"credentials"`
}

// ManifestSetting is a setting of the plugin.
type ManifestSetting struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required,omitempty"`
	Secret      bool   `json:"secret,omitempty"`
}

// ManifestCredential is what the plugin's blocks take of the credentials of one provider, all together.
type ManifestCredential struct {
	Provider string   `json:"provider"`
	Types    []string `json:"types"`
	Scopes   []string `json:"scopes,omitempty"`
}

func (p Plugin) manifest() Manifest {
	m := Manifest{
		Name: p.Name, Version: p.Version, Protocol: proto.Version, AutoMTLS: true, Description: p.Description,
		Permissions: p.Permissions, Credentials: []ManifestCredential{},
	}
	for _, s := range p.settings() {
		m.Settings = append(m.Settings, ManifestSetting{s.Name, s.Description, s.Required, s.Secret})
	}
	described, err := p.Describe()
	if err != nil {
		return m // serving it says what is wrong
	}
	for _, block := range described.GetBlocks() {
		for _, field := range block.GetCredentials() {
			for _, provider := range field.GetProviders() {
				m.takes(provider, field.GetTypes(), field.GetScopes())
			}
		}
	}
	return m
}

// takes adds what a pin for credentials takes.
func (m *Manifest) takes(provider string, types, scopes []string) {
	i := slices.IndexFunc(m.Credentials, func(c ManifestCredential) bool { return c.Provider == provider })
	if i < 0 {
		i = len(m.Credentials)
		m.Credentials = append(m.Credentials, ManifestCredential{Provider: provider})
	}
	c := &m.Credentials[i]
	c.Types, c.Scopes = union(c.Types, types), union(c.Scopes, scopes)
}
