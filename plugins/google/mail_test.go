package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

const hello = `{"id": "m1", "threadId": "t1", "labelIds": ["INBOX"], "snippet": "Hi", "sizeEstimate": 42, "payload": {"mimeType": "text/plain", "headers": [
	{"name": "From", "value": "Ada <ada@example.com>"}, {"name": "To", "value": "bob@example.com"}, {"name": "Subject", "value": "Hello"},
	{"name": "Date", "value": "Fri, 02 Jan 2026 03:04:05 +0000"}, {"name": "Message-Id", "value": "<1@example.com>"}], "body": {"size": 6, "data": "SGkgQm9i"}}}`

var mailRoutes = map[string]string{
	"GET /gmail/v1/users/me/messages":                   `{"messages": [{"id": "m1", "threadId": "t1"}], "resultSizeEstimate": 1}`,
	"GET /gmail/v1/users/me/messages/m1":                hello,
	"GET /gmail/v1/users/me/threads/t1":                 `{"id": "t1", "historyId": "7", "messages": [` + hello + `]}`,
	"GET /gmail/v1/users/me/profile":                    `{"emailAddress": "bob@example.com", "messagesTotal": 3, "threadsTotal": 2, "historyId": "7"}`,
	"GET /gmail/v1/users/me/labels":                     `{"labels": [{"id": "INBOX", "name": "INBOX"}, {"id": "Label_1", "name": "Work"}]}`,
	"POST /gmail/v1/users/me/labels":                    `{"id": "Label_2", "name": "New"}`,
	"POST /gmail/v1/users/me/messages/m1/modify":        `{"id": "m1"}`,
	"POST /gmail/v1/users/me/messages/send":             `{"id": "m9", "threadId": "t1", "labelIds": ["SENT"]}`,
	"POST /gmail/v1/users/me/drafts":                    `{"id": "d1", "message": {"id": "m9", "threadId": "t1"}}`,
	"GET /gmail/v1/users/me/messages/m2":                pages,
	"GET /gmail/v1/users/me/messages/m2/attachments/a1": `{"size": 3, "data": "MTIz"}`,
}

// pages is an email of HTML alone with an attachment.
const pages = `{"id": "m2", "threadId": "t2", "payload": {"mimeType": "multipart/mixed", "headers": [
	{"name": "From", "value": "=?utf-8?q?Ad=C3=A9?= <ada@example.com>"}, {"name": "To", "value": "bob@example.com, carol@example.com"}, {"name": "Cc", "value": "dan@example.com"},
	{"name": "Subject", "value": "=?utf-8?q?Caf=C3=A9?="}, {"name": "Message-ID", "value": "<2@example.com>"}, {"name": "References", "value": "<0@example.com>"}], "parts": [
	{"mimeType": "text/html", "body": {"size": 17, "data": "PGI-SGk8L2I-IEJvYg=="}},
	{"mimeType": "text/csv", "filename": "n.csv", "body": {"size": 3, "attachmentId": "a1"}}]}}`

func TestReadsMail(t *testing.T) {
	t.Parallel()
	g := newGoogle(t, map[string]string{"GET /gmail/v1/users/me/messages": `{"messages": [{"id": "m2"}, {"id": "gone"}], "nextPageToken": "p"}`})
	values, err := g.run(t, "Gmail Read", `{"query": "has:attachment", "max_results": 1}`)
	if err != nil {
		t.Fatal(err)
	}
	e := value(t, values, "email").(map[string]any)
	if e["body"] != "**Hi** Bob" || e["subject"] != "Café" || e["from_"] != "ada@example.com" || len(e["to"].([]any)) != 2 {
		t.Errorf("got %v", e)
	}
	if a := e["attachments"].([]any)[0].(map[string]any); a["filename"] != "n.csv" || a["attachment_id"] != "a1" || a["content_type"] != "text/csv" {
		t.Errorf("attachment %v", a)
	}
	if first := g.seen[0]; first.query != "maxResults=1&q=has%3Aattachment" {
		t.Errorf("asked %v", first)
	}
}

func TestReadsPages(t *testing.T) {
	t.Parallel()
	g := newGoogle(t, map[string]string{"GET /gmail/v1/users/me/messages": `{"messages": [{"id": "m1"}, {"id": "gone"}], "nextPageToken": "p"}`})
	values, err := g.run(t, "Gmail Read", `{"max_results": 2}`)
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, values, "emails").([]any); len(got) != 2 {
		t.Errorf("%d emails, want those of two pages: an email that is gone counts for nothing", len(got))
	}
	if second := g.seen[3]; !strings.Contains(second.query, "pageToken=p") {
		t.Errorf("the second page was asked for by %v", second)
	}
}

func TestMakesLabels(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	values, err := g.run(t, "Gmail Add Label", `{"message_id": "m1", "label_name": "New"}`)
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, values, "result").(map[string]any)["label_id"]; got != "Label_2" {
		t.Errorf("label %v", got)
	}
	if got := g.last(t); got.call != "POST /gmail/v1/users/me/messages/m1/modify" || strings.TrimSpace(got.body) != `{"addLabelIds":["Label_2"]}` {
		t.Errorf("asked %v", got)
	}
	if _, err := g.run(t, "Gmail Remove Label", `{"message_id": "m1", "label_name": "None"}`); err == nil || err.Error() != `there is no label "None"` {
		t.Errorf("got %v", err)
	}
}

