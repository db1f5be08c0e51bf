package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

func TestBodies(t *testing.T) {
	t.Parallel()
	echo := serve(t, func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s|%s|%s|%d", r.Method, r.Header.Get("X-A"), r.Header.Get("Content-Type"), content, r.ContentLength)
	})
	for input, want := range map[string]string{
		`"body": {"b": 12345678901234567890, "a": "<é>"}`: `POST |application/json|{"b": 12345678901234567890, "a": "<é>"}|40`,
		`"body": [1, 2]`:         `POST |application/json|[1, 2]|6`,
		`"body": "{\"a\": 1}"`:   `POST |application/json|{"a": 1}|8`,
		`"body": "plain <text>"`: `POST |text/plain; charset=utf-8|plain <text>|12`,
		`"body": "<a/>", "headers": {"content-type": "text/xml"}`:                                        `POST |text/xml|<a/>|4`,
		`"body": {"a": 1}, "headers": {"Content-Type": "a/b+json"}`:                                      `POST |a/b+json|{"a": 1}|8`,
		`"body": {"a": "1 2", "b": [1, true, null]}, "json_format": false`:                               `POST |application/x-www-form-urlencoded|a=1+2&b=1&b=true&b=|19`,
		`"body": "{\"a\": 1}", "json_format": false`:                                                     `POST |application/x-www-form-urlencoded|a=1|3`,
		`"body": "{\"a\": 1}", "json_format": false, "headers": {"Content-Type": "application/x-thing"}`: `POST |application/x-thing|{"a": 1}|8`,
		`"body": "a=b", "json_format": false`:                                                            `POST |text/plain; charset=utf-8|a=b|3`,
		`"method": "GET", "headers": {"X-A": "v"}`:                                                       `GET v|||0`,
		`"method": "DELETE", "body": {}`:                                                                 `DELETE |application/json|{}|2`,
		`"body": null`:                                                                                   `POST |||0`,
		`"body": ""`:                                                                                     `POST |text/plain; charset=utf-8||0`,
	} {
		got, err := run(t, &blocktest.Host{}, sendWebRequest, `{"url": "`+echo+`", `+input+`}`)
		if err != nil {
			t.Errorf("%s: %v", input, err)
			continue
		}
		expect(t, input, got, sdk.Value{Pin: "response", Value: quoted(want)})
	}
}

