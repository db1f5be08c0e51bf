package account

import (
	"context"
	"fmt"
	"runtime"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
)

// Bounds of passwords, in characters and in bytes.
const (
	minPassword = 10
	maxPassword = 1024
)

// cost is what OWASP recommends for argon2id at the least: an attempt takes 19 MiB and some 30 ms of a core.
var cost = &argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// passwords hashes and compares, so few at once that nobody can take the memory of the server by logging in.
type passwords struct {
	slots chan struct{}
	decoy string // the hash of no password, for emails without an account
}

func newPasswords() (passwords, error) {
	decoy, err := argon2id.CreateHash(newSecret(), cost)
	if err != nil {
		return passwords{}, fmt.Errorf("hash passwords: %w", err)
	}
	return passwords{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), decoy: decoy}, nil
}

func (p passwords) hash(ctx context.Context, password string) (string, error) {
	release, err := p.slot(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	hash, err := argon2id.CreateHash(password, cost)
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	return hash, nil
}

func (p passwords) matches(ctx context.Context, password, hash string) (bool, error) {
	release, err := p.slot(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	matches, err := argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, fmt.Errorf("compare the password: %w", err)
	}
	return matches, nil
}

func (p passwords) slot(ctx context.Context) (func(), error) {
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func checkPassword(field, password string, wrong map[string]string) {
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		wrong[field] = fmt.Sprintf("must have at least %d characters", minPassword)
	case len(password) > maxPassword:
		wrong[field] = fmt.Sprintf("must have at most %d bytes", maxPassword)
	}
}
