package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/patchbay-io/patchbay/sdk"
)

type keyIn struct {
	In          json.RawMessage `json:"in"`
	Credentials sdk.APIKey      `json:"credentials" providers:"a"`
}

type maybeIn struct {
	In          json.RawMessage `json:"in"`
	Credentials sdk.Credential  `json:"credentials" providers:"a,b" types:"api_key,oauth2" scopes:"repo" optional:"true"`
}

type scopedIn struct {
	Credentials sdk.OAuth2 `json:"credentials" providers:"a" scopes:"repo,user"`
}

type modelIn struct {
	Model       string     `json:"model" default:"one" enum:"one,two"`
	Credentials sdk.APIKey `json:"credentials" providers:"a,b" discriminator:"model" discriminator_mapping:"one=a,two=b"`
}

type siteIn struct {
	URL         string         `json:"url" required:"true"`
	Credentials sdk.HostScoped `json:"credentials" providers:"http" discriminator:"url"`
}

type pickedIn struct {
	File        map[string]any `json:"file" required:"true"`
	Credentials sdk.OAuth2     `json:"credentials" providers:"a" scopes:"repo" inside:"file"`
}

func withCredentials() []sdk.Definition {
	return sdk.Blocks(
		sdk.Block[keyIn]{ID: id(33), Name: "KEY", Outputs: outs("out"), Run: func(_ context.Context, in keyIn, out sdk.Emitter) error {
			return out.Emit("out", digest(in.Credentials.Key()))
		}},
		sdk.Block[maybeIn]{ID: id(34), Name: "MAYBE", Outputs: outs("out"), Run: func(_ context.Context, in maybeIn, out sdk.Emitter) error {
			if !in.Credentials.Given() {
				return out.Emit("out", "none")
			}
			return out.Emit("out", digest(in.Credentials.Bearer()))
		}},
		sdk.Block[scopedIn]{ID: id(35), Name: "SCOPED", Outputs: outs("out"), Run: func(_ context.Context, in scopedIn, out sdk.Emitter) error {
			return out.Emit("out", digest(in.Credentials.AccessToken()))
		}},
		sdk.Block[modelIn]{ID: id(36), Name: "MODEL", Outputs: outs("out"), Run: func(_ context.Context, in modelIn, out sdk.Emitter) error {
			return out.Emit("out", digest(in.Credentials.Key()))
		}},
		sdk.Block[siteIn]{ID: id(37), Name: "SITE", Outputs: outs("out"), Run: func(_ context.Context, in siteIn, out sdk.Emitter) error {
			return out.Emit("out", digest(in.Credentials.Headers()["X-Key"]))
		}},
		sdk.Block[keyIn]{ID: id(38), Name: "LEAK", Outputs: outs("out"), Run: leak},
		sdk.Block[pickedIn]{ID: id(39), Name: "PICKED", Outputs: outs("out", "file"), Run: func(_ context.Context, in pickedIn, out sdk.Emitter) error {
			if err := out.Emit("out", digest(in.Credentials.AccessToken())); err != nil {
				return err
			}
			return out.Emit("file", in.File)
		}},
	)
}

// digest shows that a block had a secret, without showing the secret.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:8])
}

// leak tells its secret wherever people might read it.
func leak(ctx context.Context, in keyIn, out sdk.Emitter) error {
	key := in.Credentials.Key()
	fmt.Fprintln(os.Stderr, "stderr", key, in)
	fmt.Println("stdout", key)
	sdk.Logger(ctx).Debug("log "+key, "credentials", in.Credentials, "key", key)
	out.Progress(sdk.Progress{Text: "progress " + key})
	if err := out.Emit("out", in); err != nil { // as its reference
		return err
	}
	return errors.New("error " + key)
}
