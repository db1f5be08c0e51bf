package rest

import (
	"context"

	"github.com/patchbay-io/patchbay/api/auth"
)

// GetUserRetention is GET /api/v2/admin/users/{user_id}/retention.
func (s *server) GetUserRetention(ctx context.Context, r GetUserRetentionRequestObject) (GetUserRetentionResponseObject, error) {
	user, err := s.knownUser(ctx, r.UserId)
	if err != nil {
		return nil, err
	}
	shown, err := s.retention(ctx, user, "")
	return GetUserRetention200JSONResponse(shown), err
}

// SetUserRetention is PUT /api/v2/admin/users/{user_id}/retention.
func (s *server) SetUserRetention(ctx context.Context, r SetUserRetentionRequestObject) (SetUserRetentionResponseObject, error) {
	user, err := s.knownUser(ctx, r.UserId)
	if err != nil {
		return nil, err
	}
	if err := s.executions.SetRetention(ctx, user, "", r.Body.Days); err != nil {
		return nil, err
	}
	shown, err := s.retention(ctx, user, "")
	return SetUserRetention200JSONResponse(shown), err
}

// GetGraphRetention is GET /api/v2/builder/graphs/{graph_id}/retention.
func (s *server) GetGraphRetention(ctx context.Context, r GetGraphRetentionRequestObject) (GetGraphRetentionResponseObject, error) {
	user := auth.From(ctx).UserID
	if _, err := s.graphs.ReadableActive(ctx, user, r.GraphId); err != nil {
		return nil, err
	}
	shown, err := s.retention(ctx, user, r.GraphId)
	return GetGraphRetention200JSONResponse(shown), err
}

// SetGraphRetention is PUT /api/v2/builder/graphs/{graph_id}/retention.
func (s *server) SetGraphRetention(ctx context.Context, r SetGraphRetentionRequestObject) (SetGraphRetentionResponseObject, error) {
	user := auth.From(ctx).UserID
	if _, err := s.graphs.ReadableActive(ctx, user, r.GraphId); err != nil {
		return nil, err
	}
	if err := s.executions.SetRetention(ctx, user, r.GraphId, r.Body.Days); err != nil {
		return nil, err
	}
	shown, err := s.retention(ctx, user, r.GraphId)
	return SetGraphRetention200JSONResponse(shown), err
}

func (s *server) retention(ctx context.Context, user, graph string) (Retention, error) {
	r, err := s.executions.RetentionOf(ctx, user, graph)
	return Retention{Days: r.Days, EffectiveDays: r.Effective}, err
}
