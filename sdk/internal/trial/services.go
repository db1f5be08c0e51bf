package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
)

type ask struct {
	N   int    `json:"n" doc:"Keys set and read at once"`
	URL string `json:"url" doc:"Echoes what is posted to it"`
}

// services uses all that a host offers.
var services = sdk.Block[ask]{
	ID: "5d6a36fe-6a64-4c7c-8b9c-000000000007", Name: "Services", Outputs: output,
	Run: func(ctx context.Context, in ask, out sdk.Emitter) error {
		keys := sdk.Keys(sdk.AgentKeys)
		failures := make(chan error, in.N)
		var all sync.WaitGroup
		for i := range in.N {
			all.Go(func() { failures <- keep(ctx, keys, fmt.Sprint("key ", i)) })
		}
		all.Wait()
		for range in.N {
			if err := <-failures; err != nil {
				return err
			}
		}
		at, err := sdk.Deadline(ctx, time.Hour)
		if err != nil {
			return err
		}
		if err := out.Emit("output", at); err != nil {
			return err
		}
		content := strings.Repeat("0123456789", 200_000)
		ref, err := sdk.StoreFile(ctx, "digits.txt", "text/plain", strings.NewReader(content))
		if err != nil {
			return err
		}
		file, err := sdk.OpenFile(ctx, ref)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, in.URL, file)
		if err != nil {
			return err
		}
		response, err := sdk.HTTPClient(ctx).Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		return out.Emit("output", []any{file.Name, file.MediaType, file.Size, response.StatusCode, sha256.Sum256(body) == sha256.Sum256([]byte(content))})
	},
}

// keep sets a key, and reads it.
func keep(ctx context.Context, keys sdk.KeyStore, key string) error {
	if err := keys.Set(ctx, key, key); err != nil {
		return err
	}
	got, ok, err := keys.Get(ctx, key)
	if err != nil {
		return err
	}
	if want, _ := json.Marshal(key); !ok || string(got) != string(want) {
		return fmt.Errorf("%s is %s", key, got)
	}
	return nil
}
