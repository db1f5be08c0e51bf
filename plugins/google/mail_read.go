package main

import (
	"context"
	"strconv"
	"strings"

	"google.golang.org/api/gmail/v1"

	"github.com/patchbay-io/patchbay/sdk"
)

// maxEmails bounds how many emails a run reads: each is a request.
const maxEmails = 500

type mailReadInput struct {
	Credentials sdk.OAuth2 `json:"credentials" providers:"google" scopes:"https://www.googleapis.com/auth/gmail.readonly" doc:"The Google account"`
	Query       string     `json:"query" default:"is:unread" doc:"Which emails, as in the search box of Gmail"`
	MaxResults  int        `json:"max_results" default:"10" doc:"How many emails at most, up to 500"`
}

var mailRead = sdk.Block[mailReadInput]{
	ID:          "25310c70-b89b-43ba-b25c-4dfa7e2a481c",
	Name:        "Gmail Read",
	Description: "Gives the emails that a search in Gmail finds, the newest first",
	Categories:  []string{"COMMUNICATION"},
	Outputs: sdk.Outputs{
		sdk.Out("email", sdk.Schema(emailSchema)), sdk.Out("emails", sdk.List("All emails", sdk.Schema(emailSchema))),
	},
	Run: func(ctx context.Context, in mailReadInput, out sdk.Emitter) error {
		box, err := newMailbox(ctx, in.Credentials)
		if err != nil {
			return err
		}
		emails, err := box.search(ctx, in.Query, in.MaxResults)
		if err != nil {
			return err
		}
		for _, e := range emails {
			if err := out.Emit("email", e); err != nil {
				return err
			}
		}
		return out.Emit("emails", emails)
	},
	Examples: []sdk.Example{{
		Input: `{"query": "from:ada", "max_results": 1}`,
		Output: `[["email", {"threadId": "t1", "labelIds": ["INBOX"], "id": "m1", "subject": "Hello", "snippet": "Hi", "from_": "ada@example.com", "to": ["bob@example.com"], "cc": [], "bcc": [], "date": "Fri, 02 Jan 2026 03:04:05 +0000", "body": "Hi Bob", "sizeEstimate": 42, "attachments": []}],
			["emails", [{"threadId": "t1", "labelIds": ["INBOX"], "id": "m1", "subject": "Hello", "snippet": "Hi", "from_": "ada@example.com", "to": ["bob@example.com"], "cc": [], "bcc": [], "date": "Fri, 02 Jan 2026 03:04:05 +0000", "body": "Hi Bob", "sizeEstimate": 42, "attachments": []}]]]`,
	}},
}

func (c mailbox) search(ctx context.Context, query string, most int) ([]email, error) {
	most = min(max(most, 1), maxEmails)
	emails := []email{}
	for page := ""; ; {
		call := c.Users.Messages.List(me).Q(query).MaxResults(int64(most - len(emails))).Context(ctx)
		if page != "" {
			call.PageToken(page)
		}
		list, err := call.Do()
		if err != nil {
			return nil, err
		}
		for _, m := range list.Messages {
			if len(emails) == most {
				break
			}
			whole, err := c.Users.Messages.Get(me, m.Id).Format("full").Context(ctx).Do()
			if refusedWith(err, 404) { // it was deleted meanwhile
				continue
			}
			if err != nil {
				return nil, err
			}
			e, err := c.read(ctx, whole)
			if err != nil {
				return nil, err
			}
			emails = append(emails, e)
		}
		if page = list.NextPageToken; page == "" || len(emails) == most {
			return emails, nil
		}
	}
}

type mailThreadInput struct {
	Credentials sdk.OAuth2 `json:"credentials" providers:"google" scopes:"https://www.googleapis.com/auth/gmail.readonly" doc:"The Google account"`
	ThreadID    string     `json:"threadId" required:"true" doc:"Id of the conversation"`
}

type thread struct {
	ID        string  `json:"id"`
	Messages  []email `json:"messages"`
	HistoryID string  `json:"historyId"`
}

