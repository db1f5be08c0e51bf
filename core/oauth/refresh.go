package oauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// ErrNotRefreshable is a credential that nothing can be got for.
var ErrNotRefreshable = errors.New("the integration has no refresh token")

// Open gives a credential with its secret, refreshed if it would soon end. It is the vault's Open for whoever uses
// tokens. A credential that its user must authorise again is a *credential.NeedsReauthorization.
func (s *Service) Open(ctx context.Context, user, id string) (*credential.Credential, *credential.Secret, error) {
	c, secret, err := s.Vault.Open(ctx, user, id)
	if err != nil || c.Type != credential.OAuth2 {
		return c, secret, err
	}
	if c.Reauthorize != "" {
		return nil, nil, needsReauthorization(c, c.Reauthorize)
	}
	if !due(c, secret, time.Now()) {
		return c, secret, nil
	}
	expired := time.Until(*c.ExpiresAt) <= 0
	if secret.RefreshToken == "" {
		if !expired {
			return c, secret, nil
		}
		const why = "its token has expired, and the provider gave none to refresh it with"
		if err := s.Vault.RefreshRefused(ctx, c, "", why); err != nil {
			return nil, nil, err
		}
		return nil, nil, needsReauthorization(c, why)
	}
	if err := s.refresh(ctx, c, secret); err != nil {
		if _, down := errors.AsType[*Upstream](err); down && !expired {
			s.log.Warn("a token could not be refreshed and is used to its end", "credential", c.ID, "provider", c.Provider, "error", err)
			return c, secret, nil
		}
		return nil, nil, err
	}
	return s.Vault.Open(ctx, user, id)
}

// due says that a token is to be refreshed before it is used. One that was refreshed and does not live long has first to
// spend half of its life, or every use would refresh it again.
func due(c *credential.Credential, secret *credential.Secret, now time.Time) bool {
	if c.ExpiresAt == nil {
		return false
	}
	before := early
	if secret.RefreshedAt != 0 {
		before = min(before, c.ExpiresAt.Sub(time.Unix(secret.RefreshedAt, 0))/2)
	}
	return c.ExpiresAt.Sub(now) < before
}

// Refresh refreshes a credential now.
func (s *Service) Refresh(ctx context.Context, user, id string) (*credential.Credential, error) {
	c, secret, err := s.Vault.Open(ctx, user, id)
	if err != nil {
		return nil, err
	}
	if c.Type != credential.OAuth2 || secret.RefreshToken == "" {
		return nil, ErrNotRefreshable
	}
	if _, err := s.provider(c.Provider); err != nil {
		return nil, err
	}
	if err := s.refresh(ctx, c, secret); err != nil {
		return nil, err
	}
	return s.Vault.Find(ctx, user, id)
}

func needsReauthorization(c *credential.Credential, why string) error {
	return &credential.NeedsReauthorization{ID: c.ID, Provider: c.Provider, Title: c.Title, Reason: why}
}

