package graph

import (
	"encoding/json"
	"time"

	"github.com/patchbay-io/patchbay/core/block"
)

// render writes a graph as the API shows it, with what is computed of it. SubGraphs count for the credentials only.
func render(g *Graph, blocks Blocks) json.RawMessage {
	return rendered(g, blocks).json()
}

// renderExport writes a graph with its sub-graphs as a file that the user gets: without owners and secrets.
func renderExport(g *Graph, blocks Blocks, user string) json.RawMessage {
	subGraphs := make([]json.RawMessage, len(g.SubGraphs))
	for i := range g.SubGraphs {
		sub := stripped(&g.SubGraphs[i], blocks, user)
		o := rendered(sub, blocks)
		o.drop("credentials_input_schema") // of the top graph only
		o.setText("user_id", "")
		subGraphs[i] = o.json()
	}
	o := rendered(stripped(g, blocks, user), blocks)
	o.setText("user_id", "")
	o.set("sub_graphs", array(subGraphs))
	return o.json()
}

// renderForOthers writes a published graph as those see it who did not make it: without its owner and secrets. What has
// a secret constant needs no value from them all the same.
func renderForOthers(g *Graph, blocks Blocks, user string) json.RawMessage {
	o := rendered(stripped(g, blocks, user), blocks)
	o.setText("user_id", "")
	s := stripping{forOthers: true, removed: ignore}
	o.set("input_schema", s.schema(InputSchema(g, blocks)))
	o.set("output_schema", s.schema(OutputSchema(g, blocks)))
	return o.json()
}

func rendered(g *Graph, blocks Blocks) *object {
	o := newObject()
	o.setText("id", g.ID)
	o.setNumber("version", g.Version)
	o.set("is_active", boolean(g.IsActive))
	o.setText("name", g.Name)
	o.setText("description", g.Description)
	o.setOptional("instructions", g.Instructions)
	o.setOptional("recommended_schedule_cron", g.RecommendedCron)
	o.setOptional("forked_from_id", g.ForkedFromID)
	o.set("forked_from_version", null)
	if g.ForkedFromVersion != nil {
		o.setNumber("forked_from_version", *g.ForkedFromVersion)
	}
	o.setText("user_id", g.UserID)
	o.setText("created_at", g.CreatedAt.UTC().Format(time.RFC3339Nano))
	o.setText("updated_at", g.UpdatedAt.UTC().Format(time.RFC3339Nano))
	o.setSettings(g.Settings)
	o.set("nodes", renderNodes(g))
	o.set("links", renderLinks(g.Links))
	o.set("sub_graphs", json.RawMessage("[]"))
	o.set("input_schema", InputSchema(g, blocks))
	o.set("output_schema", OutputSchema(g, blocks))
	trigger, review := false, false
	for i := range g.Nodes {
		if b, ok := blocks.Block(g.Nodes[i].BlockID); ok {
			trigger = trigger || b.Kind == block.Webhook || b.Kind == block.WebhookManual
			review = review || b.Kind == block.HumanInTheLoop
		}
	}
	o.set("has_external_trigger", boolean(trigger))
	o.set("has_human_in_the_loop", boolean(review))
	o.set("has_sensitive_action", boolean(false)) // no block declares one
	o.set("trigger_setup_info", null)
	o.set("credentials_input_schema", CredentialsSchema(g, blocks))
	return o
}

func renderNodes(g *Graph) json.RawMessage {
	inbound, outbound := map[string][]Link{}, map[string][]Link{}
	for _, l := range g.Links {
		inbound[l.SinkID] = append(inbound[l.SinkID], l)
		outbound[l.SourceID] = append(outbound[l.SourceID], l)
	}
	nodes := make([]json.RawMessage, len(g.Nodes))
	for i := range g.Nodes {
		o := nodeObject(&g.Nodes[i])
		o.set("input_links", renderLinks(inbound[g.Nodes[i].ID]))
		o.set("output_links", renderLinks(outbound[g.Nodes[i].ID]))
		o.setText("graph_id", g.ID)
		o.setNumber("graph_version", g.Version)
		o.set("webhook_id", null)
		nodes[i] = o.json()
	}
	return array(nodes)
}

func nodeObject(n *Node) *object {
	o := newObject()
	o.setText("id", n.ID)
	o.setText("block_id", n.BlockID)
	o.set("input_default", n.InputDefault)
	o.set("metadata", n.Metadata)
	return o
}

func renderLinks(links []Link) json.RawMessage {
	list := make([]json.RawMessage, len(links))
	for i, l := range links {
		o := newObject()
		o.setText("id", l.ID)
		o.setText("source_id", l.SourceID)
		o.setText("sink_id", l.SinkID)
		o.setText("source_name", l.SourceName)
		o.setText("sink_name", l.SinkName)
		o.set("is_static", boolean(l.IsStatic))
		list[i] = o.json()
	}
	return array(list)
}

// encodeDocument is what graph_version.document holds: all of a graph that has no column of its own.
func encodeDocument(g *Graph) string {
	o := newObject()
	o.setText("name", g.Name) // decoders ask for it
	o.setOptional("instructions", g.Instructions)
	o.setOptional("recommended_schedule_cron", g.RecommendedCron)
	o.setOptional("forked_from_id", g.ForkedFromID)
	if g.ForkedFromVersion != nil {
		o.setNumber("forked_from_version", *g.ForkedFromVersion)
	}
	o.setSettings(g.Settings)
	nodes := make([]json.RawMessage, len(g.Nodes))
	for i := range g.Nodes {
		nodes[i] = nodeObject(&g.Nodes[i]).json()
	}
	o.set("nodes", array(nodes))
	o.set("links", renderLinks(g.Links))
	return string(o.json())
}
