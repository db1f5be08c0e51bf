package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/config"
)

type agentCommand struct {
	Import agentImport `cmd:"" help:"Store agents from files, and print their ids."`
	Run    agentRun    `cmd:"" help:"Run an agent, show what its blocks do, and print its outputs as JSON."`
	Export agentExport `cmd:"" help:"Print an agent as a file that can be imported elsewhere."`
}

type agentImport struct {
	connection
	Files []string `arg:"" name:"file" type:"existingfile" help:"Files that an agent was exported to."`
}

type agentRun struct {
	connection
	Agent   string   `arg:"" help:"File, which is imported and removed again when it has run, or id of an agent."`
	Keep    bool     `help:"Keep the agent that was imported from a file, such as to retry its execution. One that brings agents within it is always kept."`
	Input   []string `short:"i" sep:"none" placeholder:"NAME=VALUE" help:"An input; a value that is JSON is taken as such, any other as text. May be repeated."`
	Version int      `help:"Version to run; the active one unless set."`

	Credentials []string `short:"c" sep:"none" placeholder:"FIELD=ID" help:"Stored credentials to use (id of an integration) for a field of the agent's credentials_input_schema, such as github_oauth2_credentials. May be repeated; what is not named is what the agent names, or your default."`
}

type agentExport struct {
	connection
	ID      string `arg:"" help:"Id of the agent."`
	Version int    `help:"Version to export; the latest one unless set."`
}

// agent is what the commands want to know of a graph.
type agent struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
	Name    string `json:"name"`
	Nodes   []struct {
		ID       string `json:"id"`
		BlockID  string `json:"block_id"`
		Metadata struct {
			Title string `json:"customized_name"`
		} `json:"metadata"`
	} `json:"nodes"`
	Credentials struct {
		Fields map[string]json.RawMessage `json:"properties"`
	} `json:"credentials_input_schema"`
	Missing []struct {
		NodeID  string `json:"node_id"`
		Pin     string `json:"pin"`
		Message string `json:"message"`
	} `json:"missing"`

	passing bool // imported, with no agent within it that would stay
}

// Run is patchbay agent import.
func (c agentImport) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	server, err := c.open(settings)
	if err != nil {
		return err
	}
	for _, file := range c.Files {
		a, err := importFile(ctx, server, file, t)
		if err != nil {
			return err
		}
		fmt.Fprintf(t.err, "imported %s as version %d of\n", cmp.Or(a.Name, file), a.Version)
		if _, err := fmt.Fprintln(t.out, a.ID); err != nil {
			return err
		}
	}
	return nil
}

// importFile stores an agent even if something that it needs is not there, and says what.
func importFile(ctx context.Context, server *client, file string, t terminal) (*agent, error) {
	body, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the agent: %w", err)
	}
	a := &agent{}
	if err := server.call(ctx, http.MethodPost, "/api/v2/builder/graphs?allow_missing_blocks=true", body, a); err != nil {
		return nil, fmt.Errorf("import %s: %w", file, err)
	}
	a.passing = !nests(body)
	for _, m := range a.Missing {
		fmt.Fprintf(t.err, "missing: node %s, %s: %s\n", m.NodeID, m.Pin, m.Message)
	}
	return a, nil
}

// nests says whether a file brings agents within an agent, which are agents of their own once they are stored.
func nests(file []byte) bool {
	type graph struct {
		Within []json.RawMessage `json:"sub_graphs"`
	}
	var either struct {
		graph
		Graph graph `json:"graph"`
	}
	return json.Unmarshal(file, &either) != nil || len(either.Within)+len(either.Graph.Within) > 0
}

// Run is patchbay agent export.
func (c agentExport) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	server, err := c.open(settings)
	if err != nil {
		return err
	}
	query := url.Values{"for_export": {"true"}}
	if c.Version != 0 {
		query.Set("version", fmt.Sprint(c.Version))
	}
	var file json.RawMessage
	if err := server.call(ctx, http.MethodGet, graphPath(c.ID)+"?"+query.Encode(), nil, &file); err != nil {
		return fmt.Errorf("export %s: %w", c.ID, err)
	}
	return printJSON(t.out, file)
}

// Run is patchbay agent run. It follows the execution to its end, also over a restart of the server; when it is
// interrupted it stops the execution. An agent that came from a file goes when nothing of it runs: what it did can be read
// as before, and whoever runs a file all day does not have as many agents.
func (c agentRun) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	inputs, err := parseInputs(c.Input)
	if err != nil {
		return err
	}
	credentials, err := parseCredentials(c.Credentials)
	if err != nil {
		return err
	}
	server, err := c.open(settings)
	if err != nil {
		return err
	}
	a, err := c.find(ctx, server, t)
	if err != nil {
		return err
	}
	var accepted string
	if accepted, err = c.execute(ctx, server, a, inputs, credentials, t); err == nil {
		watch := newWatch(t.err, titles(ctx, server, a))
		watch.begin(cmp.Or(a.Name, a.ID), accepted)
		err = follow(ctx, server, accepted, watch)
		switch {
		case err == nil:
			err = c.report(ctx, server, accepted, t)
		case errors.Is(err, context.Canceled):
			err = c.abandon(server, accepted, t)
		default:
			return err // it may run on
		}
	}
	if a.passing {
		c.remove(server, a, t)
	}
	return err
}

