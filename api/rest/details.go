package rest

import (
	"encoding/json"
	"iter"
	"maps"
	"slices"

	"github.com/patchbay-io/patchbay/core/execution"
)

// detailsHead are the members of Execution.
func (j *jsonWriter) detailsHead(d *execution.Details) {
	j.key("id")
	j.string(d.ID)
	j.key("graph_id")
	j.string(d.GraphID)
	j.key("graph_version")
	j.int(d.GraphVersion)
	j.key("status")
	j.string(string(d.Status))
	j.key("created_at")
	j.time(d.CreatedAt)
	j.key("started_at")
	j.timeOrNull(d.StartedAt)
	j.key("ended_at")
	j.timeOrNull(d.EndedAt)
	j.key("parent_execution_id")
	j.stringOrNull(d.ParentID)
	j.key("retry_of")
	j.stringOrNull(d.RetryOf)
	j.key("stats")
	j.stats(d.Stats)
	j.key("error")
	j.failure(d.Error)
}

// details are the members of ExecutionDetails.
func (j *jsonWriter) details(d *execution.Details) {
	j.detailsHead(d)
	j.key("inputs")
	j.inputs(d.Inputs)
	j.key("outputs")
	j.outputs(d.Outputs)
	j.nodeExecutions(d.NodeExecutions)
	j.key("node_executions_total")
	j.int(d.NodeExecutionsTotal)
	j.key("waiting")
	j.open('[')
	for _, w := range d.Waiting {
		j.object(func() {
			j.key("node_id")
			j.string(w.NodeID)
			j.key("have")
			j.strings(w.Have)
			j.key("missing")
			j.strings(w.Missing)
		})
	}
	j.close(']')
	j.key("waiting_total")
	j.int(d.WaitingTotal)
}

func (j *jsonWriter) inputs(one iter.Seq2[json.RawMessage, error]) {
	for v, err := range one {
		if !j.still(err) {
			return
		}
		j.valueOrEmpty(v)
	}
}

func (j *jsonWriter) outputs(list []execution.Output) {
	j.object(func() {
		for _, o := range list {
			j.key(o.Name)
			j.open('[')
			for v, err := range o.Values {
				if !j.still(err) {
					return
				}
				j.value(v)
			}
			j.close(']')
		}
	})
}

func (j *jsonWriter) stats(s execution.Stats) {
	j.object(func() {
		j.key("total_nodes")
		j.int(s.TotalNodes)
		j.key("completed_nodes")
		j.int(s.CompletedNodes)
		j.key("failed_nodes")
		j.int(s.FailedNodes)
		j.key("total_run_time")
		j.float(s.TotalRunTime)
	})
}

func (j *jsonWriter) failure(f *execution.Failure) {
	if f == nil {
		j.null()
		return
	}
	j.object(func() {
		j.key("message")
		j.string(f.Message)
		j.key("node_id")
		j.stringOrNull(f.NodeID)
	})
}

func (j *jsonWriter) nodeExecutions(list iter.Seq2[*execution.NodeExecution, error]) {
	j.key("node_executions")
	j.open('[')
	for n, err := range list {
		if !j.still(err) {
			return
		}
		j.nodeExecution(n)
	}
	j.close(']')
}

func (j *jsonWriter) nodeExecution(n *execution.NodeExecution) {
	j.object(func() {
		j.key("id")
		j.string(n.ID)
		j.key("node_id")
		j.string(n.NodeID)
		j.key("block_id")
		j.string(n.BlockID)
		j.key("status")
		j.string(string(n.Status))
		j.key("attempt")
		j.int(n.Attempt)
		j.key("taken_over")
		j.bool(n.TakenOver)
		j.key("input_data")
		j.valueOrEmpty(n.Input)
		j.key("output_data")
		j.pinValues(n.Outputs)
		j.key("started_at")
		j.timeOrNull(n.StartedAt)
		j.key("ended_at")
		j.timeOrNull(n.EndedAt)
		j.key("error")
		j.stringOrNull(n.Error)
		j.key("plugin")
		j.plugin(n)
		j.key("stats")
		j.object(func() {
			if len(n.Stats) == 0 {
				return
			}
			for _, name := range slices.Sorted(maps.Keys(n.Stats)) {
				j.key(name)
				j.int(int(n.Stats[name]))
			}
		})
	})
}

func (j *jsonWriter) plugin(n *execution.NodeExecution) {
	if n.PluginName == "" {
		j.null()
		return
	}
	j.object(func() {
		j.key("name")
		j.string(n.PluginName)
		j.key("version")
		j.string(n.PluginVersion)
	})
}

// pinValues writes each name with the list of its values.
func (j *jsonWriter) pinValues(pins []execution.PinValues) {
	j.object(func() {
		for _, p := range pins {
			j.key(p.Name)
			j.open('[')
			for _, v := range p.Values {
				j.value(v)
			}
			j.close(']')
		}
	})
}
