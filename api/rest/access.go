package rest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gorilla/mux"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/account"
)

// access is what an operation asks of who calls it, as the document says.
type access struct {
	public bool // no credential is asked for: "security: []"
	// optional says that the server may be set to ask for no credential: "security: [{…}, {}]".
	optional bool
	admin    bool // administrators only: "x-role: admin"
	// keys says that API keys may call it if they have one of the permissions: "x-permission: A" or "[A, B]", or all that
	// are joined: "A and B"; with "ANY" whatever they have.
	keys        bool
	permissions [][]account.Permission
	executes    bool   // it starts executions, which are limited by themselves: "x-limit: execution"
	audit       string // how the audit log calls it: "x-audit: what.happens"
	ticket      bool   // a ticket in the query does in place of a credential: "x-ticket: true"
	browser     bool   // cookies and Accept are for its handler: "x-browser: true"
	needs       string // what the operator must have switched on: "x-needs: local accounts"
	successor   string // path of the operation that takes the place of this one: "x-successor: /path"
}

func accessOf(o *openapi3.Operation) (access, error) {
	a := access{public: o.Security != nil && len(*o.Security) == 0}
	a.optional = !a.public && o.Security != nil && slices.ContainsFunc(*o.Security, func(r openapi3.SecurityRequirement) bool { return len(r) == 0 })
	if role, ok := o.Extensions["x-role"]; ok {
		if role != auth.RoleAdmin {
			return a, fmt.Errorf("%s: x-role is %v, there is only %s", o.OperationID, role, auth.RoleAdmin)
		}
		a.admin = true
	}
	a.needs, _ = o.Extensions["x-needs"].(string)
	if a.needs != "" && a.needs != localAccounts {
		return a, fmt.Errorf("%s: x-needs is %q, there is only %q", o.OperationID, a.needs, localAccounts)
	}
	a.ticket, a.browser = o.Extensions["x-ticket"] == true, o.Extensions["x-browser"] == true
	a.executes = o.Extensions["x-limit"] == "execution"
	a.audit, _ = o.Extensions["x-audit"].(string)
	a.successor, _ = o.Extensions["x-successor"].(string)
	var names []any
	switch value := o.Extensions["x-permission"].(type) {
	case nil:
		return a, nil
	case []any:
		names = value
	default:
		names = []any{value}
	}
	a.keys = true
	if len(names) == 1 && names[0] == "ANY" {
		return a, nil
	}
	for _, name := range names {
		text, _ := name.(string)
		var joined []account.Permission
		for one := range strings.SplitSeq(text, " and ") {
			p := account.Permission(one)
			if !p.Known() {
				return a, fmt.Errorf("%s: x-permission names %v, which is no permission", o.OperationID, name)
			}
			joined = append(joined, p)
		}
		a.permissions = append(a.permissions, joined)
	}
	return a, nil
}

// accessOf is what the operation of a routed request asks.
func (d *Document) accessOf(r *http.Request) access {
	template, err := mux.CurrentRoute(r).GetPathTemplate()
	operation, ok := d.access[routeKey{template, r.Method}]
	if err != nil || !ok {
		panic("rest: " + r.Method + " " + r.URL.Path + " is routed and not in the document")
	}
	return operation
}

// allows says why somebody may not call the operation.
func (a access) allows(p auth.Principal) error {
	switch {
	case p.ByKey() && !a.keys:
		return problem.Forbidden("this operation is not open to API keys")
	case a.admin && !p.Admin():
		return problem.Forbidden("this operation is for administrators")
	case a.permissions == nil:
		return nil
	}
	var names, ways []string
	for _, joined := range a.permissions {
		missing := lacking(p, joined)
		if len(missing) == 0 {
			return nil
		}
		names, ways = append(names, missing...), append(ways, strings.Join(missing, " and "))
	}
	refusal := problem.Forbidden("the API key lacks the permission " + strings.Join(ways, " or "))
	refusal.Details = map[string]any{"missing_permissions": names}
	return refusal
}

// lacking are those of the permissions that somebody does not have.
func lacking(p auth.Principal, all []account.Permission) (names []string) {
	for _, one := range all {
		if !p.May(one) {
			names = append(names, string(one))
		}
	}
	return names
}

// authenticated lets only requests through whose sender is known and may call the operation. It comes before anything
// that looks at parameters or at the body.
func (s *server) authenticated(doc *Document, authenticate func(*http.Request) (auth.Principal, error), limited *limited) mux.MiddlewareFunc {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			access, ctx := doc.accessOf(r), r.Context()
			var err error
			if access.browser {
				ctx = withBrowser(ctx, r)
			}
			if access.public {
				err = limited.anonymous(w, r)
			} else if ticket := ticketOf(access, r); ticket != "" {
				var p auth.Principal
				if err = limited.anonymous(w, r); err == nil {
					err = s.lured(r)
				}
				if err == nil {
					p.UserID, err = s.connections.Redeem(ctx, mux.Vars(r)["provider"], ticket)
					ctx = auth.With(ctx, p)
					identified(ctx, p)
				}
			} else {
				var p auth.Principal
				p, err = authenticate(r)
				ctx = auth.With(ctx, p)
				switch {
				case err == nil:
					identified(ctx, p)
					if err = limited.known(w, r, p, access); err == nil {
						err = access.allows(p)
					}
				case errors.Is(err, auth.ErrMissing) && access.optional && s.storePublic:
					err = limited.anonymous(w, r) // p is nobody
				case errors.Is(err, auth.ErrMissing), errors.Is(err, auth.ErrInvalid):
					refusal := err
					if err = limited.anonymous(w, r); err == nil {
						w.Header().Set("WWW-Authenticate", auth.Challenge(refusal))
						err = problem.Unauthorized(refusal)
					}
				case errors.Is(err, auth.ErrUnchecked):
					refusal := problem.Unavailable(auth.ErrUnchecked.Error())
					refusal.Cause = err
					if err = limited.anonymous(w, r); err == nil { // nobody knows who it is
						err = refusal
					}
				}
			}
			if err == nil && access.needs == localAccounts && s.logins == nil {
				err = errNoLocalAccounts
			}
			if err != nil {
				leaveBody(w, r)
				s.failed(w, r, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// lured says whether the browser comes from a page that had no business to send it: with a ticket of its own, that page
// could have the account of whoever follows its link connected to another user.
func (s *server) lured(r *http.Request) error {
	if r.Header.Get("Sec-Fetch-Site") != "cross-site" {
		return nil
	}
	if from, err := url.Parse(r.Referer()); err == nil && slices.Contains(s.origins, from.Scheme+"://"+from.Host) {
		return nil
	}
	return problem.Forbidden("a ticket cannot be used by a link on a page of another origin")
}

// ticketOf is the ticket of a request that brings no credential, where one is accepted.
func ticketOf(a access, r *http.Request) string {
	if !a.ticket || r.Header.Get("Authorization") != "" || r.Header.Get("X-API-Key") != "" {
		return ""
	}
	return r.URL.Query().Get("ticket")
}
