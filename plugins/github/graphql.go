package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// graphQL asks the part of the API that speaks GraphQL, for what the rest lacks. It lies below the rest's address, at
// GitHub Enterprise beside it.
func (c *client) graphQL(ctx context.Context, query string, variables map[string]any, into any) error {
	address := c.BaseURL.String() + "graphql"
	if enterprise, ok := strings.CutSuffix(c.BaseURL.String(), "/api/v3/"); ok {
		address = enterprise + "/api/graphql"
	}
	request, err := c.NewRequest(http.MethodPost, address, map[string]any{"query": query, "variables": variables})
	if err != nil {
		return err
	}
	var answer struct {
		Data   json.RawMessage `json:"data"`
		Errors []struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	response, err := c.Do(ctx, request, &answer)
	if err != nil {
		return err
	}
	if len(answer.Errors) == 0 {
		if len(answer.Data) == 0 {
			return errors.New("GitHub's answer has no data")
		}
		return json.Unmarshal(answer.Data, into)
	}
	// Such answers have the status 200; theirs is that of the first error.
	refused := &refusal{status: graphQLStatus[answer.Errors[0].Type]}
	if refused.status == 0 {
		refused.status = http.StatusUnprocessableEntity
	}
	for _, e := range answer.Errors {
		refused.message += "; " + e.Message
	}
	if refused.status == http.StatusTooManyRequests && !response.Rate.Reset.IsZero() {
		refused.after = max(time.Until(response.Rate.Reset.Time), 0)
	}
	return refused
}

// graphQLStatus has the statuses that the rest of the API would answer with.
var graphQLStatus = map[string]int{
	"NOT_FOUND":           http.StatusNotFound,
	"FORBIDDEN":           http.StatusForbidden,
	"INSUFFICIENT_SCOPES": http.StatusForbidden,
	"RATE_LIMITED":        http.StatusTooManyRequests,
	"INTERNAL":            http.StatusInternalServerError,
}

// pageInfo says how a list goes on.
type pageInfo struct {
	HasNextPage bool   `json:"hasNextPage"`
	EndCursor   string `json:"endCursor"`
}

// more prepares the variables for the next page, if there is one.
func (p pageInfo) more(variables map[string]any) bool {
	variables["after"] = p.EndCursor
	return p.HasNextPage && p.EndCursor != ""
}
