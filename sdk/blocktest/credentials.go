package blocktest

import "github.com/patchbay-io/patchbay/sdk/proto"

// OAuth2 makes credentials for a pin of a block under test, for sdk.WithCredentials and Request.Credentials.
func OAuth2(pin, provider, accessToken string, scopes ...string) *proto.Credential {
	c := credential(pin, provider)
	c.Secret = &proto.Credential_Oauth2{Oauth2: &proto.OAuth2Secret{AccessToken: accessToken, Scopes: scopes}}
	return c
}

// APIKey makes credentials for a pin of a block under test.
func APIKey(pin, provider, key string) *proto.Credential {
	c := credential(pin, provider)
	c.Secret = &proto.Credential_ApiKey{ApiKey: &proto.ApiKeySecret{Key: key}}
	return c
}

// UserPassword makes credentials for a pin of a block under test.
func UserPassword(pin, provider, username, password string) *proto.Credential {
	c := credential(pin, provider)
	c.Secret = &proto.Credential_UserPassword{UserPassword: &proto.UserPasswordSecret{Username: username, Password: password}}
	return c
}

// HostScoped makes credentials for a pin of a block under test: headers for the requests to a host.
func HostScoped(pin, provider, host string, headers map[string]string) *proto.Credential {
	c := credential(pin, provider)
	c.Secret = &proto.Credential_HostScoped{HostScoped: &proto.HostScopedSecret{Host: host, Headers: headers}}
	return c
}

func credential(pin, provider string) *proto.Credential {
	return &proto.Credential{Pin: pin, Id: "00000000-0000-4000-8000-0000000000c1", Provider: provider, Title: "of the test"}
}
