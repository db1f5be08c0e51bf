package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// message is one of a conversation.
type message struct {
	Role    string `json:"role"` // system, user or assistant
	Content string `json:"content"`
}

// The roles of messages.
const (
	roleSystem    = "system"
	roleUser      = "user"
	roleAssistant = "assistant"
)

// question is what a model is asked.
type question struct {
	messages  []message
	maxTokens int  // of the answer; 0: as many as the model gives
	json      bool // the provider is to let pass nothing but JSON, where it can
}

// answer is what comes back. Tokens are counted by the provider; 0 where it does not say.
type answer struct {
	text                      string
	inputTokens, outputTokens int64
}

// dialect asks a provider once. said is told every piece of the answer as it comes.
type dialect interface {
	ask(ctx context.Context, q question, said func(piece string)) (answer, error)
}

// asker asks one model for one run, and counts what that takes.
type asker struct {
	dialect  dialect
	model    model
	provider string
	key      string // to keep it out of messages
	attempts int    // of each question
	out      sdk.Emitter
}

// Bounds of the attempts for a question.
const (
	usualAttempts = 3
	mostAttempts  = 10
	longestPause  = 30 * time.Second
	longestWait   = time.Minute // a provider that asks for more has the run end with that
)

// firstPause is that before the second attempt, doubled for each further one; tests have no time.
var firstPause = time.Second

// newAsker prepares for asking a model with a run's credentials. host is the input ollama_host.
func newAsker(ctx context.Context, name, host string, credentials sdk.APIKey, attempts int, out sdk.Emitter) (*asker, error) {
	if name = strings.TrimSpace(name); name == "" {
		return nil, sdk.InvalidInput("no model is named")
	}
	provider := credentials.Reference().Provider
	base, err := address(provider, sdk.Setting(ctx, baseURLSetting(provider)), strings.TrimSpace(host))
	if err != nil {
		return nil, err
	}
	a := &asker{model: modelOf(name), provider: provider, key: credentials.Key(), attempts: min(max(attempts, 1), mostAttempts), out: out}
	if provider == providerAnthropic {
		a.dialect = newMessages(ctx, base, a.model, a.key)
	} else {
		a.dialect = newCompletions(ctx, base, a.model, a.key, provider == providerOpenAI)
	}
	return a, nil
}

// ask asks, again where another attempt may fare better. Who watches sees the answer grow.
func (a *asker) ask(ctx context.Context, q question) (string, error) {
	pause := firstPause
	for n := 1; ; n++ {
		said := newPieces(a.out)
		got, err := a.dialect.ask(ctx, q, said.add)
		said.end()
		sdk.Count(ctx, "llm_call_count", 1)
		sdk.Count(ctx, "input_token_count", got.inputTokens)
		sdk.Count(ctx, "output_token_count", got.outputTokens)
		if err == nil {
			return got.text, nil
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		wait := time.Duration(float64(pause) * (0.75 + rand.Float64()/2)) // many runs that failed together part
		problem := a.explain(err)
		if problem.asked {
			wait = problem.after
		}
		if !problem.again || n == a.attempts || wait > longestWait {
			return "", problem.error
		}
		sdk.Count(ctx, "llm_retry_count", 1)
		sdk.Logger(ctx).Debug("a model is asked again", "provider", a.provider, "model", a.model.ID, "after", wait, "error", problem.error)
		a.out.Progress(sdk.Progress{Text: "asking again: " + problem.Error()})
		if err := sleep(ctx, wait); err != nil {
			return "", err
		}
		pause = min(2*pause, longestPause)
	}
}

// problem is why an attempt failed, as the run is to say it.
type problem struct {
	error
	again bool          // another attempt may fare better
	asked bool          // the provider says when
	after time.Duration // that
}

// explain makes an error one of the run's, without the key in it.
func (a *asker) explain(err error) problem {
	if refused, ok := errors.AsType[*refusal](err); ok {
		return refused.problem(a.provider, func(text string) string { return hide(text, a.key) })
	}
	known, ok := errors.AsType[*sdk.Error](err)
	if !ok {
		known = &sdk.Error{Kind: proto.ErrorKind_ERROR_KIND_PERMANENT}
	}
	return problem{
		error: &sdk.Error{Kind: known.Kind, RetryAfter: known.RetryAfter, Message: hide(a.provider+": "+err.Error(), a.key)},
		again: known.Kind == proto.ErrorKind_ERROR_KIND_TEMPORARY,
	}
}

// hide takes a key out of a text.
func hide(text, key string) string {
	if len(key) < 4 {
		return text
	}
	return strings.ReplaceAll(text, key, "***")
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
