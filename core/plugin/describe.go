package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// maxBlocks and maxText bound what a description may hold.
const (
	maxBlocks = 10_000
	maxText   = 1 << 16
)

// offer is a checked description.
type offer struct {
	description *proto.DescribeResponse
	blocks      []*block.Block
	providers   []*Provider
}

// permanentError is a failure that another start of the same plugin cannot cure.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

func permanent(err error) error { return permanentError{err} }

func isPermanent(err error) bool {
	_, ok := errors.AsType[permanentError](err)
	return ok
}

// check makes an offer of a description, or says everything that is wrong with it.
func check(m Manifest, d *proto.DescribeResponse) (*offer, error) {
	var wrong []error
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if d.GetProtocolVersion() != proto.Version {
		bad("protocol version %d; this server speaks %d", d.GetProtocolVersion(), proto.Version)
	}
	if d.GetName() != m.Name {
		bad("name %q differs from the manifest's %q", d.GetName(), m.Name)
	}
	if d.GetVersion() != m.Version {
		bad("version %q differs from the manifest's %q", d.GetVersion(), m.Version)
	}
	if len(d.GetBlocks()) > maxBlocks {
		bad("%d blocks; at most %d are allowed", len(d.GetBlocks()), maxBlocks)
		return nil, permanent(errors.Join(wrong...))
	}
	settings := make(map[string]bool)
	for _, s := range d.GetSettings() {
		switch {
		case !namePattern.MatchString(s.GetName()):
			bad("setting %q: the name is not of the form [a-z][a-z0-9_]*", s.GetName())
		case settings[s.GetName()]:
			bad("setting %q is declared twice", s.GetName())
		}
		settings[s.GetName()] = true
	}
	o := &offer{description: d, providers: checkProviders(d, settings, bad)}
	ids := make(map[string]string)
	for i, bd := range d.GetBlocks() {
		b, err := compile(m, bd)
		if err != nil {
			bad("block %d (%q): %w", i+1, bd.GetName(), err)
			continue
		}
		if other, ok := ids[b.ID]; ok {
			bad("block %d (%q): its id %s is that of %q", i+1, b.Name, b.ID, other)
			continue
		}
		ids[b.ID] = b.Name
		o.blocks = append(o.blocks, b)
		if provider := m.conceals(b); provider != "" {
			bad("block %d (%q): it takes credentials of %q, which %s does not name", i+1, b.Name, provider, manifestName)
		}
	}
	if len(wrong) > 0 {
		return nil, permanent(fmt.Errorf("invalid description: %w", errors.Join(wrong...)))
	}
	return o, nil
}

// conceals is a provider of whose credentials a block takes some and the manifest, which speaks of them, says nothing:
// somebody has consented to what that says.
func (m Manifest) conceals(b *block.Block) string {
	if m.Credentials == nil {
		return ""
	}
	for _, field := range b.Credentials {
		for _, provider := range field.Providers {
			if !slices.ContainsFunc(m.Credentials, func(c ManifestCredential) bool { return c.Provider == provider }) {
				return provider
			}
		}
	}
	return ""
}

