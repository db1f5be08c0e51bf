package main

import (
	"context"
	"encoding/json"
	"html"
	"slices"
	"strings"

	"google.golang.org/api/gmail/v1"

	"github.com/patchbay-io/patchbay/sdk"
)

// answer is the reply's pins that the blocks share.
type answer struct {
	ThreadID string   `json:"threadId" required:"true" doc:"Id of the conversation"`
	ParentID string   `json:"parentMessageId" required:"true" doc:"Id of the email that is answered"`
	To       []string `json:"to" default:"[]" doc:"Addresses of the recipients; without any address the reply goes to who wrote"`
	copies
	ReplyAll bool   `json:"replyAll" default:"false" doc:"Answer everybody who got the email"`
	Subject  string `json:"subject" default:"" doc:"The subject; without it that of the email, with Re:"`
	Body     string `json:"body" required:"true" doc:"The text, plain or HTML"`
	enclosed
}

// letter addresses the reply. own is the user's address.
func (a answer) letter(ctx context.Context, box mailbox) (l letter, own string, err error) {
	parent, err := box.Users.Messages.Get(me, a.ParentID).Format("metadata").
		MetadataHeaders("Subject", "References", "Message-ID", "From", "To", "Cc", "Reply-To").Context(ctx).Do()
	if err != nil {
		return l, "", err
	}
	p, err := box.Users.GetProfile(me).Context(ctx).Do()
	if err != nil {
		return l, "", err
	}
	own = p.EmailAddress
	l = letter{to: a.To, cc: a.Cc, bcc: a.Bcc, subject: a.Subject, body: a.Body, contentType: a.ContentType}
	if len(l.to)+len(l.cc)+len(l.bcc) == 0 {
		writer := header(parent, "Reply-To")
		if writer == "" {
			writer = header(parent, "From")
		}
		l.to = []string{address(writer)}
		if a.ReplyAll {
			others := func(list []string) []string {
				return slices.DeleteFunc(list, func(other string) bool {
					return strings.EqualFold(other, own) || slices.ContainsFunc(l.to, func(known string) bool { return strings.EqualFold(known, other) })
				})
			}
			l.to = append(l.to, others(addresses(header(parent, "To")))...)
			l.cc = others(addresses(header(parent, "Cc")))
		}
	}
	if l.subject == "" {
		l.subject = prefixed("Re: ", readable(header(parent, "Subject")))
	}
	l.inReplyTo = header(parent, "Message-ID")
	l.references = header(parent, "References") + " " + l.inReplyTo
	l.attached, err = enclose(ctx, a.Attachments)
	return l, own, err
}

func prefixed(prefix, subject string) string {
	if len(subject) >= len(prefix)-1 && strings.EqualFold(subject[:len(prefix)-1], prefix[:len(prefix)-1]) {
		return subject
	}
	return prefix + subject
}

type mailReplyInput struct {
	Credentials sdk.OAuth2 `json:"credentials" providers:"google" scopes:"https://www.googleapis.com/auth/gmail.send,https://www.googleapis.com/auth/gmail.readonly" doc:"The Google account"`
	answer
}

var mailReply = sdk.Block[mailReplyInput]{
	ID:          "12bf5a24-9b90-4f40-9090-4e86e6995e60",
	Name:        "Gmail Reply",
	Description: "Answers an email in its conversation",
	Categories:  []string{"COMMUNICATION"},
	Traits:      sdk.Once,
	Outputs: sdk.Outputs{
		sdk.Out("messageId", sdk.String("Id of the reply")), sdk.Out("threadId", sdk.String("Id of the conversation")),
		sdk.Out("message", sdk.Map("The reply as Gmail tells of it", sdk.Any(""))), sdk.Out("email", sdk.Schema(emailSchema)),
	},
	Run: func(ctx context.Context, in mailReplyInput, out sdk.Emitter) error {
		box, err := newMailbox(ctx, in.Credentials)
		if err != nil {
			return err
		}
		l, own, err := in.letter(ctx, box)
		if err != nil {
			return err
		}
		raw, err := l.raw()
		if err != nil {
			return err
		}
		sent, err := box.Users.Messages.Send(me, &gmail.Message{Raw: raw, ThreadId: in.ThreadID}).Context(ctx).Do()
		if err != nil {
			return err
		}
		told, err := json.Marshal(sent)
		if err != nil {
			return err
		}
		return emitAll(out, pinned{"messageId", sent.Id}, pinned{"threadId", sent.ThreadId}, pinned{"message", json.RawMessage(told)}, pinned{"email", email{
			ThreadID: sent.ThreadId, LabelIDs: append([]string{}, sent.LabelIds...), ID: sent.Id, Subject: l.subject, Snippet: sent.Snippet,
			From: own, To: append([]string{}, l.to...), Cc: append([]string{}, l.cc...), Bcc: append([]string{}, l.bcc...), Body: l.body,
			SizeEstimate: sent.SizeEstimate, Attachments: []attachment{},
		}})
	},
	Examples: []sdk.Example{{
		Input: `{"threadId": "t1", "parentMessageId": "m1", "body": "Hi Ada"}`,
		Output: `{"messageId": ["m9"], "threadId": ["t1"], "message": [{"id": "m9", "threadId": "t1", "labelIds": ["SENT"]}],
			"email": [{"threadId": "t1", "labelIds": ["SENT"], "id": "m9", "subject": "Re: Hello", "snippet": "", "from_": "bob@example.com", "to": ["ada@example.com"], "cc": [], "bcc": [], "date": "", "body": "Hi Ada", "sizeEstimate": 0, "attachments": []}]}`,
	}},
}

type mailDraftReplyInput struct {
	Credentials sdk.OAuth2 `json:"credentials" providers:"google" scopes:"https://www.googleapis.com/auth/gmail.modify,https://www.googleapis.com/auth/gmail.readonly" doc:"The Google account"`
	answer
}

var mailDraftReply = sdk.Block[mailDraftReplyInput]{
	ID:          "d7a9f3e2-8b4c-4d6f-9e1a-3c5b7f8d2a6e",
	Name:        "Gmail Draft Reply",
	Description: "Leaves an answer to an email among the drafts",
	Categories:  []string{"COMMUNICATION"},
	Traits:      sdk.Once,
	Outputs: sdk.Outputs{
		sdk.Out("draftId", sdk.String("Id of the draft")), sdk.Out("messageId", sdk.String("Id of its email")),
		sdk.Out("threadId", sdk.String("Id of the conversation")), sdk.Out("status", sdk.String("What was done")),
	},
	Run: func(ctx context.Context, in mailDraftReplyInput, out sdk.Emitter) error {
		box, err := newMailbox(ctx, in.Credentials)
		if err != nil {
			return err
		}
		l, _, err := in.letter(ctx, box)
		if err != nil {
			return err
		}
		raw, err := l.raw()
		if err != nil {
			return err
		}
		draft, err := box.Users.Drafts.Create(me, &gmail.Draft{Message: &gmail.Message{Raw: raw, ThreadId: in.ThreadID}}).Context(ctx).Do()
		if err != nil {
			return err
		}
		m := messageOf(draft)
		return emitAll(out, pinned{"draftId", draft.Id}, pinned{"messageId", m.Id}, pinned{"threadId", m.ThreadId}, pinned{"status", draftCreated})
	},
	Examples: []sdk.Example{{
		Input:  `{"threadId": "t1", "parentMessageId": "m1", "body": "Hi Ada"}`,
		Output: `{"draftId": ["d1"], "messageId": ["m9"], "threadId": ["t1"], "status": ["draft_created"]}`,
	}},
}

type mailForwardInput struct {
	Credentials sdk.OAuth2 `json:"credentials" providers:"google" scopes:"https://www.googleapis.com/auth/gmail.send,https://www.googleapis.com/auth/gmail.readonly" doc:"The Google account"`
	MessageID   string     `json:"messageId" required:"true" doc:"Id of the email"`
	To          []string   `json:"to" required:"true" doc:"Addresses of the recipients"`
	copies
	Subject     string   `json:"subject" default:"" doc:"The subject; without it that of the email, with Fwd:"`
	Message     string   `json:"forwardMessage" default:"" doc:"Text before the email"`
	Attachments bool     `json:"includeAttachments" default:"true" doc:"Send the email's attachments too"`
	ContentType *string  `json:"content_type" enum:"auto,plain,html" default:"null" advanced:"true" doc:"What the text is; auto, as without it, finds out"`
	More        []string `json:"additionalAttachments" schema:"{\"type\":\"array\",\"items\":{\"type\":\"string\",\"format\":\"file\"}}" default:"[]" advanced:"true" doc:"Further files to go with it"`
}

var mailForward = sdk.Block[mailForwardInput]{
	ID:          "64d2301c-b3f5-4174-8ac0-111ca1e1a7c0",
	Name:        "Gmail Forward",
	Description: "Sends an email on to others",
	Categories:  []string{"COMMUNICATION"},
	Traits:      sdk.Once,
	Outputs: sdk.Outputs{
		sdk.Out("messageId", sdk.String("Id of the email that was sent")), sdk.Out("threadId", sdk.String("Id of its conversation")),
		sdk.Out("status", sdk.String("What was done")),
	},
	Run: func(ctx context.Context, in mailForwardInput, out sdk.Emitter) error {
		box, err := newMailbox(ctx, in.Credentials)
		if err != nil {
			return err
		}
		l, err := in.letter(ctx, box)
		if err != nil {
			return err
		}
		raw, err := l.raw()
		if err != nil {
			return err
		}
		sent, err := box.Users.Messages.Send(me, &gmail.Message{Raw: raw}).Context(ctx).Do()
		if err != nil {
			return err
		}
		return emitAll(out, pinned{"messageId", sent.Id}, pinned{"threadId", sent.ThreadId}, pinned{"status", "forwarded"})
	},
	Examples: []sdk.Example{{
		Input:  `{"messageId": "m1", "to": ["carol@example.com"], "forwardMessage": "See below"}`,
		Output: `{"messageId": ["m9"], "threadId": ["t1"], "status": ["forwarded"]}`,
	}},
}

func (in mailForwardInput) letter(ctx context.Context, box mailbox) (letter, error) {
	m, err := box.Users.Messages.Get(me, in.MessageID).Format("full").Context(ctx).Do()
	if err != nil {
		return letter{}, err
	}
	e, err := box.read(ctx, m)
	if err != nil {
		return letter{}, err
	}
	l := letter{to: in.To, cc: in.Cc, bcc: in.Bcc, subject: in.Subject, contentType: in.ContentType, body: in.Message}
	if l.subject == "" {
		l.subject = prefixed("Fwd: ", e.Subject)
	}
	original := "---------- Forwarded message ----------\nFrom: " + readable(header(m, "From")) + "\nDate: " + e.Date + "\nSubject: " + e.Subject +
		"\nTo: " + readable(header(m, "To")) + "\n\n" + e.Body
	kind := "plain"
	if l.mediaType() == "text/html" {
		kind, original = "html", strings.ReplaceAll(html.EscapeString(original), "\n", "<br>\n")
		l.body += "<br><br>\n" + original
	} else {
		l.body = strings.TrimLeft(l.body+"\n\n"+original, "\n")
	}
	l.contentType = &kind // what is in the email that goes on decides nothing
	if l.attached, err = enclose(ctx, in.More); err != nil || !in.Attachments {
		return l, err
	}
	return l, box.encloseAgain(ctx, m, &l)
}

// encloseAgain puts the attachments of an email into a letter.
func (c mailbox) encloseAgain(ctx context.Context, m *gmail.Message, l *letter) error {
	size := 0
	for _, e := range l.attached {
		size += len(e.content)
	}
	for _, p := range partsOf(m.Payload, 0) {
		if p.Filename == "" || p.Body == nil {
			continue
		}
		data := p.Body.Data
		if p.Body.AttachmentId != "" {
			body, err := c.Users.Messages.Attachments.Get(me, m.Id, p.Body.AttachmentId).Context(ctx).Do()
			if err != nil {
				return err
			}
			data = body.Data
		}
		content, err := decoded(data)
		if err != nil {
			return err
		}
		if size += len(content); size > maxAttachments {
			return sdk.InvalidInput("the attachments are larger than %d MiB", maxAttachments>>20)
		}
		l.attached = append(l.attached, enclosure{p.Filename, p.MimeType, content})
	}
	return nil
}

var mailBlocks = sdk.Blocks(mailRead, mailSend, mailDraft, mailLabels, mailAddLabel, mailRemoveLabel, mailThread, mailReply, mailDraftReply,
	mailForward, mailProfile)

// pinned is a value for a pin.
type pinned struct {
	pin   string
	value any
}

// emitAll puts values out in their order.
func emitAll(out sdk.Emitter, all ...pinned) error {
	for _, p := range all {
		if err := out.Emit(p.pin, p.value); err != nil {
			return err
		}
	}
	return nil
}
