package rest

import (
	"context"
	"time"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/account"
)

// Logins are the server's own accounts. Attempts to log in are counted by the address that they come from.
type Logins interface {
	LogIn(ctx context.Context, email, password, address string) (*account.Tokens, error)
	Refresh(ctx context.Context, refresh string) (*account.Tokens, error)
	// LogOut says whose session it was; nobody's where the token is unknown.
	LogOut(ctx context.Context, refresh string) (user string, err error)
	ChangePassword(ctx context.Context, user, current, next, address string) error
	Create(ctx context.Context, email, password string, admin bool) (*account.Login, error)
	List(ctx context.Context, email string, offset, limit int) ([]account.Login, int, error)
	Change(ctx context.Context, user string, c account.LoginChange) (*account.Login, error)
}

// localAccounts is how the document calls what Logins are needed for.
const localAccounts = "local accounts"

var errNoLocalAccounts = problem.NotConfigured("this server has no accounts of its own; PATCHBAY_LOCAL_ACCOUNTS switches them on")

// LogIn is POST /api/v2/auth/token.
func (s *server) LogIn(ctx context.Context, r LogInRequestObject) (LogInResponseObject, error) {
	t, err := s.logins.LogIn(ctx, r.Body.Email, r.Body.Password, addressIn(ctx))
	if err != nil {
		return nil, err
	}
	audited(ctx, t.Login.UserID)
	return LogIn200JSONResponse(tokensOf(t)), nil
}

// RefreshSession is POST /api/v2/auth/refresh.
func (s *server) RefreshSession(ctx context.Context, r RefreshSessionRequestObject) (RefreshSessionResponseObject, error) {
	t, err := s.logins.Refresh(ctx, r.Body.RefreshToken)
	if err != nil {
		return nil, err
	}
	audited(ctx, t.Login.UserID)
	return RefreshSession200JSONResponse(tokensOf(t)), nil
}

// LogOut is POST /api/v2/auth/logout.
func (s *server) LogOut(ctx context.Context, r LogOutRequestObject) (LogOutResponseObject, error) {
	user, err := s.logins.LogOut(ctx, r.Body.RefreshToken)
	if err != nil {
		return nil, err
	}
	audited(ctx, user)
	return LogOut204Response{}, nil
}

// ChangePassword is PUT /api/v2/auth/password.
func (s *server) ChangePassword(ctx context.Context, r ChangePasswordRequestObject) (ChangePasswordResponseObject, error) {
	err := s.logins.ChangePassword(ctx, auth.From(ctx).UserID, r.Body.CurrentPassword, r.Body.NewPassword, addressIn(ctx))
	if err != nil {
		return nil, err
	}
	return ChangePassword204Response{}, nil
}

// ListAccounts is GET /api/v2/admin/accounts.
func (s *server) ListAccounts(ctx context.Context, r ListAccountsRequestObject) (ListAccountsResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PageSize)
	email := ""
	if r.Params.Email != nil {
		email = *r.Params.Email
	}
	list, total, err := s.logins.List(ctx, email, p.offset(), p.size)
	if err != nil {
		return nil, err
	}
	shown := make([]Account, len(list))
	for i := range list {
		shown[i] = accountOf(&list[i])
	}
	return ListAccounts200JSONResponse{Accounts: shown, Pagination: p.of(total)}, nil
}

// CreateAccount is POST /api/v2/admin/accounts.
func (s *server) CreateAccount(ctx context.Context, r CreateAccountRequestObject) (CreateAccountResponseObject, error) {
	login, err := s.logins.Create(ctx, r.Body.Email, r.Body.Password, r.Body.IsAdmin != nil && *r.Body.IsAdmin)
	if err != nil {
		return nil, err
	}
	audited(ctx, login.UserID)
	return CreateAccount201JSONResponse(accountOf(login)), nil
}

// UpdateAccount is PUT /api/v2/admin/accounts/{user_id}.
func (s *server) UpdateAccount(ctx context.Context, r UpdateAccountRequestObject) (UpdateAccountResponseObject, error) {
	login, err := s.logins.Change(ctx, auth.UserID(r.UserId), account.LoginChange{Password: r.Body.Password, Admin: r.Body.IsAdmin, Disabled: r.Body.IsDisabled})
	if err != nil {
		return nil, err
	}
	return UpdateAccount200JSONResponse(accountOf(login)), nil
}

func accountOf(l *account.Login) Account {
	return Account{Id: l.UserID, Email: l.Email, IsAdmin: l.Admin, IsDisabled: l.Disabled, CreatedAt: l.CreatedAt.UTC()}
}

func tokensOf(t *account.Tokens) Tokens {
	return Tokens{
		AccessToken: t.Access, TokenType: Bearer, ExpiresIn: int(time.Until(t.ExpiresAt).Round(time.Second).Seconds()),
		ExpiresAt: t.ExpiresAt.Unix(), RefreshToken: t.Refresh, User: accountOf(&t.Login),
	}
}
