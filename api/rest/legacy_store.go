package rest

import "context"

// UploadFileV1 is POST /api/v1/files/upload.
func (s *server) UploadFileV1(ctx context.Context, r UploadFileV1RequestObject) (UploadFileV1ResponseObject, error) {
	f, err := s.uploadFile(ctx, r.Params.ExpirationHours, r.Body)
	return UploadFileV1200JSONResponse(f), err
}

// ListStoreAgentsExternal is GET /external-api/v1/store/agents.
func (s *server) ListStoreAgentsExternal(ctx context.Context, r ListStoreAgentsExternalRequestObject) (ListStoreAgentsExternalResponseObject, error) {
	list, err := s.listStoreAgents(ctx, ListStoreAgentsParams(r.Params))
	return ListStoreAgentsExternal200JSONResponse(list), err
}

// GetStoreAgentBySlugExternal is GET /external-api/v1/store/agents/{username}/{slug}.
func (s *server) GetStoreAgentBySlugExternal(ctx context.Context, r GetStoreAgentBySlugExternalRequestObject) (GetStoreAgentBySlugExternalResponseObject, error) {
	d, err := s.store.DetailsBySlug(ctx, r.Username, r.Slug)
	if err != nil {
		return nil, err
	}
	return GetStoreAgentBySlugExternal200JSONResponse(storeDetails(d)), nil
}

// ListCreatorsExternal is GET /external-api/v1/store/creators.
func (s *server) ListCreatorsExternal(ctx context.Context, r ListCreatorsExternalRequestObject) (ListCreatorsExternalResponseObject, error) {
	list, err := s.listCreators(ctx, ListCreatorsParams(r.Params))
	return ListCreatorsExternal200JSONResponse(list), err
}

// GetCreatorExternal is GET /external-api/v1/store/creators/{username}.
func (s *server) GetCreatorExternal(ctx context.Context, r GetCreatorExternalRequestObject) (GetCreatorExternalResponseObject, error) {
	c, err := s.store.Creator(ctx, r.Username)
	if err != nil {
		return nil, err
	}
	return GetCreatorExternal200JSONResponse(creator(c)), nil
}
