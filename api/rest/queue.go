package rest

import (
	"context"

	"github.com/patchbay-io/patchbay/api/auth"
)

// GetUserQueue is GET /api/v2/me/queue.
func (s *server) GetUserQueue(ctx context.Context, _ GetUserQueueRequestObject) (GetUserQueueResponseObject, error) {
	d, err := s.executions.DepthOf(ctx, auth.From(ctx).UserID)
	return GetUserQueue200JSONResponse{Running: d.Running, Waiting: d.Waiting, OldestWaitingSince: d.Oldest}, err
}

// GetQueue is GET /api/v2/admin/queue.
func (s *server) GetQueue(ctx context.Context, _ GetQueueRequestObject) (GetQueueResponseObject, error) {
	b, err := s.executions.Backlog(ctx)
	if err != nil {
		return nil, err
	}
	shown := GetQueue200JSONResponse{Running: b.Running, Waiting: b.Waiting, Users: []UserLoad{}, Servers: []ServerLoad{}}
	for _, u := range b.Users {
		shown.Users = append(shown.Users, UserLoad{UserId: u.UserID, Running: u.Running, Waiting: u.Waiting})
	}
	for _, l := range b.Servers {
		shown.Servers = append(shown.Servers, ServerLoad{Id: l.ID.String(), Running: l.Running})
	}
	return shown, nil
}
