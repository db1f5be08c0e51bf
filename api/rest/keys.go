package rest

import (
	"context"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/account"
)

// Keys keeps API keys. Every method sees those of the user alone.
type Keys interface {
	// CreateKey gives the key itself, which is kept nowhere.
	CreateKey(ctx context.Context, user string, d account.Draft) (*account.Key, string, error)
	Keys(ctx context.Context, user string, offset, limit int) ([]account.Key, int, error)
	Key(ctx context.Context, user, id string) (*account.Key, error)
	UpdateKey(ctx context.Context, user, id string, d account.Draft) (*account.Key, error)
	SuspendKey(ctx context.Context, user, id string) (*account.Key, error)
	ActivateKey(ctx context.Context, user, id string) (*account.Key, error)
	RevokeKey(ctx context.Context, user, id string) error
}

// ListAPIKeys is GET /api/v2/api-keys.
func (s *server) ListAPIKeys(ctx context.Context, r ListAPIKeysRequestObject) (ListAPIKeysResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PageSize)
	list, total, err := s.keys.Keys(ctx, auth.From(ctx).UserID, p.offset(), p.size)
	if err != nil {
		return nil, err
	}
	return ListAPIKeys200JSONResponse{ApiKeys: apiKeys(list), Pagination: p.of(total)}, nil
}

// CreateAPIKey is POST /api/v2/api-keys.
func (s *server) CreateAPIKey(ctx context.Context, r CreateAPIKeyRequestObject) (CreateAPIKeyResponseObject, error) {
	k, text, err := s.createKey(ctx, r.Body)
	if err != nil {
		return nil, err
	}
	shown := apiKey(k)
	return CreateAPIKey201JSONResponse{
		Id: shown.Id, Name: shown.Name, Description: shown.Description, Head: shown.Head, Tail: shown.Tail, Key: text,
		Permissions: shown.Permissions, Status: NewAPIKeyStatus(shown.Status), CreatedAt: shown.CreatedAt, ExpiresAt: shown.ExpiresAt,
	}, nil
}

func (s *server) createKey(ctx context.Context, r *APIKeyRequest) (*account.Key, string, error) {
	k, text, err := s.keys.CreateKey(ctx, auth.From(ctx).UserID, account.Draft{
		Name: &r.Name, Description: r.Description, Permissions: permissionsOf(r.Permissions), ExpiresAt: r.ExpiresAt,
	})
	if err == nil {
		audited(ctx, k.ID)
	}
	return k, text, err
}

// GetAPIKey is GET /api/v2/api-keys/{key_id}.
func (s *server) GetAPIKey(ctx context.Context, r GetAPIKeyRequestObject) (GetAPIKeyResponseObject, error) {
	k, err := s.keys.Key(ctx, auth.From(ctx).UserID, r.KeyId)
	if err != nil {
		return nil, err
	}
	return GetAPIKey200JSONResponse(apiKey(k)), nil
}

// UpdateAPIKey is PUT /api/v2/api-keys/{key_id}.
func (s *server) UpdateAPIKey(ctx context.Context, r UpdateAPIKeyRequestObject) (UpdateAPIKeyResponseObject, error) {
	e, err := openEnvelope(bodyOf(ctx)) // what is null and what is missing is the same in r.Body
	if err != nil {
		return nil, err
	}
	_, expiry := e.members["expires_at"]
	d := account.Draft{Name: r.Body.Name, Description: r.Body.Description, ExpiresAt: r.Body.ExpiresAt, Endless: expiry && r.Body.ExpiresAt == nil}
	if r.Body.Permissions != nil {
		d.Permissions = permissionsOf(*r.Body.Permissions)
	}
	k, err := s.keys.UpdateKey(ctx, auth.From(ctx).UserID, r.KeyId, d)
	if err != nil {
		return nil, err
	}
	return UpdateAPIKey200JSONResponse(apiKey(k)), nil
}

// RevokeAPIKey is DELETE /api/v2/api-keys/{key_id}.
func (s *server) RevokeAPIKey(ctx context.Context, r RevokeAPIKeyRequestObject) (RevokeAPIKeyResponseObject, error) {
	if err := s.keys.RevokeKey(ctx, auth.From(ctx).UserID, r.KeyId); err != nil {
		return nil, err
	}
	return RevokeAPIKey204Response{}, nil
}

// SuspendAPIKey is POST /api/v2/api-keys/{key_id}/suspend.
func (s *server) SuspendAPIKey(ctx context.Context, r SuspendAPIKeyRequestObject) (SuspendAPIKeyResponseObject, error) {
	k, err := s.keys.SuspendKey(ctx, auth.From(ctx).UserID, r.KeyId)
	if err != nil {
		return nil, err
	}
	return SuspendAPIKey200JSONResponse(apiKey(k)), nil
}

// ActivateAPIKey is POST /api/v2/api-keys/{key_id}/activate.
func (s *server) ActivateAPIKey(ctx context.Context, r ActivateAPIKeyRequestObject) (ActivateAPIKeyResponseObject, error) {
	k, err := s.keys.ActivateKey(ctx, auth.From(ctx).UserID, r.KeyId)
	if err != nil {
		return nil, err
	}
	return ActivateAPIKey200JSONResponse(apiKey(k)), nil
}

func apiKeys(list []account.Key) []APIKey {
	shown := make([]APIKey, len(list))
	for i := range list {
		shown[i] = apiKey(&list[i])
	}
	return shown
}

func apiKey(k *account.Key) APIKey {
	permissions := make([]Permission, len(k.Permissions))
	for i, p := range k.Permissions {
		permissions[i] = Permission(p)
	}
	return APIKey{
		Id: k.ID, Name: k.Name, Description: k.Description, Head: k.Head, Tail: k.Tail,
		Permissions: permissions, Status: APIKeyStatus(k.Status), CreatedAt: k.CreatedAt.UTC(),
		ExpiresAt: utc(k.ExpiresAt), LastUsedAt: utc(k.LastUsedAt), RevokedAt: utc(k.RevokedAt),
	}
}

func permissionsOf(names []Permission) []account.Permission {
	list := make([]account.Permission, len(names))
	for i, name := range names {
		list[i] = account.Permission(name)
	}
	return list
}
