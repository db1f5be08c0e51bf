package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/patchbay-io/patchbay/sdk"
)

//go:embed models.json
var catalogFile []byte

// model is what is known of a model. Models that are not known pass as they are.
type model struct {
	ID       string `json:"id"`
	Provider string `json:"provider"`
	// Context and MaxOutput are in tokens; 0: unknown.
	Context   int `json:"context"`
	MaxOutput int `json:"max_output"`
}

type provider struct {
	Name    string `json:"name"`
	BaseURL string `json:"base_url"` // empty: has to be set
}

// catalog is the file of models and providers.
var catalog = func() (c struct {
	Providers []provider `json:"providers"`
	Models    []model    `json:"models"`
}) {
	if err := json.Unmarshal(catalogFile, &c); err != nil {
		panic(fmt.Sprint("models.json: ", err)) // a test reads it
	}
	return c
}()

// modelOf finds a model; the one that it gives for another one says nothing but the name.
func modelOf(name string) model {
	for _, m := range catalog.Models {
		if m.ID == name {
			return m
		}
	}
	return model{ID: name}
}

// baseURLSetting is the name of the setting for a provider's address.
func baseURLSetting(provider string) string { return provider + "_base_url" }

func settings() []sdk.PluginSetting {
	var list []sdk.PluginSetting
	for _, p := range catalog.Providers {
		description := "Address of the API of " + p.Name + ", or of one that speaks like it"
		switch p.Name {
		case providerOllama:
			description = "Address of Ollama's API, http://host:11434/v1 for example, where the input ollama_host says nothing else"
		case "vllm":
			description = "Address of vLLM, or of any server that speaks as OpenAI does, for credentials of the provider vllm"
		}
		list = append(list, sdk.PluginSetting{Name: baseURLSetting(p.Name), Description: description, Default: p.BaseURL})
	}
	return list
}

// The providers that differ from the others.
const (
	providerOpenAI    = "openai"
	providerAnthropic = "anthropic"
	providerOllama    = "ollama"
)

// ollamaHost is the default of the pin of that name.
const ollamaHost = "localhost:11434"

// modelCredentials describes the pin for credentials of every block: the model chooses the provider.
type modelCredentials struct{}

// DescribeCredentials adds the providers and which models are theirs.
func (modelCredentials) DescribeCredentials(_ string, p *sdk.CredentialsPin) {
	p.Discriminator, p.Mapping = "model", map[string]string{}
	for _, provider := range catalog.Providers {
		p.Providers = append(p.Providers, provider.Name)
	}
	for _, m := range catalog.Models {
		p.Mapping[m.ID] = m.Provider
	}
}

// address is where a provider is asked.
func address(provider, set, host string) (string, error) {
	if provider == providerOllama && (host != "" && host != ollamaHost || set == "") {
		if host == "" {
			host = ollamaHost
		}
		if !strings.Contains(host, "://") {
			host = "http://" + host
		}
		return strings.TrimSuffix(strings.TrimRight(host, "/"), "/v1") + "/v1", nil
	}
	if set == "" {
		return "", sdk.InvalidInput("the provider %s has no address: the server's administrator sets PATCHBAY_PLUGIN_LLM_%s", provider, strings.ToUpper(baseURLSetting(provider)))
	}
	return strings.TrimRight(set, "/"), nil
}
