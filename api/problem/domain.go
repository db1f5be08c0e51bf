package problem

import (
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/patchbay-io/patchbay/core/account"
	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/execution"
	"github.com/patchbay-io/patchbay/core/file"
	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/library"
	"github.com/patchbay-io/patchbay/core/oauth"
	"github.com/patchbay-io/patchbay/core/plugin/install"
	"github.com/patchbay-io/patchbay/core/store"
)

// rule says what one error of the domain is to clients.
type rule struct {
	matches func(error) bool
	problem func(error) *Problem
}

// domain is the table of errors by which clients decide. What it lacks is INTERNAL_ERROR.
var domain = []rule{
	{is(execution.ErrNotFound), message(NotFound)},
	{is(execution.ErrNoBlock), message(NotFound)},
	{as[*execution.NotAlone], message(Forbidden)},
	{is(execution.ErrConflict), message(Conflict)},
	{is(execution.ErrUnavailable), message(Unavailable)},
	{as[*execution.Busy], busy},
	{is(file.ErrNotFound), message(NotFound)},
	{is(file.ErrTooLarge), tooLargeFile},
	{is(file.ErrFull), tooLargeFile},
	{is(graph.ErrNotFound), message(NotFound)},
	{is(graph.ErrConflict), message(Conflict)},
	{is(library.ErrNotFound), message(NotFound)},
	{is(account.ErrNotFound), message(NotFound)},
	{is(account.ErrConflict), message(Conflict)},
	{is(account.ErrRefused), func(error) *Problem { return Unauthorized(account.ErrRefused) }},
	{as[*account.Invalid], invalidAccount},
	{is(credential.ErrNotFound), message(NotFound)},
	{is(credential.ErrConflict), message(Conflict)},
	{is(credential.ErrFixedKeys), message(Conflict)},
	{as[*credential.Invalid], invalidCredential},
	{as[*credential.NeedsReauthorization], needsReauthorization},
	{as[*credential.Damaged], damagedCredential},
	{is(oauth.ErrUnknown), message(NotFound)},
	{is(oauth.ErrTicket), func(error) *Problem { return Unauthorized(oauth.ErrTicket) }},
	{is(oauth.ErrNotRefreshable), message(Conflict)},
	{as[*oauth.NotConfigured], providerNotConfigured},
	{as[*oauth.Refused], refusedAccount},
	{as[*oauth.Upstream], message(Upstream)},
	{is(store.ErrNotFound), message(NotFound)},
	{is(store.ErrConflict), message(Conflict)},
	{is(store.ErrOwn), message(Forbidden)},
	{as[*store.Invalid], invalidTexts},
	{as[*account.TooManyAttempts], tooManyAttempts},
	{as[*install.Absent], message(NotFound)},
	{as[*install.Refusal], message(Conflict)},
	{as[*install.Failure], message(Conflict)},
	{as[*install.ConsentError], consentToPlugin},
	{as[*install.BadPackage], badPlugin},
	{as[*graph.Malformed], malformedGraph},
	{as[*graph.Invalid], invalidGraph},
}

func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// message shows the error's own text, without the word that its code says already.
func message(make func(string) *Problem) func(error) *Problem {
	return func(err error) *Problem { return make(strings.TrimPrefix(err.Error(), "conflict: ")) }
}

func invalidAccount(err error) *Problem {
	invalid, _ := errors.AsType[*account.Invalid](err)
	return Fields(maps.Clone(invalid.Fields))
}

func invalidCredential(err error) *Problem {
	invalid, _ := errors.AsType[*credential.Invalid](err)
	return Fields(maps.Clone(invalid.Fields))
}

func needsReauthorization(err error) *Problem {
	p := Invalid(err.Error())
	p.Details = map[string]any{"reason": "needs_reauthorization"}
	return p
}

func damagedCredential(err error) *Problem {
	damaged, _ := errors.AsType[*credential.Damaged](err)
	p := Conflict(damaged.Error())
	p.Details = map[string]any{"reason": "damaged"}
	return p
}

func providerNotConfigured(err error) *Problem {
	missing, _ := errors.AsType[*oauth.NotConfigured](err)
	p := NotConfigured(missing.Error())
	p.Details = map[string]any{"settings": missing.Variables}
	return p
}

func refusedAccount(err error) *Problem {
	refused, _ := errors.AsType[*oauth.Refused](err)
	p := Invalid(refused.Message)
	p.Details = map[string]any{"reason": refused.Reason}
	if refused.Field != "" {
		p.Details["fields"] = map[string]string{refused.Field: refused.Message}
	}
	return p
}

func tooLargeFile(err error) *Problem {
	return &Problem{Status: http.StatusRequestEntityTooLarge, Code: "PAYLOAD_TOO_LARGE", Message: err.Error()}
}

func consentToPlugin(err error) *Problem {
	consent, _ := errors.AsType[*install.ConsentError](err)
	p := Conflict(consent.Error())
	p.Details = map[string]any{"reason": "consent", "plugin": consent.Asked}
	return p
}

func badPlugin(err error) *Problem {
	p := Field("source", err.Error())
	p.Message = err.Error()
	return p
}

func tooManyAttempts(err error) *Problem {
	many, _ := errors.AsType[*account.TooManyAttempts](err)
	p := RateLimited(many.Error())
	p.RetryAfter = max(time.Until(many.Until), time.Second)
	return p
}

// busy says to a user that it is his own doing, and to the others that it is not.
func busy(err error) *Problem {
	full, _ := errors.AsType[*execution.Busy](err)
	p := Unavailable(full.Error())
	if full.User {
		p = RateLimited(full.Error())
	}
	p.RetryAfter = full.After
	p.Details = map[string]any{"retry_after": int(full.After.Seconds())}
	return p
}

func malformedGraph(err error) *Problem {
	malformed, _ := errors.AsType[*graph.Malformed](err)
	return Fields(maps.Clone(malformed.Fields))
}

func invalidTexts(err error) *Problem {
	invalid, _ := errors.AsType[*store.Invalid](err)
	return Fields(maps.Clone(invalid.Fields))
}

func invalidGraph(err error) *Problem {
	invalid, _ := errors.AsType[*graph.Invalid](err)
	p := Invalid(invalid.Message)
	p.Details = map[string]any{}
	if len(invalid.Fields) > 0 {
		p.Details["fields"] = maps.Clone(invalid.Fields)
	}
	if len(invalid.NodeErrors) > 0 {
		p.Details["node_errors"] = invalid.NodeErrors
	}
	return p
}
