package execution

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/graph"
)

// Credentials are those of users.
type Credentials interface {
	// List gives what a user has, newest first, without secrets: all of any provider for "", 0, 0.
	List(ctx context.Context, user, provider string, offset, limit int) ([]credential.Credential, int, error)
	// Open gives one that can be used now: an access token that ends soon has been refreshed. Credentials that their
	// user has to authorise again are a *credential.NeedsReauthorization.
	Open(ctx context.Context, user, id string) (*credential.Credential, *credential.Secret, error)
	// Used notes that one is used.
	Used(ctx context.Context, c *credential.Credential)
}

// reference names credentials. It is what inputs hold.
type reference struct {
	ID       string  `json:"id"`
	Provider string  `json:"provider"`
	Type     string  `json:"type"`
	Title    *string `json:"title,omitempty"`
}

// picks are the credentials of an execution, as they were found when it was accepted: by references alone.
type picks struct {
	// Given are those that the caller named, by group: nested agents take theirs from them too.
	Given map[string]reference `json:"given,omitempty"`
	// Pins are what the nodes use, by node and pin, in place of their constants; nil is none.
	Pins map[string]map[string]*reference `json:"pins,omitempty"`
	Skip []string                         `json:"skip,omitempty"` // nodes that do nothing, for lack of credentials
}

// text is how picks are stored; empty where there is nothing to store.
func (p *picks) text() string {
	if p == nil || len(p.Given) == 0 && len(p.Pins) == 0 && len(p.Skip) == 0 {
		return ""
	}
	text, err := json.Marshal(p)
	if err != nil {
		panic("execution: " + err.Error()) // text and maps of it
	}
	return string(text)
}

func readPicks(text string) (*picks, error) {
	if text == "" {
		return nil, nil
	}
	p := &picks{}
	if err := json.Unmarshal([]byte(text), p); err != nil {
		return nil, fmt.Errorf("%w: its credentials: %w", errUnreadable, err)
	}
	return p, nil
}

// with is the plan with an execution's own credentials among the constants.
func (p *Plan) with(c *picks) *Plan {
	if c == nil || len(c.Pins) == 0 && len(c.Skip) == 0 {
		return p
	}
	own, g := *p, *p.Graph
	g.Nodes, own.nodes, own.Graph = slices.Clone(g.Nodes), slices.Clone(p.nodes), &g
	for i := range own.nodes {
		n := &g.Nodes[i]
		for _, pin := range slices.Sorted(maps.Keys(c.Pins[n.ID])) {
			n.InputDefault = n.WithConstant(pin, c.Pins[n.ID][pin].json())
		}
		own.nodes[i].node, own.nodes[i].skipped = n, slices.Contains(c.Skip, n.ID)
	}
	return &own
}

func (r *reference) json() json.RawMessage {
	if r == nil {
		return json.RawMessage("null")
	}
	text, err := json.Marshal(r)
	if err != nil {
		panic("execution: " + err.Error()) // it is text
	}
	return text
}

// parseReference reads what stands for credentials in a constant or in what a caller gives; nil is none.
func parseReference(v json.RawMessage) (*reference, error) {
	if len(v) == 0 || isNull(v) {
		return nil, nil
	}
	r := &reference{}
	if err := json.Unmarshal(v, r); err != nil {
		return nil, errors.New("expects an object of id, provider and type")
	}
	if r.ID == "" {
		return nil, nil
	}
	return r, nil
}

// pick finds the credentials of each node of a graph that its user executes (execution.md 3.4). Problems are what is
// wrong, by node and pin. Graphs without such pins cost nothing.
func (s *Service) pick(ctx context.Context, user string, g *graph.Graph, given map[string]json.RawMessage) (_ *picks, problems map[string]map[string]string, err error) {
	pins := graph.CredentialsPins(g, s.blocks)
	if len(pins) == 0 && len(given) == 0 {
		return nil, nil, nil
	}
	c := chooser{own: g.UserID == "" || g.UserID == user, picks: &picks{}, malformed: map[string]error{}}
	for group, v := range given {
		switch r, err := parseReference(v); {
		case err != nil:
			c.malformed[group] = err
		case r != nil:
			if c.picks.Given == nil {
				c.picks.Given = map[string]reference{}
			}
			c.picks.Given[group] = *r
		}
	}
	if len(pins) > 0 && s.config.Credentials != nil {
		if c.known, _, err = s.config.Credentials.List(ctx, user, "", 0, 0); err != nil {
			return nil, nil, err
		}
	}
	for i := range pins {
		c.choose(&pins[i])
	}
	return c.picks, c.problems, nil
}

// chooser chooses credentials for the nodes of one graph.
type chooser struct {
	own       bool // the graph is the user's: what its constants name counts
	known     []credential.Credential
	picks     *picks
	malformed map[string]error // of what the caller gave, by group
	problems  map[string]map[string]string
}

func (c *chooser) choose(p *graph.CredentialsPin) {
	if p.Linked {
		return // it is checked when it comes
	}
	r, constant, err := c.named(p)
	optional := p.Field.Optional || p.Skippable
	if err == nil && r != nil {
		var known *credential.Credential
		if known, err = c.fitting(p, r); err == nil {
			r = referenceTo(known)
		} else if constant && optional { // left from another time: as if there were none
			r, err = nil, nil
		}
	}
	if err == nil && r == nil && !optional {
		r, err = c.fallback(p)
	}
	switch {
	case err != nil:
		c.problem(p, err)
		return
	case r == nil && p.Skippable && !p.Field.Optional:
		c.picks.Skip = append(c.picks.Skip, p.Node.ID)
	}
	if c.picks.Pins == nil {
		c.picks.Pins = map[string]map[string]*reference{}
	}
	if c.picks.Pins[p.Node.ID] == nil {
		c.picks.Pins[p.Node.ID] = map[string]*reference{}
	}
	c.picks.Pins[p.Node.ID][p.Field.Pin] = r
}

