package main

import (
	"context"
	"encoding/base64"
	"mime"
	"net/mail"
	"strings"

	htmltomarkdown "github.com/JohannesKaufmann/html-to-markdown/v2"
	"google.golang.org/api/gmail/v1"

	"github.com/patchbay-io/patchbay/sdk"
)

// me is the user whose token it is.
const me = "me"

// email is a message as blocks put it out.
type email struct {
	ThreadID     string       `json:"threadId"`
	LabelIDs     []string     `json:"labelIds"`
	ID           string       `json:"id"`
	Subject      string       `json:"subject"`
	Snippet      string       `json:"snippet"`
	From         string       `json:"from_"`
	To           []string     `json:"to"`
	Cc           []string     `json:"cc"`
	Bcc          []string     `json:"bcc"`
	Date         string       `json:"date"`
	Body         string       `json:"body"`
	SizeEstimate int64        `json:"sizeEstimate"`
	Attachments  []attachment `json:"attachments"`
}

type attachment struct {
	Filename     string `json:"filename"`
	ContentType  string `json:"content_type"`
	Size         int64  `json:"size"`
	AttachmentID string `json:"attachment_id"`
}

const attachmentSchema = `{"type":"array","items":{"type":"object","properties":{"filename":{"type":"string"},"content_type":{"type":"string"},"size":{"type":"integer"},"attachment_id":{"type":"string"}}}}`

const emailSchema = `{"type":"object","properties":{"threadId":{"type":"string"},"labelIds":{"type":"array","items":{"type":"string"}},` +
	`"id":{"type":"string"},"subject":{"type":"string"},"snippet":{"type":"string"},"from_":{"type":"string"},` +
	`"to":{"type":"array","items":{"type":"string"}},"cc":{"type":"array","items":{"type":"string"}},"bcc":{"type":"array","items":{"type":"string"}},` +
	`"date":{"type":"string"},"body":{"type":"string"},"sizeEstimate":{"type":"integer"},"attachments":` + attachmentSchema + `}}`

// header is a message's header of a name, whatever its case.
func header(m *gmail.Message, name string) string {
	if m.Payload == nil {
		return ""
	}
	for _, h := range m.Payload.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

var words mime.WordDecoder

// readable is a header without the encoding of what is not ASCII.
func readable(text string) string {
	if decoded, err := words.DecodeHeader(text); err == nil {
		return decoded
	}
	return text
}

// addresses are those of a header, without the names. What is no list of addresses comes whole.
func addresses(text string) []string {
	found := []string{}
	if strings.TrimSpace(text) == "" {
		return found
	}
	list, err := mail.ParseAddressList(text)
	if err != nil {
		return append(found, text)
	}
	for _, a := range list {
		found = append(found, a.Address)
	}
	return found
}

// address is the one that a header names, whole where it is no address.
func address(text string) string {
	if list := addresses(text); len(list) > 0 {
		return list[0]
	}
	return ""
}

func (c mailbox) read(ctx context.Context, m *gmail.Message) (email, error) {
	e := email{
		ThreadID: m.ThreadId, LabelIDs: append([]string{}, m.LabelIds...), ID: m.Id, Subject: readable(header(m, "Subject")), Snippet: m.Snippet,
		From: address(header(m, "From")), To: addresses(header(m, "To")), Cc: addresses(header(m, "Cc")), Bcc: addresses(header(m, "Bcc")),
		Date: header(m, "Date"), SizeEstimate: m.SizeEstimate, Attachments: []attachment{},
	}
	parts := partsOf(m.Payload, 0)
	for _, p := range parts {
		if p.Filename != "" && p.Body != nil {
			e.Attachments = append(e.Attachments, attachment{p.Filename, p.MimeType, p.Body.Size, p.Body.AttachmentId})
		}
	}
	var err error
	e.Body, err = c.body(ctx, m.Id, parts)
	return e, err
}

// partsOf are a message's parts that hold something, in order. Mail comes from anybody: its depth is bounded.
func partsOf(p *gmail.MessagePart, depth int) []*gmail.MessagePart {
	if p == nil || depth > 32 {
		return nil
	}
	if len(p.Parts) == 0 {
		return []*gmail.MessagePart{p}
	}
	var all []*gmail.MessagePart
	for _, part := range p.Parts {
		all = append(all, partsOf(part, depth+1)...)
	}
	return all
}

// body is a message's text; of one that has HTML alone it is made from that.
func (c mailbox) body(ctx context.Context, id string, parts []*gmail.MessagePart) (string, error) {
	for _, kind := range []string{"text/plain", "text/html"} {
		for _, p := range parts {
			if p.Filename != "" || p.Body == nil || !strings.EqualFold(p.MimeType, kind) {
				continue
			}
			data := p.Body.Data
			if data == "" && p.Body.AttachmentId != "" { // long texts come by themselves
				body, err := c.Users.Messages.Attachments.Get(me, id, p.Body.AttachmentId).Context(ctx).Do()
				if err != nil {
					return "", err
				}
				data = body.Data
			}
			content, err := decoded(data)
			if err != nil {
				return "", err
			}
			text := strings.ToValidUTF8(string(content), "\uFFFD")
			if kind == "text/html" {
				if plain, err := htmltomarkdown.ConvertString(text); err == nil {
					text = plain
				}
			}
			return text, nil
		}
	}
	return "This email does not contain a readable body.", nil
}

// decoded reads base64url, with or without its padding.
func decoded(data string) ([]byte, error) {
	content, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(data, "="))
	if err != nil {
		return nil, sdk.Temporary("Gmail sends what is no base64url: %w", err)
	}
	return content, nil
}

// mailbox is a user's.
type mailbox struct{ *gmail.Service }

func newMailbox(ctx context.Context, token sdk.OAuth2) (mailbox, error) {
	s, err := newGmail(ctx, token)
	return mailbox{s}, err
}
