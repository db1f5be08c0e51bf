package rest

import (
	"context"
	"errors"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/account"
	"github.com/patchbay-io/patchbay/core/store"
)

// Users knows who calls, and what they have set.
type Users interface {
	User(ctx context.Context, id string) (*account.User, error)
	SetTimezone(ctx context.Context, user, name string) error
}

// GetUser is GET /api/v2/me.
func (s *server) GetUser(ctx context.Context, _ GetUserRequestObject) (GetUserResponseObject, error) {
	u, err := s.user(ctx)
	return GetUser200JSONResponse(u), err
}

// UpdateUser is PUT /api/v2/me.
func (s *server) UpdateUser(ctx context.Context, r UpdateUserRequestObject) (UpdateUserResponseObject, error) {
	if err := s.users.SetTimezone(ctx, auth.From(ctx).UserID, r.Body.Timezone); err != nil {
		return nil, err
	}
	u, err := s.user(ctx)
	return UpdateUser200JSONResponse(u), err
}

// GetUserV1 is POST /api/v1/auth/user.
func (s *server) GetUserV1(ctx context.Context, _ GetUserV1RequestObject) (GetUserV1ResponseObject, error) {
	u, err := s.user(ctx)
	return GetUserV1200JSONResponse(u), err
}

// GetUserExternal is GET /external-api/v1/me.
func (s *server) GetUserExternal(ctx context.Context, _ GetUserExternalRequestObject) (GetUserExternalResponseObject, error) {
	u, err := s.user(ctx)
	return GetUserExternal200JSONResponse(u), err
}

// GetTimezoneV1 is GET /api/v1/auth/user/timezone.
func (s *server) GetTimezoneV1(ctx context.Context, _ GetTimezoneV1RequestObject) (GetTimezoneV1ResponseObject, error) {
	u, err := s.user(ctx)
	return GetTimezoneV1200JSONResponse{Timezone: u.Timezone}, err
}

// SetTimezoneV1 is POST /api/v1/auth/user/timezone.
func (s *server) SetTimezoneV1(ctx context.Context, r SetTimezoneV1RequestObject) (SetTimezoneV1ResponseObject, error) {
	if err := s.users.SetTimezone(ctx, auth.From(ctx).UserID, r.Body.Timezone); err != nil {
		return nil, err
	}
	return SetTimezoneV1200JSONResponse{Timezone: r.Body.Timezone}, nil
}

// knownUser is the id, as it is written here, of a user who has been here.
func (s *server) knownUser(ctx context.Context, id string) (string, error) {
	u, err := s.users.User(ctx, auth.UserID(id))
	if err != nil {
		return "", err
	}
	if !u.Known {
		return "", problem.NotFound("user not found")
	}
	return u.ID, nil
}

// user is who calls, by the name of the creator that they are, if any.
func (s *server) user(ctx context.Context) (User, error) {
	u, err := s.users.User(ctx, auth.From(ctx).UserID)
	if err != nil {
		return User{}, err
	}
	shown := User{Id: u.ID, Timezone: u.Timezone}
	if u.Email != "" {
		shown.Email = &u.Email
	}
	creator, err := s.store.Profile(ctx, u.ID)
	if errors.Is(err, store.ErrNotFound) {
		return shown, nil
	}
	if err != nil {
		return User{}, err
	}
	shown.Name = &creator.Name
	return shown, nil
}
