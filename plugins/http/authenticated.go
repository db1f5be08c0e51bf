package main

import (
	"context"

	"github.com/patchbay-io/patchbay/sdk"
)

type authenticatedInput struct {
	requestInput
	Credentials sdk.HostScoped `json:"credentials" providers:"http" discriminator:"url" doc:"Headers for the host; requests to another one go without them"`
}

var sendAuthenticated = sdk.Block[authenticatedInput]{
	ID:   "fff86bcd-e001-4bad-a7f6-2eae4720c8dc",
	Name: "Send Authenticated Web Request",
	Description: "Makes an HTTP request with the headers that the user has stored for its host, and gives the answer. Headers of the " +
		"same name in the input win",
	Categories: []string{"OUTPUT"},
	Outputs:    responses,
	Run: func(ctx context.Context, in authenticatedInput, out sdk.Emitter) error {
		request, err := in.request()
		if err != nil {
			return err
		}
		if in.Credentials.Matches(request.url) {
			for name, secret := range in.Credentials.Headers() {
				if request.headers.Get(name) == "" {
					request.headers.Set(name, secret)
				}
			}
		} else {
			sdk.Logger(ctx).Warn("a request goes without the credentials, which are for another host", "host", request.url.Host, "credentials", in.Credentials.Host())
		}
		return request.send(ctx, out)
	},
	Examples: []sdk.Example{{
		Input:  `{"url": "https://api.example.com/me", "method": "GET"}`,
		Output: `{"response": [{"name": "Ada"}]}`,
	}},
}
