package execution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Bounds of a block that runs alone: whoever asked waits for it, and what it gives lies in memory until its end.
const (
	maxAlone      = time.Minute
	maxAloneBytes = 32 << 20
	aloneOverhead = 64 // bytes that a value takes beside its own
)

// ErrNoBlock is that no block has an id.
var ErrNoBlock = errors.New("block not found")

// NotAlone is that a block means something within a graph only.
type NotAlone struct{ Block, Why string }

// Error says why.
func (e *NotAlone) Error() string {
	return fmt.Sprintf("the block %q cannot run alone: %s", e.Block, e.Why)
}

// notAlone is why blocks of some kinds cannot run without a graph.
var notAlone = map[block.Kind]string{
	block.Input:          "it is an input of a graph",
	block.Output:         "it is an output of a graph",
	block.Note:           "it is a remark and does nothing",
	block.Webhook:        "it waits for calls from outside",
	block.WebhookManual:  "it waits for calls from outside",
	block.Agent:          "it runs a graph; execute that",
	block.HumanInTheLoop: "it waits for a person",
}

// RunBlock runs one block without a graph and waits for its end, at most a minute. inputs is an object; it is checked as
// the constants of a node of the user's are, credentials too, and what does not fit is a *graph.Invalid by pins. Nothing
// of it is recorded, so that it ends with ctx. What the block gives comes by pins, in the order of each pin's first
// output; the pin "error" is there if it failed, and says why.
func (s *Service) RunBlock(ctx context.Context, user, id string, inputs json.RawMessage) ([]PinValues, error) {
	b, ok := s.blocks.Block(id)
	if !ok {
		if a, ok := s.blocks.(interface{ Advice(block string) string }); ok && a.Advice(id) != "" {
			return nil, fmt.Errorf("%w; %s", ErrNoBlock, a.Advice(id))
		}
		return nil, ErrNoBlock
	}
	if why, ok := notAlone[b.Kind]; ok {
		return nil, &NotAlone{Block: b.Name, Why: why}
	}
	if _, err := s.generation(); err != nil {
		return nil, err
	}
	input, err := s.aloneInput(ctx, user, b, inputs)
	if err != nil {
		return nil, err
	}
	timezone, err := s.timezone(ctx, user)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, s.aloneTime)
	defer cancel()
	select {
	case s.alone <- struct{}{}:
		defer func() { <-s.alone }()
	case <-bounded.Done():
		return nil, fmt.Errorf("%w: too many blocks run", ErrUnavailable)
	}
	run := uuid.NewString()
	who := &proto.RunContext{
		UserId: user, ExecutionId: run, RootExecutionId: run, NodeId: id, NodeExecutionId: run, Attempt: 1, IdempotencyKey: run, Timezone: timezone,
	}
	out := &alone{block: b}
	problem := s.runAlone(bounded, who, input, out)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: the block was cut off", ErrUnavailable)
	case bounded.Err() != nil:
		problem = fmt.Sprintf("the block did not end within %s", s.aloneTime)
	}
	if problem != "" {
		out.pins = append(out.pins, PinValues{Name: errorPin, Values: []json.RawMessage{quote(problem)}})
	}
	return out.pins, nil
}

// aloneInput is the input of a block that runs alone, as a node would have it that has all of it as constants.
func (s *Service) aloneInput(ctx context.Context, user string, b *block.Block, inputs json.RawMessage) (json.RawMessage, error) {
	g := &graph.Graph{UserID: user, Nodes: []graph.Node{{ID: b.ID, BlockID: b.ID, InputDefault: inputs}}}
	n := &g.Nodes[0]
	chosen, problems, err := s.pick(ctx, user, g, nil)
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for pin, problem := range problems[n.ID] {
		fields[pin] = problem
	}
	if chosen != nil {
		for pin, r := range chosen.Pins[n.ID] {
			n.InputDefault = n.WithConstant(pin, r.json())
		}
	}
	assembled, err := graph.Assemble(n, b, nil)
	if unfit, ok := errors.AsType[*graph.InvalidInput](err); ok {
		fields[unfit.Pin] = fmt.Sprintf("expects %s, got %s", unfit.Want, unfit.Got)
	} else if err != nil {
		return nil, err
	}
	for _, pin := range assembled.Missing {
		if fields[pin] == "" {
			fields[pin] = "is required"
		}
	}
	if len(fields) > 0 {
		return nil, &graph.Invalid{Message: "the block cannot run with these inputs", Fields: fields}
	}
	return graph.WithoutNulls(assembled.Input), nil
}

// runAlone runs a block; the problem is why it failed. A process that dies under several runs is charged to none of
// them: the block runs again, in a process of its own, unless it must not be repeated.
func (s *Service) runAlone(ctx context.Context, who *proto.RunContext, input json.RawMessage, out *alone) (problem string) {
	b := out.block
	secrets, release, err := borrower{s, who.GetUserId(), b, input}.heldSecrets(ctx)
	if err != nil {
		return err.Error()
	}
	defer release()
	r := plugin.Run{Block: b.ID, Input: input, Credentials: secrets, Streaming: b.Traits.Streaming, Output: out.take, Context: who}
	if s.config.Services != nil && !b.Traits.Pure {
		services := s.config.Services.OpenAlone(ctx, r.Context)
		defer services.End()
		r.Services = services
	}
	result := s.runner.Run(ctx, r)
	if c := result.Crashed; c != nil && !c.Alone && !b.Traits.Once && out.problem == "" && ctx.Err() == nil {
		out.forget()
		r.Isolated = true
		r.Context.Attempt++
		result = s.runner.Run(ctx, r)
	}
	result.Begun.Drop()
	switch {
	case out.problem != "":
		return out.problem
	case result.Crashed != nil:
		return "the plugin's process died while it ran this block. " + result.Crashed.Detail
	case result.Err != nil && result.Err.GetMessage() == "":
		return "the block failed without a message"
	}
	return result.Err.GetMessage()
}

// alone gathers what a block gives.
type alone struct {
	block   *block.Block
	pins    []PinValues
	index   map[string]int // of pins
	size    int
	problem string
}

func (o *alone) forget() { *o = alone{block: o.block} }

func (o *alone) take(pin string, v json.RawMessage) error {
	if pin == errorPin {
		return o.give((&value{raw: v}).text())
	}
	if problem := misfit(o.block, pin, v); problem != "" {
		return o.give(problem)
	}
	if o.size += len(pin) + len(v) + aloneOverhead; o.size > maxAloneBytes {
		return o.give(fmt.Sprintf("the block's outputs are larger than %d MiB together", maxAloneBytes>>20))
	}
	i, ok := o.index[pin]
	if !ok {
		if o.index == nil {
			o.index = map[string]int{}
		}
		i = len(o.pins)
		o.index[strings.Clone(pin)] = i
		o.pins = append(o.pins, PinValues{Name: pin})
	}
	o.pins[i].Values = append(o.pins[i].Values, v)
	return nil
}

func (o *alone) give(problem string) error {
	o.problem = problem
	return errEnough
}
