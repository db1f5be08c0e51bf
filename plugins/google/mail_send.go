package main

import (
	"context"

	"google.golang.org/api/gmail/v1"

	"github.com/patchbay-io/patchbay/sdk"
)

// content is the letter's pins that several blocks share.
type content struct {
	To      []string `json:"to" required:"true" doc:"Addresses of the recipients"`
	Subject string   `json:"subject" required:"true" doc:"The subject"`
	Body    string   `json:"body" required:"true" doc:"The text, plain or HTML"`
	copies
	enclosed
}

type copies struct {
	Cc  []string `json:"cc" default:"[]" doc:"Addresses that get a copy"`
	Bcc []string `json:"bcc" default:"[]" doc:"Addresses that get a copy and are not shown"`
}

type enclosed struct {
	ContentType *string  `json:"content_type" enum:"auto,plain,html" default:"null" advanced:"true" doc:"What the text is; auto, as without it, finds out"`
	Attachments []string `json:"attachments" schema:"{\"type\":\"array\",\"items\":{\"type\":\"string\",\"format\":\"file\"}}" default:"[]" advanced:"true" doc:"Files to go with the email"`
}

func (c content) message(ctx context.Context) (*gmail.Message, error) {
	attached, err := enclose(ctx, c.Attachments)
	if err != nil {
		return nil, err
	}
	raw, err := letter{to: c.To, cc: c.Cc, bcc: c.Bcc, subject: c.Subject, body: c.Body, contentType: c.ContentType, attached: attached}.raw()
	return &gmail.Message{Raw: raw}, err
}

type mailSendInput struct {
	Credentials sdk.OAuth2 `json:"credentials" providers:"google" scopes:"https://www.googleapis.com/auth/gmail.send" doc:"The Google account"`
	content
}

type sendResult struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

var mailSend = sdk.Block[mailSendInput]{
	ID:          "6c27abc2-e51d-499e-a85f-5a0041ba94f0",
	Name:        "Gmail Send",
	Description: "Sends an email from a Gmail account",
	Categories:  []string{"COMMUNICATION"},
	Traits:      sdk.Once,
	Outputs:     sdk.Outputs{sdk.Out("result", sdk.Schema(`{"type":"object","description":"What was sent","properties":{"id":{"type":"string"},"status":{"type":"string"}}}`))},
	Run: func(ctx context.Context, in mailSendInput, out sdk.Emitter) error {
		message, err := in.message(ctx)
		if err != nil {
			return err
		}
		box, err := newMailbox(ctx, in.Credentials)
		if err != nil {
			return err
		}
		sent, err := box.Users.Messages.Send(me, message).Context(ctx).Do()
		if err != nil {
			return err
		}
		return out.Emit("result", sendResult{sent.Id, "sent"})
	},
	Examples: []sdk.Example{{
		Input:  `{"to": ["ada@example.com"], "subject": "Hello", "body": "Hi Ada"}`,
		Output: `{"result": [{"id": "m9", "status": "sent"}]}`,
	}},
}

type mailDraftInput struct {
	Credentials sdk.OAuth2 `json:"credentials" providers:"google" scopes:"https://www.googleapis.com/auth/gmail.modify" doc:"The Google account"`
	content
}

type draftResult struct {
	ID        string `json:"id"`
	MessageID string `json:"message_id"`
	Status    string `json:"status"`
}

const draftCreated = "draft_created"

var mailDraft = sdk.Block[mailDraftInput]{
	ID:          "e1eeead4-46cb-491e-8281-17b6b9c44a55",
	Name:        "Gmail Create Draft",
	Description: "Leaves an email among the drafts of a Gmail account",
	Categories:  []string{"COMMUNICATION"},
	Traits:      sdk.Once,
	Outputs: sdk.Outputs{sdk.Out("result", sdk.Schema(`{"type":"object","description":"The draft","properties":{"id":{"type":"string"},"message_id":{"type":"string"},`+
		`"status":{"type":"string"}}}`))},
	Run: func(ctx context.Context, in mailDraftInput, out sdk.Emitter) error {
		message, err := in.message(ctx)
		if err != nil {
			return err
		}
		box, err := newMailbox(ctx, in.Credentials)
		if err != nil {
			return err
		}
		draft, err := box.Users.Drafts.Create(me, &gmail.Draft{Message: message}).Context(ctx).Do()
		if err != nil {
			return err
		}
		return out.Emit("result", draftResult{draft.Id, messageOf(draft).Id, draftCreated})
	},
	Examples: []sdk.Example{{
		Input:  `{"to": ["ada@example.com"], "subject": "Hello", "body": "Hi Ada"}`,
		Output: `{"result": [{"id": "d1", "message_id": "m9", "status": "draft_created"}]}`,
	}},
}

func messageOf(d *gmail.Draft) *gmail.Message {
	if d.Message == nil {
		return &gmail.Message{}
	}
	return d.Message
}