func TestMultipart(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("0123456789", 100<<10)
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || kind != "multipart/form-data" {
			t.Errorf("the form has the type %q", r.Header.Get("Content-Type"))
			return
		}
		form := multipart.NewReader(r.Body, parameters["boundary"])
		for {
			part, err := form.NextPart()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			content, _ := io.ReadAll(part)
			fmt.Fprintf(w, "%s,%s,%s,%d|", part.FormName(), part.FileName(), part.Header.Get("Content-Type"), len(content))
		}
	})
	host := &blocktest.Host{}
	stored := host.AddFile(blocktest.StoredFile{Name: `a"é.txt`, MediaType: "text/csv", Data: []byte(large)})
	for input, want := range map[string]string{
		`"body": {"k": "v", "l": [1, 2]}, "files": ["` + stored + `", "data:,x"], "files_name": "upload"`: `k,,,1|l,,,1|l,,,1|upload,a"é.txt,text/csv,1024000|upload,data,text/plain,1|`,
		`"files": ["data:;base64,AAEC"]`:                                         `file,data,text/plain,3|`,
		`"body": {"k": "v"}, "headers": {"Content-Type": "multipart/form-data"}`: `k,,,1|`,
	} {
		got, err := run(t, host, sendWebRequest, `{"url": "`+address+`", "json_format": false, `+input+`}`)
		if err != nil {
			t.Errorf("%s: %v", input, err)
			continue
		}
		expect(t, input, got, sdk.Value{Pin: "response", Value: quoted(want)})
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		w.Header().Set("Content-Type", q.Get("type"))
		if d := q.Get("disposition"); d != "" {
			w.Header().Set("Content-Disposition", d)
		}
		status := 200
		_, _ = fmt.Sscan(q.Get("status"), &status)
		w.WriteHeader(status)
		fmt.Fprint(w, q.Get("body"))
	})
	for _, test := range []struct{ query, pin, want string }{
		{"type=application/json&body={\"b\":1,\"a\":18446744073709551616}", "response", `{"b":1,"a":18446744073709551616}`},
		{"type=application/problem%2Bjson&body=[1]&status=201", "response", `[1]`},
		{"type=application/json&body={broken", "response", `"{broken"`},
		{"type=application/json&status=204", "response", `null`},
		{"type=text/html%3Bcharset=iso-8859-1&body=%E9t%E9", "response", `"été"`},
		{"type=text/plain%3Bcharset=utf-8&body=a%FFb", "response", `"a` + "\uFFFD" + `b"`},
		{"type=&body=x", "response", `"x"`},
		{"type=application/json&status=404&body={\"e\":1}", "client_error", `{"e":1}`},
		{"type=image/png&status=400&body=no", "client_error", `"no"`},
		{"type=text/plain&status=500&body=oops", "server_error", `"oops"`},
		{"type=text/plain&status=304", "server_error", `null`},
	} {
		got, err := run(t, &blocktest.Host{}, sendWebRequest, `{"url": `+string(quoted(address+"/?"+test.query))+`}`)
		if err != nil {
			t.Errorf("%s: %v", test.query, err)
			continue
		}
		expect(t, test.query, got, sdk.Value{Pin: test.pin, Value: json.RawMessage(test.want)})
	}
	host := &blocktest.Host{}
	got, err := run(t, host, sendWebRequest, `{"method": "GET", "url": "`+address+`/a/b.png?type=image/png&body=%00%01"}`)
	var reference string
	if err != nil || len(got) != 1 || json.Unmarshal(got[0].Value, &reference) != nil {
		t.Fatal(got, err)
	}
	if f, ok := host.File(reference); !ok || f.Name != "b.png" || f.MediaType != "image/png" || string(f.Data) != "\x00\x01" {
		t.Errorf("the file is %v", f)
	}
}

func TestRequestsThatCannotBeMade(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{
		`"url": "ftp://a.example"`:                                                          "only http and https",
		`"url": "https://"`:                                                                 "names no host",
		`"url": "http://a b/"`:                                                              "cannot be read",
		`"url": "http://a.example", "headers": {"a b": "c"}`:                                `header "a b"`,
		`"url": "http://a.example", "headers": {"a": "secret\n"}`:                           `header "a"`,
		`"url": "http://a.example", "files": ["data:,x"]`:                                   "json_format",
		`"url": "http://a.example", "json_format": false, "body": [1]`:                      "json_format",
		`"url": "http://a.example", "json_format": false, "files": ["x"]`:                   "is no file",
		`"url": "http://a.example", "json_format": false, "files": ["data:,"], "body": "x"`: "dictionary",
	} {
		_, err := run(t, &blocktest.Host{}, sendWebRequest, `{`+input+`}`)
		var known *sdk.Error
		if !errors.As(err, &known) || known.Kind != proto.ErrorKind_ERROR_KIND_INVALID_INPUT || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", input, err)
		}
	}
	_, err := run(t, &blocktest.Host{}, sendWebRequest, `{"url": "http://`+closedAddress(t)+`"}`)
	var known *sdk.Error
	if !errors.As(err, &known) || known.Kind != proto.ErrorKind_ERROR_KIND_TEMPORARY {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestRequestsAreRepeatedWhereTheyMayBe(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := hits.Add(1)
		w.Header().Set("Retry-After", r.URL.Query().Get("after"))
		body, _ := io.ReadAll(r.Body)
		if n < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintf(w, "%d%s", n, body)
	})
	for _, test := range []struct {
		input string
		hits  int32
		want  sdk.Value
	}{
		{`"method": "PUT", "body": "x", "url": "` + address + `?after=0"`, 3, sdk.Value{Pin: "response", Value: quoted("3x")}},
		{`"method": "POST", "url": "` + address + `?after=0"`, 1, sdk.Value{Pin: "server_error", Value: quoted("1")}},
		{`"method": "GET", "url": "` + address + `?after=3600"`, 1, sdk.Value{Pin: "server_error", Value: quoted("1")}},
	} {
		hits.Store(0)
		got, err := run(t, &blocktest.Host{}, sendWebRequest, `{`+test.input+`}`)
		if err != nil || hits.Load() != test.hits {
			t.Errorf("%s: %v after %d requests", test.input, err, hits.Load())
		}
		expect(t, test.input, got, test.want)
	}
}

