package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/encoding/protowire"
	protobuf "google.golang.org/protobuf/proto"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Checks of a plugin's start and of what it says about itself.

// readManifest looks at the manifest as whoever installs the plugin does. Servers ignore keys that
// they do not know, for the sake of later versions: at the top they may be anything, inside what is asked for they are slips.
func (s *suite) readManifest() (string, error) {
	if s.flaw != nil {
		s.hopeless = true
		return "", s.flaw
	}
	ignored := s.manifest.Ignored()
	if slices.ContainsFunc(s.manifest.Unknown, func(key string) bool { return strings.Contains(key, ".") }) {
		return "", errors.New(ignored)
	}
	return ignored, nil
}

// isolation says what a server here would not deny to the plugin.
func (s *suite) isolation() (string, error) {
	var have, lacks []string
	for _, f := range s.launcher.Isolation() {
		if f.Have {
			have = append(have, f.Name)
		} else {
			lacks = append(lacks, f.Name)
		}
	}
	if len(lacks) > 0 {
		return "", skipError("this system does not isolate " + strings.Join(lacks, ", ") + ", which doctor explains: where it is, less may work than here")
	}
	return "as under a server here: " + strings.Join(have, ", "), nil
}

func (s *suite) handshake() (string, error) {
	if _, err := s.ready(); err != nil {
		s.hopeless = true // nothing can be asked of a plugin that cannot be spoken to
		return "", err
	}
	return fmt.Sprintf("after %d ms", s.process.started.Milliseconds()), nil
}

func (s *suite) byHand() (string, error) {
	p, err := s.spawn()
	if p == nil {
		return "", err
	}
	exits := err != nil || p.exits(startLimit)
	p.kill()
	switch {
	case err != nil:
		return "", err
	case !exits:
		return "", fmt.Errorf("the program did not exit within %s", startLimit)
	case p.cell.Command.ProcessState.Success():
		return "", errors.New("the program exited with status 0")
	case p.stderr.String() == "":
		return "", errors.New("the program said nothing on standard error")
	}
	return "", nil
}

func (s *suite) health() (string, error) {
	if _, err := s.ready(); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(s.ctx, startLimit)
	defer cancel()
	answer, err := grpc_health_v1.NewHealthClient(s.process.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "plugin"})
	if err != nil {
		return "", err
	}
	if answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		return "", fmt.Errorf("the answer is %s", answer.Status)
	}
	return "", nil
}

func (s *suite) description() (string, error) {
	if _, err := s.ready(); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(s.ctx, startLimit)
	defer cancel()
	request := &proto.DescribeRequest{}
	request.ProtoReflect().SetUnknown(unknownField(900))
	again, err := s.process.client.Describe(ctx, request)
	if err != nil {
		return "", fmt.Errorf("describe a second time, with a field that is not known: %w", err)
	}
	if !protobuf.Equal(again, s.offer) {
		return "", errors.New("the second description differs from the first")
	}
	var wrong []error
	examples := 0
	for _, b := range s.offer.Blocks {
		compiled, err := compile(b)
		if err != nil && strings.Contains(s.refusal, err.Error()) {
			err = errors.New("the server has said what is wrong with it")
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("block %q: %w", b.Name, err))
			continue
		}
		for i, e := range b.Examples {
			examples++
			if err := fits(compiled, e); err != nil {
				wrong = append(wrong, fmt.Errorf("block %q, example %d: %w", b.Name, i+1, err))
			}
		}
	}
	return fmt.Sprintf("%s, %s", count(len(s.offer.Blocks), "block"), count(examples, "example")), errors.Join(wrong...)
}

// compile makes a block of a description as a server does.
func compile(b *proto.BlockDescription) (*block.Block, error) {
	d := block.Definition{ID: b.Id, Name: b.Name, Kind: block.Standard, InputSchema: b.InputSchema, OutputSchema: b.OutputSchema}
	for _, c := range b.Credentials {
		d.Credentials = append(d.Credentials, block.CredentialsField{
			Pin: c.Pin, Providers: c.Providers, Types: c.Types, Scopes: c.Scopes, Optional: c.Optional, Discriminator: c.Discriminator,
			Mapping: c.DiscriminatorMapping, Inside: c.Inside,
		})
	}
	return block.New(d)
}

// fits says where an example does not fit the schemas of its block.
func fits(b *block.Block, e *proto.Example) error {
	var input map[string]json.RawMessage
	if err := json.Unmarshal(e.Input, &input); err != nil {
		return fmt.Errorf("the input is no JSON object: %w", err)
	}
	var schema map[string]json.RawMessage
	if err := json.Unmarshal(b.InputSchema, &schema); err != nil {
		return fmt.Errorf("the input schema is no JSON object: %w", err)
	}
	_, open := schema["additionalProperties"]
	open = open || len(b.Inputs()) == 0
	for name, value := range input {
		if pin, ok := b.Input(name); ok {
			if err := pin.Check(value); err != nil && string(value) != "null" {
				return fmt.Errorf("input %q: %w", name, err)
			}
		} else if _, ok := b.Input(baseOf(name)); !ok && !open {
			return fmt.Errorf("there is no input pin %q", name)
		}
	}
	for _, o := range e.Outputs {
		_, exact := b.Output(o.Pin)
		if _, ok := b.Output(baseOf(o.Pin)); !ok && !exact {
			return fmt.Errorf("there is no output pin %q", o.Pin)
		}
		if !json.Valid(o.Value) {
			return fmt.Errorf("output %q is no JSON: %.60q", o.Pin, o.Value)
		}
	}
	return nil
}

// baseOf is a pin's name without what follows a dynamic pin's delimiter.
func baseOf(pin string) string {
	for _, delimiter := range []string{"_$_", "_#_", "_@_", "_^_"} {
		pin, _, _ = strings.Cut(pin, delimiter)
	}
	return pin
}

// unknownField is a field with some text, under a number that no message has.
func unknownField(number protowire.Number) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), "of a later version")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