func TestLetters(t *testing.T) {
	t.Parallel()
	host := &blocktest.Host{Transport: http.DefaultTransport}
	file := host.AddFile(blocktest.StoredFile{Name: "a é.txt", MediaType: "text/plain", Data: []byte("attached")})
	for _, test := range []struct{ name, block, input, thread, headers, kind, body string }{
		{"send", "Gmail Send", `{"to": ["Ada <ada@example.com>", "bob@example.com, carol@example.com"], "subject": "Café\nBcc: eve@example.com", "body": "1 < 2\nü", "cc": ["dan@example.com"]}`,
			"", "To=\"Ada\" <ada@example.com>, <bob@example.com>, <carol@example.com>;Cc=<dan@example.com>;Bcc=;Subject=Café Bcc: eve@example.com", "text/plain", "1 < 2\r\nü"},
		{"html", "Gmail Create Draft", `{"to": ["ada@example.com"], "subject": "s", "body": "<p>Hi</p>"}`, "", "To=<ada@example.com>;Subject=s", "text/html", "<p>Hi</p>"},
		{"plain", "Gmail Send", `{"to": ["ada@example.com"], "subject": "s", "body": "<p>Hi</p>", "content_type": "plain"}`, "", "To=<ada@example.com>", "text/plain", "<p>Hi</p>"},
		{"reply", "Gmail Reply", `{"threadId": "t2", "parentMessageId": "m2", "body": "Yes"}`, "t2",
			"To=<ada@example.com>;Cc=;Subject=Re: Café;In-Reply-To=<2@example.com>;References=<0@example.com> <2@example.com>", "text/plain", "Yes"},
		{"reply to all", "Gmail Draft Reply", `{"threadId": "t2", "parentMessageId": "m2", "body": "Yes", "replyAll": true, "subject": "Other"}`, "t2",
			"To=<ada@example.com>, <carol@example.com>;Cc=<dan@example.com>;Subject=Other", "text/plain", "Yes"},
		{"attach", "Gmail Send", `{"to": ["ada@example.com"], "subject": "s", "body": "Hi", "attachments": ["` + file + `"]}`, "", "To=<ada@example.com>", "multipart/mixed",
			"text/plain:Hi|text/plain:a é.txt=attached"},
		{"forward", "Gmail Forward", `{"messageId": "m2", "to": ["eve@example.com"], "forwardMessage": "See", "additionalAttachments": ["` + file + `"]}`, "",
			"To=<eve@example.com>;Subject=Fwd: Café", "multipart/mixed",
			"text/plain:See\r\n\r\n---------- Forwarded message ----------\r\nFrom: Adé <ada@example.com>\r\nDate: \r\nSubject: Café\r\nTo: bob@example.com, carol@example.com\r\n\r\n**Hi** Bob|text/plain:a é.txt=attached|text/csv:n.csv=123"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := newGoogle(t)
			ctx := g.context(t.Context())
			ctx = sdk.WithHost(ctx, host)
			if _, err := blocktest.RunContext(ctx, t, named(t, test.block), test.input); err != nil {
				t.Fatal(err)
			}
			var sent struct {
				Raw, ThreadID string
				Message       struct{ Raw, ThreadID string }
			}
			if err := json.Unmarshal([]byte(g.last(t).body), &sent); err != nil {
				t.Fatal(err)
			}
			raw, err := base64.URLEncoding.DecodeString(sent.Raw + sent.Message.Raw)
			if err != nil {
				t.Fatal(err)
			}
			m, err := mail.ReadMessage(strings.NewReader(string(raw)))
			if err != nil {
				t.Fatal(err)
			}
			if got := sent.ThreadID + sent.Message.ThreadID; got != test.thread {
				t.Errorf("thread %q, want %q", got, test.thread)
			}
			for pair := range strings.SplitSeq(test.headers, ";") {
				name, want, _ := strings.Cut(pair, "=")
				if got := readable(m.Header.Get(name)); got != want {
					t.Errorf("header %s: %q, want %q", name, got, want)
				}
			}
			if kind, body := readLetter(t, m); kind != test.kind || body != test.body {
				t.Errorf("body %s %q, want %s %q", kind, body, test.kind, test.body)
			}
		})
	}
}

// readLetter gives what is in a message: a text, or the parts with their names.
func readLetter(t *testing.T, m *mail.Message) (kind, body string) {
	t.Helper()
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if parameters["boundary"] == "" {
		content, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil {
			t.Fatal(err)
		}
		return kind, string(content)
	}
	var parts []string
	for r := multipart.NewReader(m.Body, parameters["boundary"]); ; {
		p, err := r.NextPart()
		if err == io.EOF {
			return kind, strings.Join(parts, "|")
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		text := string(content)
		if p.Header.Get("Content-Transfer-Encoding") == "base64" {
			plain, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(text, "\r\n", ""))
			if err != nil {
				t.Fatal(err)
			}
			text = p.FileName() + "=" + string(plain)
		}
		of, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		parts = append(parts, of+":"+text)
	}
}

func TestLettersWithoutRecipients(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	for _, to := range []string{`[]`, `["nobody"]`, `["ada@example.com\r\nX: y"]`} {
		if _, err := g.run(t, "Gmail Send", `{"to": `+to+`, "subject": "s", "body": "b"}`); err == nil {
			t.Errorf("an email to %s was sent", to)
		}
	}
	if len(g.seen) != 0 {
		t.Errorf("Gmail was asked %v", g.seen)
	}
}