func compile(m Manifest, d *proto.BlockDescription) (*block.Block, error) {
	switch {
	case !block.ValidID(d.GetId()):
		return nil, fmt.Errorf("id %q is not a UUID in lower case", d.GetId())
	case d.GetName() == "":
		return nil, errors.New("the name is missing")
	case len(d.GetName()) > 256 || len(d.GetDescription()) > maxText:
		return nil, errors.New("the name or the description is too long")
	}
	kind, err := kindOf(d.GetType())
	if err != nil {
		return nil, err
	}
	for what, schema := range map[string][]byte{"input": d.GetInputSchema(), "output": d.GetOutputSchema()} {
		if err := checkJSON(schema); err != nil {
			return nil, fmt.Errorf("%s schema: %w", what, err)
		}
	}
	def := block.Definition{
		ID:           d.GetId(),
		Name:         d.GetName(),
		Description:  d.GetDescription(),
		Categories:   d.GetCategories(),
		Kind:         kind,
		InputSchema:  json.RawMessage(d.GetInputSchema()),
		OutputSchema: json.RawMessage(d.GetOutputSchema()),
		StaticOutput: d.GetStaticOutput(),
		Traits: block.Traits{
			Pure:      d.GetTraits().GetPure(),
			Streaming: d.GetTraits().GetStreaming(),
			Once:      d.GetTraits().GetOnce(),
		},
	}
	if def.Traits.Pure && def.Traits.Once {
		return nil, errors.New("the traits pure and once contradict each other")
	}
	for _, c := range d.GetCredentials() {
		def.Credentials = append(def.Credentials, block.CredentialsField{
			Pin: c.GetPin(), Providers: c.GetProviders(), Types: c.GetTypes(), Scopes: c.GetScopes(), Optional: c.GetOptional(),
			Discriminator: c.GetDiscriminator(), Mapping: c.GetDiscriminatorMapping(), Inside: c.GetInside(),
		})
	}
	b, err := block.New(def)
	if err != nil {
		return nil, err
	}
	for _, c := range def.Credentials {
		if _, ok := b.Input(c.Pin); !ok && c.Inside == "" {
			return nil, fmt.Errorf("credentials pin %q is no input pin", c.Pin)
		}
	}
	b.Plugin = block.Plugin{Name: m.Name, Version: m.Version}
	return b, nil
}

func kindOf(t proto.BlockType) (block.Kind, error) {
	switch t {
	case proto.BlockType_BLOCK_TYPE_UNSPECIFIED, proto.BlockType_BLOCK_TYPE_STANDARD:
		return block.Standard, nil
	case proto.BlockType_BLOCK_TYPE_AI:
		return block.AI, nil
	case proto.BlockType_BLOCK_TYPE_WEBHOOK:
		return block.Webhook, nil
	case proto.BlockType_BLOCK_TYPE_WEBHOOK_MANUAL:
		return block.WebhookManual, nil
	case proto.BlockType_BLOCK_TYPE_HUMAN_IN_THE_LOOP:
		return block.HumanInTheLoop, nil
	}
	return "", fmt.Errorf("block type %d is unknown", t)
}

// settingsFor picks a plugin's settings, defaults filled in. unknown names those that it does not declare.
func settingsFor(d *proto.DescribeResponse, set map[string]string) (settings map[string]string, unknown []string, err error) {
	settings = make(map[string]string, len(d.GetSettings()))
	unset := &unsetError{plugin: d.GetName()}
	var wrong []error
	for _, s := range d.GetSettings() {
		v, ok := set[s.GetName()]
		if !ok || v == "" {
			v = s.GetDefault()
		}
		switch {
		case v == "" && s.GetRequired():
			unset.settings = append(unset.settings, s.GetName())
		case !utf8.ValidString(v):
			wrong = append(wrong, fmt.Errorf("setting %q is not valid UTF-8", s.GetName()))
		}
		settings[s.GetName()] = v
	}
	for name := range set {
		if _, ok := settings[name]; !ok {
			unknown = append(unknown, name)
		}
	}
	switch {
	case len(wrong) > 0:
		return nil, unknown, permanent(errors.Join(wrong...))
	case len(unset.settings) > 0:
		return nil, unknown, permanent(unset)
	}
	return settings, unknown, nil
}

// unsetError says which settings a plugin cannot do without.
type unsetError struct {
	plugin   string
	settings []string
}

func (e *unsetError) Error() string {
	var variables, keys []string
	for _, name := range e.settings {
		key := "plugin_" + e.plugin + "_" + name
		variables, keys = append(variables, "PATCHBAY_"+strings.ToUpper(key)), append(keys, key)
	}
	return fmt.Sprintf("needs the setting %q: set %s and start the server again, or %s in patchbay.yaml and run patchbay plugin restart %s",
		strings.Join(e.settings, `", "`), strings.Join(variables, ", "), strings.Join(keys, ", "), e.plugin)
}
