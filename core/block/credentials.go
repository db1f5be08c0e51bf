package block

import (
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// CredentialsName says whether a pin of that name must take credentials (execution.md 2.3).
func CredentialsName(pin string) bool {
	return pin == "credentials" || strings.HasSuffix(pin, "_credentials")
}

var credentialsTypes = []string{"api_key", "oauth2", "user_password", "host_scoped"}

// compileCredentials marks the pins that take credentials. A schema may declare them as well as the definition.
func compileCredentials(declared []CredentialsField, pins []*Pin, p *problems) []CredentialsField {
	fields := slices.Clone(declared)
	for _, pin := range pins {
		if !CredentialsName(pin.Name) || slices.ContainsFunc(fields, func(f CredentialsField) bool { return f.Pin == pin.Name }) {
			continue
		}
		if field, ok := schemaCredentials(pin); ok {
			fields = append(fields, field)
		} else {
			p.add("input_schema.properties."+pin.Name, "the name is reserved for a pin that takes credentials")
		}
	}
	for i := range fields {
		f := &fields[i]
		at := "credentials." + f.Pin
		if f.Inside != "" {
			if _, ok := find(pins, f.Inside); !ok {
				p.add(at, "is named inside %q, which is no input pin", f.Inside)
			}
		} else if pin, ok := find(pins, f.Pin); ok {
			pin.Credentials = true
			f.discriminate(pin)
		} else {
			p.add(at, "is no input pin")
		}
		if !CredentialsName(f.Pin) {
			p.add(at, `must be called "credentials" or end in "_credentials"`)
		}
		if len(f.Providers) == 0 {
			p.add(at, "names no provider")
		}
		if len(f.Types) == 0 {
			p.add(at, "names no type")
		}
		for _, t := range f.Types {
			if !slices.Contains(credentialsTypes, t) {
				p.add(at, "type %q is none of %s", t, strings.Join(credentialsTypes, ", "))
			}
		}
	}
	return fields
}

// discriminate makes the field and the pin's schema agree on what chooses the provider.
func (f *CredentialsField) discriminate(pin *Pin) {
	if f.Discriminator == "" {
		f.Discriminator = pin.Discriminator
	}
	pin.Discriminator = f.Discriminator
	if len(f.Mapping) > 0 {
		return
	}
	mapping, _ := jsonscan.Find(pin.Schema, "discriminator_mapping")
	for value, provider := range jsonscan.Members(mapping) {
		if f.Mapping == nil {
			f.Mapping = map[string]string{}
		}
		f.Mapping[jsonscan.Unquote(value)] = jsonscan.Unquote(provider)
	}
}

// schemaCredentials reads what a pin's schema says about its credentials.
func schemaCredentials(pin *Pin) (CredentialsField, bool) {
	f := CredentialsField{Pin: pin.Name, Optional: !pin.Required}
	f.Providers = texts(pin, "credentials_provider")
	f.Types = texts(pin, "credentials_types")
	f.Scopes = texts(pin, "credentials_scopes")
	return f, len(f.Providers) > 0
}

func texts(pin *Pin, key string) []string {
	list, _ := jsonscan.Find(pin.Schema, key)
	var out []string
	for e := range jsonscan.Elements(list) {
		out = append(out, jsonscan.Unquote(e))
	}
	return out
}
