package account

import (
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Issuer is the iss of tokens that are signed here.
const Issuer = "patchbay"

// Claims are what a token says of its owner.
type Claims struct {
	UserID  string
	Email   string // taken for verified: whoever has the secret vouches for it
	Role    string
	Session string // empty: the token stands for itself
}

// Signer signs tokens, in the form that Supabase gives them.
type Signer struct {
	Secret   []byte // of HS256
	Audience string
}

// Sign makes a token for someone.
func (s Signer) Sign(who Claims, from, until time.Time) (string, error) {
	claims := jwt.MapClaims{
		"iss": Issuer, "sub": who.UserID, "aud": s.Audience, "role": who.Role, "iat": from.Unix(), "exp": until.Unix(),
	}
	if who.Email != "" {
		claims["email"], claims["email_verified"] = who.Email, true
	}
	if who.Session != "" {
		claims["session_id"] = who.Session
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(s.Secret)
	if err != nil {
		return "", fmt.Errorf("sign the token: %w", err)
	}
	return token, nil
}
