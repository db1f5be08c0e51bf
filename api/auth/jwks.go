package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/hashicorp/go-hclog"
)

const (
	// fresh is how long keys are used before they are fetched again, which happens beside the requests.
	fresh = 10 * time.Minute
	// pause is the least time between two fetches, whoever sends tokens with whatever ids of keys.
	pause = 10 * time.Second
	// fetching bounds one fetch, and maxKeys the bytes of what comes.
	fetching = 5 * time.Second
	maxKeys  = 1 << 20
	// minRSA is the least length of an RSA key in bits.
	minRSA = 2048
)

// errNoKey is an identity provider that has no such key.
var errNoKey = errors.New("no such key")

// asymmetric are the algorithms of the identity provider's tokens, each with the only kind of key that it may be checked
// with.
var asymmetric = map[string]func(key any) bool{
	"ES256": func(key any) bool { k, ok := key.(*ecdsa.PublicKey); return ok && k.Curve == elliptic.P256() },
	"RS256": func(key any) bool { k, ok := key.(*rsa.PublicKey); return ok && k.N.BitLen() >= minRSA },
	"EdDSA": func(key any) bool { _, ok := key.(ed25519.PublicKey); return ok },
}

// keySet is the identity provider's keys as they were when they could last be fetched. keyfunc, which would go with the
// parser of its keys, holds up requests with unknown keys until it may fetch, and refuses those that come while it does.
type keySet struct {
	url    string
	log    hclog.Logger
	client *http.Client
	now    func() time.Time
	ctx    context.Context // of fetches
	stop   context.CancelFunc
	group  sync.WaitGroup

	mu      sync.Mutex
	keys    []jwkset.JWK
	fetched time.Time     // when keys were; zero is never
	tried   time.Time     // when they were last asked for
	running chan struct{} // closed at the end of the fetch that goes on
	failure error         // of the last fetch
	closed  bool
}

func newKeySet(url string, log hclog.Logger, now func() time.Time) *keySet {
	ctx, stop := context.WithCancel(context.Background())
	return &keySet{url: url, log: log, client: &http.Client{Timeout: fetching}, now: now, ctx: ctx, stop: stop}
}

// close ends fetches and waits for them.
func (s *keySet) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.group.Wait()
	s.client.CloseIdleConnections()
}

// find gives the key for tokens of an algorithm that name it. Unknown ones may be new: they wait for a fetch, if one is
// allowed now.
func (s *keySet) find(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
	key, stale := s.known(kid, alg)
	switch {
	case key != nil && stale:
		s.fetch() // nobody waits for it
		return key, nil
	case key != nil:
		return key, nil
	case kid == "":
		return nil, errNoKey
	}
	if done := s.fetch(); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if key, _ := s.known(kid, alg); key != nil {
			return key, nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return nil, fmt.Errorf("%w: fetch the keys of tokens: %w", ErrUnchecked, s.failure)
	}
	return nil, errNoKey
}

// known looks among the keys that are there, and says whether they are old.
func (s *keySet) known(kid, alg string) (crypto.PublicKey, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		m := k.Marshal()
		if m.KID != kid || m.ALG != "" && string(m.ALG) != alg || m.USE != "" && m.USE != jwkset.UseSig {
			continue
		}
		key := k.Key()
		if private, ok := key.(crypto.Signer); ok {
			key = private.Public()
		}
		if asymmetric[alg](key) {
			return key, s.now().Sub(s.fetched) > fresh
		}
	}
	return nil, false
}

// fetch asks for the keys, together with whoever else asks now; nil where it is too early to ask again.
func (s *keySet) fetch() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.running != nil {
		return s.running
	}
	if s.closed || now.Sub(s.tried) < pause {
		return nil
	}
	done := make(chan struct{})
	s.tried, s.running = now, done
	s.group.Go(func() {
		defer close(done)
		keys, err := s.download()
		if err != nil && s.ctx.Err() == nil {
			s.log.Warn("keys of tokens could not be fetched; those that are known go on to count", "url", s.url, "error", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running, s.failure = nil, err
		if err == nil {
			s.keys, s.fetched = keys, now
		}
	})
	return done
}

func (s *keySet) download() ([]jwkset.JWK, error) {
	request, err := http.NewRequestWithContext(s.ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxKeys+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxKeys {
		return nil, fmt.Errorf("the answer has more than %d bytes", maxKeys)
	}
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("the answer is no set of keys: %w", err)
	}
	keys := []jwkset.JWK{}
	for _, m := range set.Keys {
		// A key of a kind that is not known here, or a broken one, takes nothing from the others.
		if key, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{}); err == nil {
			keys = append(keys, key)
		}
	}
	return keys, nil
}
