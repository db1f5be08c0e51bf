package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/patchbay-io/patchbay/sdk"
)

// wikipediaURL is the setting of where Wikipedia is.
const wikipediaURL = "wikipedia_url"

type wikipediaSummaryInput struct {
	Topic string `json:"topic" required:"true" doc:"Title of the article"`
}

var wikipediaSummary = sdk.Block[wikipediaSummaryInput]{
	ID:          "f5b0f5d0-1862-4d61-94be-3ad0fa772760",
	Name:        "Get Wikipedia Summary",
	Description: "Looks a topic up in Wikipedia and gives the beginning of the article",
	Categories:  []string{"SEARCH"},
	Outputs:     sdk.Outputs{sdk.Out("summary", sdk.String("The article's summary"))},
	Run: func(ctx context.Context, in wikipediaSummaryInput, out sdk.Emitter) error {
		// The API of summaries: https://en.wikipedia.org/api/rest_v1/#/Page%20content/get_page_summary__title_
		title := url.PathEscape(strings.ReplaceAll(strings.TrimSpace(in.Topic), " ", "_"))
		address, err := parseURL(strings.TrimRight(sdk.Setting(ctx, wikipediaURL), "/") + "/api/rest_v1/page/summary/" + title)
		if err != nil {
			return err
		}
		r := request{method: http.MethodGet, url: address, headers: http.Header{"Accept": {"application/json"}}}
		content, err := r.fetch(ctx, maxAnswer)
		if err != nil {
			return err
		}
		var page struct {
			Extract *string `json:"extract"`
		}
		if err := json.Unmarshal(content, &page); err != nil || page.Extract == nil {
			return sdk.InvalidInput("Wikipedia has no summary of %q", in.Topic)
		}
		return out.Emit("summary", *page.Extract)
	},
	Examples: []sdk.Example{{
		Input:  `{"topic": "Patch bay"}`,
		Output: `{"summary": ["A patch bay is a panel of sockets that connect devices."]}`,
	}},
}