var mailThread = sdk.Block[mailThreadInput]{
	ID:          "21a79166-9df7-4b5f-9f36-96f639d86112",
	Name:        "Gmail Get Thread",
	Description: "Gives all emails of a conversation in Gmail",
	Categories:  []string{"COMMUNICATION"},
	Outputs: sdk.Outputs{sdk.Out("thread", sdk.Schema(`{"type":"object","description":"The conversation","properties":{"id":{"type":"string"},"messages":{"type":"array","items":`+
		emailSchema+`},"historyId":{"type":"string"}}}`))},
	Run: func(ctx context.Context, in mailThreadInput, out sdk.Emitter) error {
		box, err := newMailbox(ctx, in.Credentials)
		if err != nil {
			return err
		}
		found, err := box.Users.Threads.Get(me, in.ThreadID).Format("full").Context(ctx).Do()
		if err != nil {
			return err
		}
		t := thread{ID: found.Id, Messages: []email{}, HistoryID: number(found.HistoryId)}
		for _, m := range found.Messages {
			e, err := box.read(ctx, m)
			if err != nil {
				return err
			}
			t.Messages = append(t.Messages, e)
		}
		return out.Emit("thread", t)
	},
	Examples: []sdk.Example{{
		Input:  `{"threadId": "t1"}`,
		Output: `{"thread": [{"id": "t1", "messages": [{"threadId": "t1", "labelIds": ["INBOX"], "id": "m1", "subject": "Hello", "snippet": "Hi", "from_": "ada@example.com", "to": ["bob@example.com"], "cc": [], "bcc": [], "date": "Fri, 02 Jan 2026 03:04:05 +0000", "body": "Hi Bob", "sizeEstimate": 42, "attachments": []}], "historyId": "7"}]}`,
	}},
}

type mailProfileInput struct {
	Credentials sdk.OAuth2 `json:"credentials" providers:"google" scopes:"https://www.googleapis.com/auth/gmail.readonly" doc:"The Google account"`
}

type profile struct {
	EmailAddress  string `json:"emailAddress"`
	MessagesTotal int64  `json:"messagesTotal"`
	ThreadsTotal  int64  `json:"threadsTotal"`
	HistoryID     string `json:"historyId"`
}

var mailProfile = sdk.Block[mailProfileInput]{
	ID:          "04b0d996-0908-4a4b-89dd-b9697ff253d3",
	Name:        "Gmail Get Profile",
	Description: "Gives the address of a Gmail account, and how much is in it",
	Categories:  []string{"COMMUNICATION"},
	Outputs: sdk.Outputs{sdk.Out("profile", sdk.Schema(`{"type":"object","description":"The account","properties":{"emailAddress":{"type":"string"},`+
		`"messagesTotal":{"type":"integer"},"threadsTotal":{"type":"integer"},"historyId":{"type":"string"}}}`))},
	Run: func(ctx context.Context, in mailProfileInput, out sdk.Emitter) error {
		box, err := newMailbox(ctx, in.Credentials)
		if err != nil {
			return err
		}
		p, err := box.Users.GetProfile(me).Context(ctx).Do()
		if err != nil {
			return err
		}
		return out.Emit("profile", profile{p.EmailAddress, p.MessagesTotal, p.ThreadsTotal, number(p.HistoryId)})
	},
	Examples: []sdk.Example{{
		Input:  `{}`,
		Output: `{"profile": [{"emailAddress": "bob@example.com", "messagesTotal": 3, "threadsTotal": 2, "historyId": "7"}]}`,
	}},
}

type mailLabelsInput struct {
	Credentials sdk.OAuth2 `json:"credentials" providers:"google" scopes:"https://www.googleapis.com/auth/gmail.labels" doc:"The Google account"`
}

type label struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

var mailLabels = sdk.Block[mailLabelsInput]{
	ID:          "3e1c2c1c-c689-4520-b956-1f3bf4e02bb7",
	Name:        "Gmail List Labels",
	Description: "Gives the labels of a Gmail account",
	Categories:  []string{"COMMUNICATION"},
	Outputs:     sdk.Outputs{sdk.Out("result", sdk.List("The labels", sdk.Schema(`{"type":"object","properties":{"id":{"type":"string"},"name":{"type":"string"}}}`)))},
	Run: func(ctx context.Context, in mailLabelsInput, out sdk.Emitter) error {
		box, err := newMailbox(ctx, in.Credentials)
		if err != nil {
			return err
		}
		list, err := box.Users.Labels.List(me).Context(ctx).Do()
		if err != nil {
			return err
		}
		labels := []label{}
		for _, l := range list.Labels {
			labels = append(labels, label{l.Id, l.Name})
		}
		return out.Emit("result", labels)
	},
	Examples: []sdk.Example{{
		Input:  `{}`,
		Output: `{"result": [[{"id": "INBOX", "name": "INBOX"}, {"id": "Label_1", "name": "Work"}]]}`,
	}},
}

