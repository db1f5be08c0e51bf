package rest

import (
	"context"
	"fmt"
	"time"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/credential"
)

// ListProvidersV1 is GET /api/v1/integrations/providers.
func (s *server) ListProvidersV1(context.Context, ListProvidersV1RequestObject) (ListProvidersV1ResponseObject, error) {
	names := ListProvidersV1200JSONResponse{}
	for _, p := range s.connections.All() {
		names = append(names, p.Name)
	}
	return names, nil
}

// ListProvidersExternal is GET /external-api/v1/integrations/providers.
func (s *server) ListProvidersExternal(context.Context, ListProvidersExternalRequestObject) (ListProvidersExternalResponseObject, error) {
	list := ListProvidersExternal200JSONResponse{}
	for _, p := range s.connections.All() {
		list = append(list, provider(p))
	}
	return list, nil
}

// BeginLoginV1 is GET /api/v1/integrations/{provider}/login.
func (s *server) BeginLoginV1(ctx context.Context, r BeginLoginV1RequestObject) (BeginLoginV1ResponseObject, error) {
	a, cookie, err := s.authorize(ctx, r.Provider, value(r.Params.Scopes), "")
	if err != nil {
		return nil, err
	}
	return redirection{instead: LoginV1{LoginUrl: a.URL, StateToken: a.State}, cookie: cookie}, nil
}

// FinishLoginV1 is POST /api/v1/integrations/{provider}/callback.
func (s *server) FinishLoginV1(ctx context.Context, r FinishLoginV1RequestObject) (FinishLoginV1ResponseObject, error) {
	c, err := s.connect(ctx, r.Provider, r.Body.StateToken, r.Body.Code)
	return FinishLoginV1200JSONResponse(c), err
}

// ListCredentialsV1 is GET /api/v1/integrations/credentials.
func (s *server) ListCredentialsV1(ctx context.Context, _ ListCredentialsV1RequestObject) (ListCredentialsV1ResponseObject, error) {
	list, err := s.allIntegrations(ctx, "")
	return ListCredentialsV1200JSONResponse(list), err
}

// ListProviderCredentialsV1 is GET /api/v1/integrations/{provider}/credentials.
func (s *server) ListProviderCredentialsV1(ctx context.Context, r ListProviderCredentialsV1RequestObject) (ListProviderCredentialsV1ResponseObject, error) {
	list, err := s.allIntegrations(ctx, r.Provider)
	return ListProviderCredentialsV1200JSONResponse(list), err
}

func (s *server) allIntegrations(ctx context.Context, provider string) ([]Integration, error) {
	list, _, err := s.integrations.List(ctx, auth.From(ctx).UserID, provider, 0, 0)
	if err != nil {
		return nil, err
	}
	return shownIntegrations(list), nil
}

// ListCredentialsExternal is GET /external-api/v1/integrations/credentials.
func (s *server) ListCredentialsExternal(ctx context.Context, _ ListCredentialsExternalRequestObject) (ListCredentialsExternalResponseObject, error) {
	list, err := s.allIntegrations(ctx, "")
	return ListCredentialsExternal200JSONResponse(list), err
}

// CreateCredentialsV1 is POST /api/v1/integrations/{provider}/credentials.
func (s *server) CreateCredentialsV1(ctx context.Context, r CreateCredentialsV1RequestObject) (CreateCredentialsV1ResponseObject, error) {
	c, err := s.createCredentials(ctx, r.Provider, r.Body)
	return CreateCredentialsV1201JSONResponse(c), err
}

// CreateCredentialsExternal is POST /external-api/v1/integrations/{provider}/credentials.
func (s *server) CreateCredentialsExternal(ctx context.Context, r CreateCredentialsExternalRequestObject) (CreateCredentialsExternalResponseObject, error) {
	c, err := s.createCredentials(ctx, r.Provider, r.Body)
	return CreateCredentialsExternal201JSONResponse(c), err
}

func (s *server) createCredentials(ctx context.Context, provider string, b *CredentialsRequestV1) (Integration, error) {
	d := credential.Draft{
		Provider: provider, Type: credential.Type(b.Type), Title: value(b.Title), APIKey: value(b.ApiKey), Username: value(b.Username),
		Password: value(b.Password), Host: value(b.Host), Headers: value(b.Headers),
	}
	if b.ExpiresAt != nil {
		at := time.Unix(*b.ExpiresAt, 0)
		d.ExpiresAt = &at
	}
	c, err := s.integrations.Create(ctx, auth.From(ctx).UserID, d)
	if err != nil {
		return Integration{}, err
	}
	audited(ctx, c.ID)
	return integration(c), nil
}

// GetCredentialsV1 is GET /api/v1/integrations/{provider}/credentials/{integration_id}.
func (s *server) GetCredentialsV1(ctx context.Context, r GetCredentialsV1RequestObject) (GetCredentialsV1ResponseObject, error) {
	c, err := s.integrationOf(ctx, r.Provider, r.IntegrationId)
	if err != nil {
		return nil, err
	}
	return GetCredentialsV1200JSONResponse(integration(c)), nil
}

// DeleteCredentialsV1 is DELETE /api/v1/integrations/{provider}/credentials/{integration_id}.
func (s *server) DeleteCredentialsV1(ctx context.Context, r DeleteCredentialsV1RequestObject) (DeleteCredentialsV1ResponseObject, error) {
	d, err := s.deleteCredentials(ctx, r.Provider, r.IntegrationId)
	return DeleteCredentialsV1200JSONResponse(d), err
}

// DeleteCredentialsExternal is DELETE /external-api/v1/integrations/{provider}/credentials/{integration_id}.
func (s *server) DeleteCredentialsExternal(ctx context.Context, r DeleteCredentialsExternalRequestObject) (DeleteCredentialsExternalResponseObject, error) {
	d, err := s.deleteCredentials(ctx, r.Provider, r.IntegrationId)
	return DeleteCredentialsExternal200JSONResponse(d), err
}

func (s *server) deleteCredentials(ctx context.Context, provider, id string) (DeletedCredentialsV1, error) {
	c, err := s.integrationOf(ctx, provider, id)
	if err != nil {
		return DeletedCredentialsV1{}, err
	}
	revoked, err := s.integrations.Delete(ctx, auth.From(ctx).UserID, c.ID)
	if err != nil {
		return DeletedCredentialsV1{}, err
	}
	answer := DeletedCredentialsV1{Deleted: true}
	if c.Type == credential.OAuth2 {
		answer.Revoked = &revoked
	}
	return answer, nil
}

// integrationOf is one for a provider.
func (s *server) integrationOf(ctx context.Context, provider, id string) (*credential.Credential, error) {
	c, err := s.integrations.Find(ctx, auth.From(ctx).UserID, id)
	if err == nil && c.Provider != provider {
		err = fmt.Errorf("integration %w", credential.ErrNotFound)
	}
	return c, err
}
