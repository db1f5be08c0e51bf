// Package block says what a block is: its pins and their types, its traits, and how a value is made to fit a pin.
// It knows no plugin, no graph and no database; a block that a plugin describes and a structural one that the
// scheduler runs itself look the same from here.
package block

import "encoding/json"

// Kind is a block's type as the API prints it.
type Kind string

// The kinds of blocks (spec: block types).
const (
	Standard       Kind = "STANDARD"
	Input          Kind = "INPUT"
	Output         Kind = "OUTPUT"
	Note           Kind = "NOTE"
	Webhook        Kind = "WEBHOOK"
	WebhookManual  Kind = "WEBHOOK_MANUAL"
	Agent          Kind = "AGENT"
	AI             Kind = "AI"
	HumanInTheLoop Kind = "HUMAN_IN_THE_LOOP"
)

// Traits are a block's promises to the scheduler (contract: durability, 3).
type Traits struct {
	Pure      bool `json:"pure,omitempty"`
	Streaming bool `json:"streaming,omitempty"`
	Once      bool `json:"once,omitempty"`
}

// Definition is everything about a block that is stored or sent: what New compiles into a Block.
type Definition struct {
	ID           string             `json:"id"`
	Name         string             `json:"name"`
	Description  string             `json:"description,omitempty"`
	Categories   []string           `json:"categories,omitempty"`
	Kind         Kind               `json:"kind"`
	InputSchema  json.RawMessage    `json:"input_schema"`
	OutputSchema json.RawMessage    `json:"output_schema"`
	StaticOutput bool               `json:"static_output,omitempty"`
	Traits       Traits             `json:"traits,omitzero"`
	Credentials  []CredentialsField `json:"credentials,omitempty"`
}

// CredentialsField is an input pin that takes a reference to credentials.
type CredentialsField struct {
	Pin       string   `json:"pin"`
	Providers []string `json:"providers"`
	Types     []string `json:"types"`
	Scopes    []string `json:"scopes,omitempty"`
	Optional  bool     `json:"optional,omitempty"`
	// Discriminator is the sibling pin whose value chooses among the providers: by Mapping, from that value to the
	// provider, or, where there is none, by the host of the address that the value is.
	Discriminator string            `json:"discriminator,omitempty"`
	Mapping       map[string]string `json:"discriminator_mapping,omitempty"`
	// Inside is the pin whose value, a file that was picked, names the credentials in its member CredentialsMember. Pin is
	// no input pin then.
	Inside string `json:"inside,omitempty"`
}

// CredentialsMember is the member of a file that was picked which names the credentials to open it with
// (execution.md 7.1).
const CredentialsMember = "_credentials_id"