type mailLabelInput struct {
	Credentials sdk.OAuth2 `json:"credentials" providers:"google" scopes:"https://www.googleapis.com/auth/gmail.modify" doc:"The Google account"`
	MessageID   string     `json:"message_id" required:"true" doc:"Id of the email"`
	LabelName   string     `json:"label_name" required:"true" doc:"Name of the label"`
}

type labelResult struct {
	LabelID string `json:"label_id"`
	Status  string `json:"status"`
}

var labelOutputs = sdk.Outputs{sdk.Out("result", sdk.Schema(`{"type":"object","description":"What was done","properties":{"label_id":{"type":"string"},"status":{"type":"string"}}}`))}

var mailAddLabel = sdk.Block[mailLabelInput]{
	ID:          "f884b2fb-04f4-4265-9658-14f433926ac9",
	Name:        "Gmail Add Label",
	Description: "Puts a label on an email in Gmail; a label that does not exist is made",
	Categories:  []string{"COMMUNICATION"},
	Outputs:     labelOutputs,
	Run: func(ctx context.Context, in mailLabelInput, out sdk.Emitter) error {
		box, err := newMailbox(ctx, in.Credentials)
		if err != nil {
			return err
		}
		id, err := box.label(ctx, in.LabelName)
		if err == nil && id == "" {
			var made *gmail.Label
			made, err = box.Users.Labels.Create(me, &gmail.Label{Name: in.LabelName}).Context(ctx).Do()
			switch {
			case err == nil:
				id = made.Id
			case refusedWith(err, 409): // it was made meanwhile
				id, err = box.label(ctx, in.LabelName)
			}
		}
		if err != nil {
			return err
		}
		return box.relabel(ctx, in.MessageID, &gmail.ModifyMessageRequest{AddLabelIds: []string{id}}, labelResult{id, "Label added successfully"}, out)
	},
	Examples: []sdk.Example{{
		Input:  `{"message_id": "m1", "label_name": "Work"}`,
		Output: `{"result": [{"label_id": "Label_1", "status": "Label added successfully"}]}`,
	}},
}

var mailRemoveLabel = sdk.Block[mailLabelInput]{
	ID:          "0afc0526-aba1-4b2b-888e-a22b7c3f359d",
	Name:        "Gmail Remove Label",
	Description: "Takes a label off an email in Gmail",
	Categories:  []string{"COMMUNICATION"},
	Outputs:     labelOutputs,
	Run: func(ctx context.Context, in mailLabelInput, out sdk.Emitter) error {
		box, err := newMailbox(ctx, in.Credentials)
		if err != nil {
			return err
		}
		id, err := box.label(ctx, in.LabelName)
		if err != nil {
			return err
		}
		if id == "" {
			return sdk.InvalidInput("there is no label %q", in.LabelName)
		}
		return box.relabel(ctx, in.MessageID, &gmail.ModifyMessageRequest{RemoveLabelIds: []string{id}}, labelResult{id, "Label removed successfully"}, out)
	},
	Examples: []sdk.Example{{
		Input:  `{"message_id": "m1", "label_name": "Work"}`,
		Output: `{"result": [{"label_id": "Label_1", "status": "Label removed successfully"}]}`,
	}},
}

// label is the id of a label, empty where there is none of that name. Gmail does not tell their case apart.
func (c mailbox) label(ctx context.Context, name string) (string, error) {
	list, err := c.Users.Labels.List(me).Context(ctx).Do()
	if err != nil {
		return "", err
	}
	for _, l := range list.Labels {
		if strings.EqualFold(l.Name, name) {
			return l.Id, nil
		}
	}
	return "", nil
}

func (c mailbox) relabel(ctx context.Context, id string, change *gmail.ModifyMessageRequest, result labelResult, out sdk.Emitter) error {
	if _, err := c.Users.Messages.Modify(me, id, change).Context(ctx).Do(); err != nil {
		return err
	}
	return out.Emit("result", result)
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }
