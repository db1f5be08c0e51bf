package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/oauth"
)

// maxStateMetadata is how many bytes another application may have kept while its user is at the provider.
const maxStateMetadata = 8 << 10

// InitiateOAuthExternal is POST /external-api/v1/integrations/{provider}/oauth/initiate. No cookie binds the state to a
// browser: who brings it back must have the credential of who began.
func (s *server) InitiateOAuthExternal(ctx context.Context, r InitiateOAuthExternalRequestObject) (InitiateOAuthExternalResponseObject, error) {
	e, err := openEnvelope(bodyOf(ctx))
	if err != nil {
		return nil, err
	}
	request := oauth.Request{
		User: auth.From(ctx).UserID, Provider: r.Provider, Scopes: e.texts("scopes"), Callback: e.text("callback_url"),
	}
	if metadata := e.members["state_metadata"]; jsonscan.KindOf(metadata) != jsonscan.Null {
		request.Metadata = string(e.object("state_metadata"))
	}
	if len(request.Metadata) > maxStateMetadata {
		e.wrong["state_metadata"] = fmt.Sprintf("must have at most %d bytes", maxStateMetadata)
	}
	if e.wrong["callback_url"] == "" && (jsonscan.HasLoneSurrogate(e.members["callback_url"]) || !s.mayCallBack(request.Callback)) {
		e.wrong["callback_url"] = "must be an address of this server's origin, or of one of PATCHBAY_CORS_ORIGINS"
	}
	if err := e.problem(); err != nil {
		return nil, err
	}
	a, err := s.connections.Authorize(ctx, request)
	if err != nil {
		return nil, err
	}
	return InitiateOAuthExternal200JSONResponse{LoginUrl: a.URL, StateToken: a.State, ExpiresAt: time.Now().Add(a.Life).UTC()}, nil
}

// mayCallBack says whether a provider may send browsers to an address with what connects an account. "*" as an origin
// lets pages call the API, who must have a credential for it; it does not let codes go anywhere.
func (s *server) mayCallBack(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || (u.Scheme != "https" && u.Scheme != "http") {
		return false
	}
	origin := u.Scheme + "://" + u.Host
	own, err := url.Parse(s.baseURL)
	return err == nil && origin == own.Scheme+"://"+own.Host || slices.Contains(s.origins, origin)
}

// CompleteOAuthExternal is POST /external-api/v1/integrations/{provider}/oauth/complete.
func (s *server) CompleteOAuthExternal(ctx context.Context, r CompleteOAuthExternalRequestObject) (CompleteOAuthExternalResponseObject, error) {
	connected, err := s.connections.Connect(ctx, oauth.Callback{
		Provider: r.Provider, State: r.Body.StateToken, Code: r.Body.Code, User: auth.From(ctx).UserID,
	})
	if err != nil {
		return nil, err
	}
	audited(ctx, connected.Credential.ID)
	return externalAccount{connected.Credential, json.RawMessage(connected.Metadata)}, nil
}

// externalAccount answers with an account that another application has connected, and what that wanted to know then.
type externalAccount struct {
	*credential.Credential
	metadata json.RawMessage
}

// VisitCompleteOAuthExternalResponse implements CompleteOAuthExternalResponseObject.
func (a externalAccount) VisitCompleteOAuthExternalResponse(w http.ResponseWriter) error {
	return answerJSON(w, http.StatusOK, func(j *jsonWriter) {
		j.object(func() {
			j.key("credentials_id")
			j.string(a.ID)
			j.key("provider")
			j.string(a.Provider)
			j.key("type")
			j.string(string(a.Type))
			j.key("title")
			j.string(a.Title)
			j.key("scopes")
			j.strings(a.Scopes)
			j.key("username")
			j.stringOrNull(a.Username)
			j.key("state_metadata")
			j.valueOrEmpty(a.metadata)
		})
	})
}
