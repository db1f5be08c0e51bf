package apitest

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

const document = `
openapi: 3.0.3
info: {title: T, version: "1"}
paths:
  /things/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses:
        "200":
          description: A thing.
          content:
            application/json:
              schema:
                allOf:
                  - {type: object, required: [id], properties: {id: {type: string}}}
                  - {type: object, properties: {parts: {type: array, items: {type: object, properties: {n: {type: number}}}}}}
        "204": {description: None.}
`

// A checker that lets everything through would be worth nothing.
func TestCheck(t *testing.T) {
	t.Parallel()
	c, err := New([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	json := http.Header{"Content-Type": {"application/json"}}
	for _, one := range []struct {
		status int
		header http.Header
		body   string
		good   bool
	}{
		{200, json, `{"id":"a","parts":[{"n":1e400},{}]}`, true},
		{204, nil, "", true},
		{200, json, `{"parts":[]}`, false},
		{200, json, `{"id":"a","more":1}`, false},
		{200, json, `{"id":"a","parts":[{"n":1,"more":1}]}`, false},
		{200, json, `{"id":"a"}{}`, false},
		{200, http.Header{"Content-Type": {"text/plain"}}, `{"id":"a"}`, false},
		{204, nil, "x", false},
		{404, json, "{}", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://any.example/things/a%2Fb", nil)
		if err := c.Check(r, one.status, one.header, []byte(one.body)); (err == nil) != one.good {
			t.Errorf("%d %s: %v", one.status, one.body, err)
		}
	}
	if err := c.Check(httptest.NewRequest(http.MethodGet, "/others", nil), 200, json, []byte("{}")); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown path: %v", err)
	}
}
