package rest

import (
	"context"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/credential"
)

// Integrations keeps the credentials of users. Every method but the rotation sees those of the user alone.
type Integrations interface {
	Create(ctx context.Context, user string, d credential.Draft) (*credential.Credential, error)
	// List gives all if limit is 0.
	List(ctx context.Context, user, provider string, offset, limit int) ([]credential.Credential, int, error)
	Find(ctx context.Context, user, id string) (*credential.Credential, error)
	Update(ctx context.Context, user, id string, ch credential.Change) (*credential.Credential, error)
	Delete(ctx context.Context, user, id string) (revoked bool, err error)
	Rotate(ctx context.Context, after string) (*credential.Rotation, error)
}

// ListIntegrations is GET /api/v2/integrations.
func (s *server) ListIntegrations(ctx context.Context, r ListIntegrationsRequestObject) (ListIntegrationsResponseObject, error) {
	complete := r.Params.Page == nil && r.Params.PageSize == nil
	p := page{number: 1}
	if !complete {
		p = pageOf(r.Params.Page, r.Params.PageSize)
	}
	list, total, err := s.integrations.List(ctx, auth.From(ctx).UserID, value(r.Params.Provider), p.offset(), p.size)
	if err != nil {
		return nil, err
	}
	answer := ListIntegrations200JSONResponse{Integrations: shownIntegrations(list), Pagination: everything(total)}
	if !complete {
		answer.Pagination = p.of(total)
	}
	return answer, nil
}

// CreateIntegration is POST /api/v2/integrations.
func (s *server) CreateIntegration(ctx context.Context, r CreateIntegrationRequestObject) (CreateIntegrationResponseObject, error) {
	b := r.Body
	d := credential.Draft{
		Provider: b.Provider, Type: credential.Type(b.Type), Title: value(b.Title), APIKey: value(b.ApiKey), Username: value(b.Username),
		Password: value(b.Password), Host: value(b.Host), Headers: value(b.Headers), ExpiresAt: b.ExpiresAt, Default: value(b.IsDefault),
	}
	c, err := s.integrations.Create(ctx, auth.From(ctx).UserID, d)
	if err != nil {
		return nil, err
	}
	audited(ctx, c.ID)
	return CreateIntegration201JSONResponse(integration(c)), nil
}

// GetIntegration is GET /api/v2/integrations/{integration_id}.
func (s *server) GetIntegration(ctx context.Context, r GetIntegrationRequestObject) (GetIntegrationResponseObject, error) {
	c, err := s.integrations.Find(ctx, auth.From(ctx).UserID, r.IntegrationId)
	if err != nil {
		return nil, err
	}
	return GetIntegration200JSONResponse(integration(c)), nil
}

// UpdateIntegration is PATCH /api/v2/integrations/{integration_id}.
func (s *server) UpdateIntegration(ctx context.Context, r UpdateIntegrationRequestObject) (UpdateIntegrationResponseObject, error) {
	c, err := s.integrations.Update(ctx, auth.From(ctx).UserID, r.IntegrationId, credential.Change{Title: r.Body.Title, Default: r.Body.IsDefault})
	if err != nil {
		return nil, err
	}
	return UpdateIntegration200JSONResponse(integration(c)), nil
}

// DeleteIntegration is DELETE /api/v2/integrations/{integration_id}.
func (s *server) DeleteIntegration(ctx context.Context, r DeleteIntegrationRequestObject) (DeleteIntegrationResponseObject, error) {
	revoked, err := s.integrations.Delete(ctx, auth.From(ctx).UserID, r.IntegrationId)
	if err != nil {
		return nil, err
	}
	return DeleteIntegration204Response{Headers: DeleteIntegration204ResponseHeaders{XTokenRevoked: &revoked}}, nil
}

// RotateEncryptionKeys is POST /api/v2/admin/encryption-keys/rotate.
func (s *server) RotateEncryptionKeys(ctx context.Context, r RotateEncryptionKeysRequestObject) (RotateEncryptionKeysResponseObject, error) {
	after := ""
	if r.Body != nil {
		after = value(r.Body.After)
	}
	done, err := s.integrations.Rotate(ctx, after)
	if err != nil {
		return nil, err
	}
	audited(ctx, string(done.Key))
	return RotateEncryptionKeys200JSONResponse{
		KeyId: string(done.Key), Total: done.Total, Left: done.Left, Failed: done.Failed, After: unlessEmpty(done.After),
	}, nil
}

func shownIntegrations(list []credential.Credential) []Integration {
	shown := make([]Integration, len(list))
	for i := range list {
		shown[i] = integration(&list[i])
	}
	return shown
}

func integration(c *credential.Credential) Integration {
	return Integration{
		Id: c.ID, Provider: c.Provider, Type: IntegrationType(c.Type), Title: c.Title, Username: unlessEmpty(c.Username),
		Host: unlessEmpty(c.Host), Scopes: append([]string{}, c.Scopes...), IsDefault: c.Default,
		NeedsReauthorization: c.Reauthorize != "", ReauthorizationReason: unlessEmpty(c.Reauthorize),
		ExpiresAt: utc(c.ExpiresAt), LastUsedAt: utc(c.LastUsedAt), CreatedAt: c.CreatedAt.UTC(), UpdatedAt: c.UpdatedAt.UTC(),
	}
}

// value is what an optional field holds, or nothing.
func value[T any](field *T) T {
	if field == nil {
		var none T
		return none
	}
	return *field
}

// unlessEmpty is null for an empty text.
func unlessEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