// refresh returns when the credential has another token than the one that was seen. Whoever asks in this server
// meanwhile waits for the same answer, and other servers for its end. What was begun goes on when nobody waits any more.
func (s *Service) refresh(ctx context.Context, c *credential.Credential, seen *credential.Secret) error {
	done := s.flights.DoChan(c.ID, func() (any, error) {
		if !s.begin() {
			return nil, errStopping
		}
		defer s.going.Done()
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(s.life, func() { time.AfterFunc(storing, cancel) })()
		return nil, s.refreshOnce(ctx, c, seen)
	})
	select {
	case result := <-done:
		return result.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// storing is how long after the end of the service tokens may still be stored.
const storing = 5 * time.Second

var errStopping = &Upstream{"the server is stopping"}

// begin says that something may begin which Close waits for; going.Done ends it.
func (s *Service) begin() bool {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.life.Err() != nil {
		return false
	}
	s.going.Add(1)
	return true
}

// renewing renews what has been claimed, time and again, until stop is called.
func (s *Service) renewing(ctx context.Context, renew func(ctx context.Context)) (stop func()) {
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(s.lease / 4)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				renew(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		end()
		<-done
	}
}

// Pauses between looks at what another server does.
const (
	firstLook = 50 * time.Millisecond
	lastLook  = 500 * time.Millisecond
)

func (s *Service) refreshOnce(ctx context.Context, c *credential.Credential, seen *credential.Secret) error {
	attempt := uuid.New()
	deadline := time.Now().Add(3 * s.asking)
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		claimed, cutOff, err := s.claim(ctx, c.ID, attempt)
		if err != nil {
			return err
		}
		now, secret, err := s.Vault.Open(ctx, c.UserID, c.ID)
		fresh := err == nil && secret.AccessToken != seen.AccessToken
		if claimed {
			if err == nil && !fresh {
				stop := s.renewing(ctx, func(ctx context.Context) { s.keepClaim(ctx, c.ID, attempt) })
				err = s.exchange(ctx, now, secret, cutOff)
				stop()
			}
			if err := s.release(context.WithoutCancel(ctx), c.ID, attempt); err != nil {
				s.log.Warn("a refresh could not be ended; others wait for the end of its time", "credential", c.ID, "error", err)
			}
			return err
		}
		switch {
		case err != nil:
			return err
		case fresh:
			return nil
		case now.Reauthorize != "":
			return needsReauthorization(now, now.Reauthorize)
		case time.Now().After(deadline):
			return &Upstream{"another server is refreshing the token and does not come to an end"}
		}
		select {
		case <-time.After(pause):
		case <-s.life.Done():
			return errStopping
		}
	}
}

// exchange asks for new tokens and stores them. From the provider's answer to the commit nothing else is done, and an
// outage of the database is waited for: of a refresh token that is spent the next one must not be lost. What is left is
// the death of this process just then. The next attempt then tries the old token, which many providers accept for that
// very reason; if this one does not, the user has to authorise again.
func (s *Service) exchange(ctx context.Context, c *credential.Credential, old *credential.Secret, cutOff bool) error {
	result, err := s.ask(ctx, c.UserID, &proto.ProviderCall{Provider: c.Provider, Operation: &proto.ProviderCall_RefreshToken{
		RefreshToken: &proto.RefreshToken{RefreshToken: old.RefreshToken, Scopes: c.Scopes},
	}})
	if refused, ok := errors.AsType[*Refused](err); ok {
		why := refused.Message
		if cutOff {
			why += " (an earlier refresh was cut off, and its answer with it)"
		}
		s.log.Warn("a provider refuses to refresh", "credential", c.ID, "provider", c.Provider, "error", why)
		if err := s.Vault.RefreshRefused(ctx, c, old.RefreshToken, why); err != nil {
			return err
		}
		return needsReauthorization(c, why)
	}
	if err != nil {
		return err
	}
	t := result.GetTokens()
	next := *c
	next.ExpiresAt, next.Reauthorize = at(t.GetExpiresAt()), ""
	if scopes := plainScopes(t.GetScopes()); len(scopes) > 0 {
		next.Scopes = scopes
	}
	_, err = postgres.Lasting(ctx, func() (struct{}, error) {
		return struct{}{}, s.Vault.Refreshed(ctx, &next, old.RefreshToken, secretOf(t, old))
	})
	if err != nil {
		return fmt.Errorf("store refreshed tokens: %w", err)
	}
	s.log.Debug("refreshed a token", "credential", c.ID, "provider", c.Provider)
	return nil
}

// Revoke asks the provider of a credential to make it worthless. It is a credential.Revoker.
func (s *Service) Revoke(ctx context.Context, c *credential.Credential, secret *credential.Secret) (bool, error) {
	p, err := s.provider(c.Provider)
	if err != nil || !p.OAuth.Revokes {
		return false, err
	}
	result, err := s.ask(ctx, c.UserID, &proto.ProviderCall{Provider: c.Provider, Operation: &proto.ProviderCall_RevokeToken{
		RevokeToken: &proto.RevokeToken{AccessToken: secret.AccessToken, RefreshToken: secret.RefreshToken},
	}})
	return result.GetRevoked(), err
}