// named is what the caller names for a pin, by the node's input mask or by its group, or else the node itself; what its author's credentials are is nobody else's
// business.
func (c *chooser) named(p *graph.CredentialsPin) (r *reference, constant bool, err error) {
	if p.Node.Masks(p.Field.Pin) {
		if r, err = parseReference(p.Node.MaskOf(p.Field.Pin)); err != nil {
			return nil, false, fmt.Errorf("Invalid credentials: %w", err)
		}
		return r, false, nil
	}
	if err := c.malformed[p.Group]; err != nil {
		return nil, false, fmt.Errorf("Invalid credentials: %w", err)
	}
	if r, ok := c.picks.Given[p.Group]; ok {
		return &r, false, nil
	}
	if !c.own {
		return nil, false, nil
	}
	r, err = parseReference(p.Node.Constant(p.Field.Pin))
	if err != nil {
		return nil, true, fmt.Errorf("Invalid credentials: %w", err)
	}
	return r, true, nil
}

// fitting finds what a reference names, if it does for a pin.
func (c *chooser) fitting(p *graph.CredentialsPin, r *reference) (*credential.Credential, error) {
	for i := range c.known {
		known := &c.known[i]
		if known.ID != r.ID {
			continue
		}
		if cmp.Or(r.Provider, known.Provider) != known.Provider || cmp.Or(r.Type, string(known.Type)) != string(known.Type) {
			return nil, errMismatch
		}
		return known, usable(known, p.Field, p.Providers, p.Address())
	}
	return nil, unknownCredentials(r.ID)
}

var errMismatch = errors.New("Invalid credentials: type/provider mismatch")

func unknownCredentials(id string) error { return errors.New(credential.Unknown(id)) }

// usable says why credentials cannot serve a pin of a block.
func usable(c *credential.Credential, f block.CredentialsField, providers []string, address string) error {
	if !slices.Contains(providers, c.Provider) || !slices.Contains(f.Types, string(c.Type)) {
		return errMismatch
	}
	if missing, ok := c.Covers(f.Scopes); !ok {
		return fmt.Errorf("Invalid credentials: they lack the scopes %s; authorise %s again with these", strings.Join(missing, ", "), c.Provider)
	}
	if address != "" && !c.Reaches(address) {
		return fmt.Errorf("Invalid credentials: they are for the host %s", c.Host)
	}
	if c.Reauthorize != "" {
		return fmt.Errorf("Credentials not available: %w", &credential.NeedsReauthorization{ID: c.ID, Provider: c.Provider, Title: c.Title, Reason: c.Reauthorize})
	}
	return nil
}

// fallback is what serves a pin that nobody named credentials for: the only ones of the user's that do, or of several
// those that the user has made the provider's default. The error says what is wrong with those that do not.
func (c *chooser) fallback(p *graph.CredentialsPin) (*reference, error) {
	var all, defaults []*credential.Credential
	var others []string
	for i := range c.known {
		known := &c.known[i]
		if !slices.Contains(p.Providers, known.Provider) {
			continue
		}
		if why := usable(known, p.Field, p.Providers, p.Address()); why != nil {
			others = append(others, unfit(known, p.Field, why))
			continue
		}
		all = append(all, known)
		if known.Default {
			defaults = append(defaults, known)
		}
	}
	switch {
	case len(defaults) == 1:
		return referenceTo(defaults[0]), nil
	case len(all) == 1:
		return referenceTo(all[0]), nil
	case len(all) > 1:
		return nil, fmt.Errorf("These credentials are required: %d would do; name some of them, or make some the default", len(all))
	case len(others) == 0:
		return nil, errors.New("These credentials are required")
	}
	const shown = 3
	if more := len(others) - shown; more > 0 {
		others = append(others[:shown], fmt.Sprintf("%d more do not fit either", more))
	}
	return nil, fmt.Errorf("These credentials are required: %s", strings.Join(others, "; "))
}

// unfit says of credentials of the right provider why they do not serve a pin.
func unfit(c *credential.Credential, f block.CredentialsField, why error) string {
	reason := strings.TrimPrefix(why.Error(), "Invalid credentials: ")
	switch again := (*credential.NeedsReauthorization)(nil); {
	case errors.Is(why, errMismatch):
		reason = fmt.Sprintf("they are of the type %s, not %s", c.Type, strings.Join(f.Types, " or "))
	case errors.As(why, &again):
		reason = "they need to be authorised again: " + again.Reason
	}
	return fmt.Sprintf("%q (#%s) do not fit: %s", c.Title, c.ID, reason)
}

func referenceTo(c *credential.Credential) *reference {
	return &reference{ID: c.ID, Provider: c.Provider, Type: string(c.Type), Title: &c.Title}
}

func (c *chooser) problem(p *graph.CredentialsPin, err error) {
	if c.problems == nil {
		c.problems = map[string]map[string]string{}
	}
	if c.problems[p.Node.ID] == nil {
		c.problems[p.Node.ID] = map[string]string{}
	}
	c.problems[p.Node.ID][p.Field.Pin] = err.Error()
}

// given are the credentials that the caller named, for the agents nested in an execution.
func (r *run) given() map[string]json.RawMessage {
	if r.picks == nil || len(r.picks.Given) == 0 {
		return nil
	}
	given := make(map[string]json.RawMessage, len(r.picks.Given))
	for group, one := range r.picks.Given {
		given[group] = one.json()
	}
	return given
}
