package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/patchbay-io/patchbay/sdk"
)

// maxAttachments bounds the attachments of an email in bytes; Gmail takes no more.
const maxAttachments = 25 << 20

// letter is an email before it is sent.
type letter struct {
	to, cc, bcc           []string
	subject, body         string
	contentType           *string // auto, plain or html
	inReplyTo, references string
	attached              []enclosure
}

type enclosure struct {
	name, mediaType string
	content         []byte
}

// enclose reads the files that go with an email.
func enclose(ctx context.Context, refs []string) ([]enclosure, error) {
	var all []enclosure
	left := int64(maxAttachments)
	for _, ref := range refs {
		f, err := sdk.OpenFile(ctx, ref)
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(io.LimitReader(f, left+1))
		_ = f.Close()
		if err != nil {
			return nil, err
		}
		if left -= int64(len(content)); left < 0 {
			return nil, sdk.InvalidInput("the attachments are larger than %d MiB", maxAttachments>>20)
		}
		all = append(all, enclosure{f.Name, f.MediaType, content})
	}
	return all, nil
}

// recipients reads the addresses as people write them, each alone or several with commas between.
func recipients(lists ...[]string) (all [][]*mail.Address, err error) {
	count := 0
	for _, list := range lists {
		var parsed []*mail.Address
		for _, text := range list {
			if strings.TrimSpace(text) == "" {
				continue
			}
			found, err := mail.ParseAddressList(text)
			if err != nil {
				return nil, sdk.InvalidInput("%q is no email address", text)
			}
			parsed = append(parsed, found...)
		}
		count += len(parsed)
		all = append(all, parsed)
	}
	if count == 0 {
		return nil, sdk.InvalidInput("the email has no recipient")
	}
	return all, nil
}

// raw is the letter as a message of the internet, in base64url as Gmail wants it.
func (l letter) raw() (string, error) {
	lists, err := recipients(l.to, l.cc, l.bcc)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	for i, name := range []string{"To", "Cc", "Bcc"} {
		if len(lists[i]) == 0 {
			continue
		}
		var written []string
		for _, a := range lists[i] {
			written = append(written, a.String())
		}
		fmt.Fprintf(&b, "%s: %s\r\n", name, strings.Join(written, ",\r\n "))
	}
	fmt.Fprintf(&b, "Subject: %s\r\n", mime.QEncoding.Encode("utf-8", line(l.subject)))
	for _, h := range [][2]string{{"In-Reply-To", l.inReplyTo}, {"References", l.references}} {
		if value := line(h[1]); value != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", h[0], value)
		}
	}
	b.WriteString("MIME-Version: 1.0\r\n")
	text := textproto.MIMEHeader{"Content-Type": {l.mediaType() + "; charset=utf-8"}, "Content-Transfer-Encoding": {"quoted-printable"}}
	if len(l.attached) == 0 {
		for _, name := range []string{"Content-Type", "Content-Transfer-Encoding"} {
			fmt.Fprintf(&b, "%s: %s\r\n", name, text.Get(name))
		}
		b.WriteString("\r\n")
		err = quoted(&b, l.body)
	} else {
		err = l.mixed(&b, text)
	}
	return base64.URLEncoding.EncodeToString(b.Bytes()), err
}

func (l letter) mixed(b *bytes.Buffer, text textproto.MIMEHeader) error {
	w := multipart.NewWriter(b)
	fmt.Fprintf(b, "Content-Type: multipart/mixed; boundary=%s\r\n\r\n", w.Boundary())
	part, err := w.CreatePart(text)
	if err == nil {
		err = quoted(part, l.body)
	}
	for _, e := range l.attached {
		if err != nil {
			return err
		}
		kind := e.mediaType
		if _, _, err := mime.ParseMediaType(kind); err != nil {
			kind = "application/octet-stream"
		}
		part, err = w.CreatePart(textproto.MIMEHeader{
			"Content-Type":              {kind},
			"Content-Disposition":       {mime.FormatMediaType("attachment", map[string]string{"filename": line(e.name)})},
			"Content-Transfer-Encoding": {"base64"},
		})
		for rest := e.content; err == nil && len(rest) > 0; { // lines of 76 characters
			n := min(len(rest), 57)
			_, err = io.WriteString(part, base64.StdEncoding.EncodeToString(rest[:n])+"\r\n")
			rest = rest[n:]
		}
	}
	if err != nil {
		return err
	}
	return w.Close()
}

func quoted(w io.Writer, text string) error {
	q := quotedprintable.NewWriter(w)
	if _, err := io.WriteString(q, text); err != nil {
		return err
	}
	return q.Close()
}

// line is a header's value: a break in it would begin another header.
func line(text string) string { return strings.Join(strings.Fields(text), " ") }

var htmlTag = regexp.MustCompile(`(?i)</?(html|body|div|span|p|br|a|b|i|u|strong|em|h[1-6]|ul|ol|li|table|tr|td|img|blockquote)(\s[^<>]*)?/?>`)

// mediaType is what the body is: what the block was told, otherwise HTML if it has tags.
func (l letter) mediaType() string {
	kind := "auto"
	if l.contentType != nil {
		kind = *l.contentType
	}
	if kind == "html" || kind == "auto" && htmlTag.MatchString(l.body) {
		return "text/html"
	}
	return "text/plain"
}