// closedAddress is one where nobody listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func expect(t *testing.T, what string, got []sdk.Value, want ...sdk.Value) {
	t.Helper()
	text := func(values []sdk.Value) (s string) {
		for _, v := range values {
			s += v.Pin + " = " + string(v.Value) + "\n"
		}
		return s
	}
	if text(got) != text(want) {
		t.Errorf("%s\ngot  %swant %s", what, text(got), text(want))
	}
}

// quoted is text as the SDK encodes it.
func quoted(text string) json.RawMessage {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text)
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n"))
}

func TestCredentialsGoToTheirHostAlone(t *testing.T) {
	t.Parallel()
	var elsewhere string
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		fmt.Fprintf(w, "%s,%s", r.Header.Get("X-Key"), r.Header.Get("X-Own"))
	})
	elsewhere = strings.Replace(address, "127.0.0.1", "localhost", 1)
	port := address[strings.LastIndex(address, ":"):]
	for _, test := range []struct{ pattern, url, headers, want string }{
		{"127.0.0.1" + port, address, `{}`, "s3cret,own"},
		{"127.0.0.1" + port, address, `{"x-key": "mine"}`, "mine,own"},
		{"127.0.0.1", address, `{}`, ","}, // another port
		{"localhost" + port, address, `{}`, ","},
		{"*.0.0.1" + port, address, `{}`, "s3cret,own"},
		{"127.0.0.1" + port, address + "/?to=" + address, `{}`, "s3cret,own"},
		{"127.0.0.1" + port, address + "/?to=" + elsewhere, `{}`, ","},
	} {
		ctx := sdk.WithHost(t.Context(), &blocktest.Host{Transport: http.DefaultTransport})
		ctx = sdk.WithCredentials(ctx, blocktest.HostScoped("credentials", "http", test.pattern, map[string]string{"X-Key": "s3cret", "X-Own": "own"}))
		got, err := blocktest.RunContext(ctx, t, sendAuthenticated, `{"method": "GET", "url": "`+test.url+`", "headers": `+test.headers+`}`)
		if err != nil {
			t.Errorf("%s for %s: %v", test.url, test.pattern, err)
		}
		expect(t, test.url+" for "+test.pattern, got, sdk.Value{Pin: "response", Value: quoted(test.want)})
	}
	_, err := run(t, &blocktest.Host{}, sendAuthenticated, `{"url": "`+address+`"}`)
	var known *sdk.Error
	if !errors.As(err, &known) || known.Kind != proto.ErrorKind_ERROR_KIND_AUTHENTICATION {
		t.Errorf("without credentials: %v", err)
	}
}

// A run that is cut off is repeated: services that know idempotency keys can tell.
func TestRequestsThatMayNotBeRepeatedSayWhoTheyAre(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("Idempotency-Key")) })
	ctx := sdk.WithHost(t.Context(), &blocktest.Host{Transport: http.DefaultTransport})
	ctx = sdk.WithRun(ctx, sdk.Run{IdempotencyKey: "k"})
	for input, want := range map[string]string{
		`"method": "POST"`: "k", `"method": "PATCH"`: "k", `"method": "PUT"`: "", `"method": "GET"`: "",
		`"method": "POST", "headers": {"idempotency-key": "mine"}`: "mine",
	} {
		got, err := blocktest.RunContext(ctx, t, sendWebRequest, `{"url": "`+address+`", `+input+`}`)
		if want == "" {
			expect(t, input, got, sdk.Value{Pin: "response", Value: json.RawMessage("null")})
		} else {
			expect(t, input, got, sdk.Value{Pin: "response", Value: quoted(want)})
		}
		if err != nil {
			t.Errorf("%s: %v", input, err)
		}
	}
}