// execute asks for an execution and gives its id.
func (c agentRun) execute(ctx context.Context, server *client, a *agent, inputs json.RawMessage, credentials map[string]map[string]string, t terminal) (string, error) {
	for _, field := range sortedKeys(credentials) {
		if _, known := a.Credentials.Fields[field]; !known {
			fmt.Fprintf(t.err, "no node of the agent takes the credentials %s; it has the fields: %s\n",
				field, cmp.Or(strings.Join(sortedKeys(a.Credentials.Fields), ", "), "none"))
		}
	}
	body := []byte(`{"input_data":` + string(inputs)) // as they were typed
	if c.Version != 0 {
		body = fmt.Appendf(body, `,"version":%d`, c.Version)
	}
	if len(credentials) > 0 {
		named, err := json.Marshal(credentials)
		if err != nil {
			return "", fmt.Errorf("--credentials: %w", err)
		}
		body = fmt.Appendf(body, `,"credentials_inputs":%s`, named)
	}
	body = append(body, '}')
	var accepted struct {
		ID string `json:"execution_id"`
	}
	if err := server.call(ctx, http.MethodPost, graphPath(a.ID)+"/execute", body, &accepted); err != nil {
		return "", fmt.Errorf("run %s: %w", cmp.Or(a.Name, a.ID), err)
	}
	return accepted.ID, nil
}

func (c agentRun) find(ctx context.Context, server *client, t terminal) (*agent, error) {
	if _, err := os.Stat(c.Agent); err == nil {
		a, err := importFile(ctx, server, c.Agent, t)
		if err == nil && (c.Keep || !a.passing) {
			a.passing = false
			fmt.Fprintf(t.err, "imported %s, which stays, as %s\n", cmp.Or(a.Name, c.Agent), a.ID)
		}
		return a, err
	}
	if _, err := uuid.Parse(c.Agent); err != nil {
		return nil, fmt.Errorf("%s is neither a file nor the id of an agent", c.Agent)
	}
	a := &agent{}
	if err := server.call(ctx, http.MethodGet, graphPath(c.Agent), nil, a); err != nil {
		return nil, fmt.Errorf("find agent %s: %w", c.Agent, err)
	}
	return a, nil
}

// abandon stops what nobody waits for any more.
func (agentRun) abandon(server *client, id string, t terminal) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	fmt.Fprintln(t.err, "stopping the execution")
	var stopped json.RawMessage
	if err := server.call(ctx, http.MethodPost, "/api/v2/executions/"+url.PathEscape(id)+"/stop", nil, &stopped); err != nil {
		return fmt.Errorf("stop execution %s: %w", id, err)
	}
	const interrupted = 130 // what shells give a program that Ctrl-C ended
	return exitStatus(interrupted)
}

// remove takes back what was imported. That it could not does not spoil what was asked for.
func (agentRun) remove(server *client, a *agent, t terminal) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := server.call(ctx, http.MethodDelete, graphPath(a.ID), nil, nil); err != nil {
		fmt.Fprintf(t.err, "the agent that was imported, %s, could not be removed again: %v\n", a.ID, err)
	}
}

func (agentRun) report(ctx context.Context, server *client, id string, t terminal) error {
	var x struct {
		Status  string          `json:"status"`
		Outputs json.RawMessage `json:"outputs"`
	}
	if err := server.call(ctx, http.MethodGet, "/api/v2/executions/"+url.PathEscape(id), nil, &x); err != nil {
		return fmt.Errorf("read the outputs: %w", err)
	}
	if err := printJSON(t.out, x.Outputs); err != nil {
		return err
	}
	if x.Status != "COMPLETED" {
		return exitStatus(1)
	}
	return nil
}

// titles names nodes as people do: by the name that somebody gave the node, or by its block's.
func titles(ctx context.Context, server *client, a *agent) map[string]string {
	names := map[string]string{}
	var list struct {
		Blocks []struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"blocks"`
	}
	if err := server.call(ctx, http.MethodGet, "/api/v2/builder/blocks", nil, &list); err == nil {
		for _, b := range list.Blocks {
			names[b.ID] = b.Name
		}
	}
	shown := map[string]string{}
	for _, n := range a.Nodes {
		shown[n.ID] = cmp.Or(n.Metadata.Title, names[n.BlockID], n.ID)
	}
	return shown
}

// parseInputs makes the object of the inputs, each value as it was typed.
func parseInputs(given []string) (json.RawMessage, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, input := range given {
		name, value, ok := strings.Cut(input, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--input %q is not of the form name=value", input)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return nil, fmt.Errorf("--input %q: %w", input, err)
		}
		b.Write(key)
		b.WriteByte(':')
		if json.Valid([]byte(value)) {
			b.WriteString(value)
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("--input %q: %w", input, err)
		}
		b.Write(text)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// parseCredentials reads which integration is for which field. What is no id may be a secret, and is not shown.
func parseCredentials(given []string) (map[string]map[string]string, error) {
	all := make(map[string]map[string]string, len(given))
	for i, one := range given {
		field, id, ok := strings.Cut(one, "=")
		if !ok || field == "" {
			return nil, fmt.Errorf("--credentials number %d is not of the form field=id", i+1)
		}
		if _, err := uuid.Parse(id); err != nil {
			return nil, fmt.Errorf("--credentials %s=…: what is given is not the id of an integration", field)
		}
		if all[field] != nil {
			return nil, fmt.Errorf("--credentials %s is given twice", field)
		}
		all[field] = map[string]string{"id": id}
	}
	return all, nil
}

// printJSON changes nothing but the space between tokens, and that for people only.
func printJSON(out io.Writer, value json.RawMessage) error {
	if isTerminal(out) {
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, value, "", "  "); err == nil {
			value = pretty.Bytes()
		}
	}
	_, err := fmt.Fprintf(out, "%s\n", bytes.TrimSpace(value))
	return err
}

func graphPath(id string) string { return "/api/v2/builder/graphs/" + url.PathEscape(id) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
