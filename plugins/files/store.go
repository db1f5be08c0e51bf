package main

import (
	"context"
	"encoding/base64"
	"io"
	"strings"

	"github.com/patchbay-io/patchbay/sdk"
)

// maxFile bounds in bytes what these blocks hold in memory of one file.
const maxFile = 32 << 20

type storeFileInput struct {
	File   string `json:"file_in" format:"file" required:"true" doc:"File to store: a stored file, a URL or a data URI"`
	Base64 bool   `json:"base_64" default:"false" advanced:"true" title:"Produce Base64 Output" doc:"Give the file itself, as a data URI, in place of a reference to it"`
}

var storeFile = sdk.Block[storeFileInput]{
	ID:           "cbb50872-625b-42f0-8203-a2ae78242d8a",
	Name:         "File Store",
	Description:  "Stores a file, so that other blocks can use it",
	Categories:   []string{"BASIC", "MULTIMEDIA"},
	StaticOutput: true,
	Outputs: sdk.Outputs{
		sdk.Out("file_out", sdk.Schema(`{"type":"string","format":"file","description":"A reference to the stored file, or the file as a data URI"}`)),
	},
	Run: func(ctx context.Context, in storeFileInput, out sdk.Emitter) error {
		file, err := sdk.OpenFile(ctx, in.File)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		if in.Base64 {
			content, err := readAll(file)
			if err != nil {
				return err
			}
			return out.Emit("file_out", "data:"+file.MediaType+";base64,"+base64.StdEncoding.EncodeToString(content))
		}
		reference, err := sdk.StoreFile(ctx, file.Name, file.MediaType, file)
		if err != nil {
			return err
		}
		return out.Emit("file_out", reference)
	},
	Examples: []sdk.Example{{
		Input:  `{"file_in": "data:text/plain,Hello", "base_64": true}`,
		Output: `{"file_out": ["data:text/plain;base64,SGVsbG8="]}`,
	}},
}

// contentOf reads a file whole.
func contentOf(ctx context.Context, reference string) ([]byte, error) {
	file, err := sdk.OpenFile(ctx, strings.TrimSpace(reference))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return readAll(file)
}

func readAll(file io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFile {
		return nil, sdk.InvalidInput("the file is larger than %d MiB", maxFile>>20)
	}
	return content, nil
}
