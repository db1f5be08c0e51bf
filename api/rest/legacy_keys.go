package rest

import (
	"context"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/account"
)

// ListAPIKeysV1 is GET /api/v1/api-keys.
func (s *server) ListAPIKeysV1(ctx context.Context, r ListAPIKeysV1RequestObject) (ListAPIKeysV1ResponseObject, error) {
	p := legacyPage(r.Params.Page, r.Params.PageSize)
	list, total, err := s.keys.Keys(ctx, auth.From(ctx).UserID, p.offset(), p.size)
	if err != nil {
		return nil, err
	}
	return ListAPIKeysV1200JSONResponse{Body: apiKeys(list), Headers: ListAPIKeysV1200ResponseHeaders{XTotalCount: &total}}, nil
}

// CreateAPIKeyV1 is POST /api/v1/api-keys.
func (s *server) CreateAPIKeyV1(ctx context.Context, r CreateAPIKeyV1RequestObject) (CreateAPIKeyV1ResponseObject, error) {
	k, text, err := s.createKey(ctx, r.Body)
	if err != nil {
		return nil, err
	}
	return CreateAPIKeyV1200JSONResponse{ApiKey: apiKey(k), PlainTextKey: text}, nil
}

// GetAPIKeyV1 is GET /api/v1/api-keys/{key_id}.
func (s *server) GetAPIKeyV1(ctx context.Context, r GetAPIKeyV1RequestObject) (GetAPIKeyV1ResponseObject, error) {
	k, err := s.keys.Key(ctx, auth.From(ctx).UserID, r.KeyId)
	if err != nil {
		return nil, err
	}
	return GetAPIKeyV1200JSONResponse(apiKey(k)), nil
}

// RevokeAPIKeyV1 is DELETE /api/v1/api-keys/{key_id}, which answers with what was revoked.
func (s *server) RevokeAPIKeyV1(ctx context.Context, r RevokeAPIKeyV1RequestObject) (RevokeAPIKeyV1ResponseObject, error) {
	if err := s.keys.RevokeKey(ctx, auth.From(ctx).UserID, r.KeyId); err != nil {
		return nil, err
	}
	k, err := s.keys.Key(ctx, auth.From(ctx).UserID, r.KeyId)
	if err != nil {
		return nil, err
	}
	return RevokeAPIKeyV1200JSONResponse(apiKey(k)), nil
}

// SuspendAPIKeyV1 is POST /api/v1/api-keys/{key_id}/suspend.
func (s *server) SuspendAPIKeyV1(ctx context.Context, r SuspendAPIKeyV1RequestObject) (SuspendAPIKeyV1ResponseObject, error) {
	k, err := s.keys.SuspendKey(ctx, auth.From(ctx).UserID, r.KeyId)
	if err != nil {
		return nil, err
	}
	return SuspendAPIKeyV1200JSONResponse(apiKey(k)), nil
}

// SetAPIKeyPermissionsV1 is PUT /api/v1/api-keys/{key_id}/permissions, which changes nothing else.
func (s *server) SetAPIKeyPermissionsV1(ctx context.Context, r SetAPIKeyPermissionsV1RequestObject) (SetAPIKeyPermissionsV1ResponseObject, error) {
	k, err := s.keys.UpdateKey(ctx, auth.From(ctx).UserID, r.KeyId, account.Draft{Permissions: permissionsOf(r.Body.Permissions)})
	if err != nil {
		return nil, err
	}
	return SetAPIKeyPermissionsV1200JSONResponse(apiKey(k)), nil
}
