package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// CredentialsPin says what an input pin for credentials takes.
type CredentialsPin struct {
	Providers []string
	Types     []string // oauth2, api_key, user_password, host_scoped
	Scopes    []string // that an access token must have
	Optional  bool
	// Discriminator is a pin of the same block whose value chooses the provider: by Mapping, from that value to the
	// provider, or, without one, as the address whose host the credentials must be for.
	Discriminator string
	Mapping       map[string]string
	// Inside is a pin of the same block whose value, a file that the user has picked, names the credentials in its member
	// "_credentials_id". They have no pin of their own then.
	Inside string
}

// CredentialsDescriber may be implemented by an input struct to complete what the tags say of its pins for credentials:
// scopes that differ among blocks with one input type, a mapping that comes from a table.
type CredentialsDescriber interface {
	DescribeCredentials(pin string, p *CredentialsPin)
}

const (
	typeOAuth2       = "oauth2"
	typeAPIKey       = "api_key"
	typeUserPassword = "user_password"
	typeHostScoped   = "host_scoped"
)

var (
	credentialType  = reflect.TypeFor[Credential]()
	credentialTypes = map[reflect.Type]string{
		reflect.TypeFor[OAuth2]():       typeOAuth2,
		reflect.TypeFor[APIKey]():       typeAPIKey,
		reflect.TypeFor[UserPassword](): typeUserPassword,
		reflect.TypeFor[HostScoped]():   typeHostScoped,
	}
)

// isCredentials says whether a field of a type takes credentials.
func isCredentials(t reflect.Type) bool { return t == credentialType || credentialTypes[t] != "" }

// credentialsName says whether a pin has a name of those that take credentials, and only those.
func credentialsName(pin string) bool {
	return pin == "credentials" || strings.HasSuffix(pin, "_credentials")
}

// credentialsOf reads the tags of a field for credentials.
func credentialsOf(f reflect.StructField) (*CredentialsPin, error) {
	p := &CredentialsPin{
		Providers: listTag(f.Tag, "providers"), Types: listTag(f.Tag, "types"), Scopes: listTag(f.Tag, "scopes"),
		Discriminator: f.Tag.Get("discriminator"), Inside: f.Tag.Get("inside"),
	}
	var err error
	if p.Optional, err = boolean(f.Tag, "optional"); err != nil {
		return nil, err
	}
	if t, ok := credentialTypes[f.Type]; ok {
		if len(p.Types) > 0 && !slices.Equal(p.Types, []string{t}) {
			return nil, fmt.Errorf("tag types: a field of type %s takes %s only", f.Type, t)
		}
		p.Types = []string{t}
	}
	for pair := range strings.SplitSeq(f.Tag.Get("discriminator_mapping"), ",") {
		if value, provider, ok := strings.Cut(pair, "="); ok {
			if p.Mapping == nil {
				p.Mapping = map[string]string{}
			}
			p.Mapping[strings.TrimSpace(value)] = strings.TrimSpace(provider)
		} else if pair != "" {
			return nil, fmt.Errorf("tag discriminator_mapping: %q is not value=provider", pair)
		}
	}
	return p, nil
}

func listTag(tag reflect.StructTag, key string) []string {
	return strings.FieldsFunc(tag.Get(key), func(c rune) bool { return c == ',' || c == ' ' })
}

func (p *CredentialsPin) check(pin string) error {
	if !credentialsName(pin) {
		return fmt.Errorf("input pin %q: a pin for credentials is called \"credentials\" or ends in \"_credentials\"", pin)
	}
	var wrong []error
	if len(p.Providers) == 0 {
		wrong = append(wrong, errors.New("it names no provider: give it a tag providers"))
	}
	if len(p.Types) == 0 {
		wrong = append(wrong, errors.New("it names no type: give it a tag types"))
	}
	for _, t := range p.Types {
		if t != typeOAuth2 && t != typeAPIKey && t != typeUserPassword && t != typeHostScoped {
			wrong = append(wrong, fmt.Errorf("type %q is none of oauth2, api_key, user_password, host_scoped", t))
		}
	}
	for value, provider := range p.Mapping {
		if !slices.Contains(p.Providers, provider) {
			wrong = append(wrong, fmt.Errorf("the mapping of %q names %q, which is none of its providers", value, provider))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return fmt.Errorf("input pin %q: %w", pin, err)
	}
	return nil
}

// schema is that of a reference, with what forms and the server want to know.
func (p *CredentialsPin) schema(notes []member) json.RawMessage {
	properties := objectOf([]member{
		{"id", json.RawMessage(`{"title":"Id","type":"string"}`)},
		{"title", json.RawMessage(`{"title":"Title","anyOf":[{"type":"string"},{"type":"null"}],"default":null}`)},
		{"provider", oneOf("Provider", p.Providers)},
		{"type", oneOf("Type", p.Types)},
	})
	members := []member{
		{"type", mustEncode("object")}, {"properties", properties}, {"required", mustEncode([]string{"id", "provider", "type"})},
	}
	members = append(members, notes...)
	members = append(members, member{"credentials_provider", mustEncode(p.Providers)}, member{"credentials_types", mustEncode(p.Types)})
	if len(p.Scopes) > 0 {
		members = append(members, member{"credentials_scopes", mustEncode(p.Scopes)})
	}
	if p.Discriminator != "" {
		members = append(members, member{"discriminator", mustEncode(p.Discriminator)})
	}
	if len(p.Mapping) > 0 {
		var mapping []member
		for _, value := range slices.Sorted(maps.Keys(p.Mapping)) {
			mapping = append(mapping, member{value, mustEncode(p.Mapping[value])})
		}
		members = append(members, member{"discriminator_mapping", objectOf(mapping)})
	}
	if p.Optional {
		members = append(members, member{"default", json.RawMessage("null")})
	}
	return objectOf(members)
}

func oneOf(title string, values []string) json.RawMessage {
	members := []member{{"title", mustEncode(title)}, {"type", mustEncode("string")}}
	if len(values) == 1 {
		return objectOf(append(members, member{"const", mustEncode(values[0])}))
	}
	return objectOf(append(members, member{"enum", mustEncode(values)}))
}

func (p *CredentialsPin) proto(pin string) *proto.CredentialsField {
	return &proto.CredentialsField{
		Pin: pin, Providers: p.Providers, Types: p.Types, Scopes: p.Scopes, Optional: p.Optional,
		Discriminator: p.Discriminator, DiscriminatorMapping: p.Mapping, Inside: p.Inside,
	}
}

// fill puts the credentials that came with a run into its field.
func (p *CredentialsPin) fill(pin string, credentials []*proto.Credential, into reflect.Value) error {
	for _, c := range credentials {
		if c.GetPin() != pin {
			continue
		}
		given := newCredential(c)
		if !slices.Contains(p.Types, given.reference.Type) {
			return InvalidInput("pin %q: credentials of type %q do not fit; it takes %s", pin, given.reference.Type, strings.Join(p.Types, ", "))
		}
		if into.Type() == credentialType {
			into.Set(reflect.ValueOf(given))
		} else {
			into.FieldByName(credentialType.Name()).Set(reflect.ValueOf(given))
		}
		return nil
	}
	if p.Optional {
		return nil
	}
	return Authentication("pin %q: these credentials are required", pin)
}
