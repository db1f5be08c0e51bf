package plugin

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// veil hides the secrets of the runs that go on in what plugins say for people: errors, progress, logs, and what they
// wrote before they crashed. Blocks should hide them themselves; libraries that they use put requests into their errors.
type veil struct {
	mu      sync.RWMutex
	secrets map[string]int // how many runs have them
}

const (
	// veiled stands in place of a secret.
	veiled = "***"
	// minVeiled is the length from which a secret is hidden; shorter ones occur by chance.
	minVeiled = 5
	// lifted is how long a secret stays hidden when its run has ended: logs come on their own way.
	lifted = 5 * time.Second
)

// draw hides the secrets until some time after the call of lift.
func (v *veil) draw(credentials []*proto.Credential) (lift func()) {
	var texts []string
	for _, c := range credentials {
		texts = append(texts, secretsOf(c)...)
	}
	v.add(texts, 1)
	return func() { time.AfterFunc(lifted, func() { v.add(texts, -1) }) }
}

// over hides the secrets in what a run tells while it goes on.
func (v *veil) over(r *Run) {
	output, progress := r.Output, r.Progress
	r.Output = func(pin string, value json.RawMessage) error {
		var text string
		if pin == block.ErrorPin && json.Unmarshal(value, &text) == nil {
			if shown := v.hide(text); shown != text {
				value, _ = json.Marshal(shown) // text always encodes
			}
		}
		return output(pin, value)
	}
	if progress != nil {
		r.Progress = func(p *proto.Progress) {
			p.Text, p.Delta = v.hide(p.GetText()), v.hide(p.GetDelta())
			progress(p)
		}
	}
}

func (v *veil) add(texts []string, n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.secrets == nil {
		v.secrets = map[string]int{}
	}
	for _, text := range texts {
		if v.secrets[text] += n; v.secrets[text] == 0 {
			delete(v.secrets, text)
		}
	}
}

// hide is a text without the secrets.
func (v *veil) hide(text string) string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for secret := range v.secrets {
		if strings.Contains(text, secret) {
			text = strings.ReplaceAll(text, secret, veiled)
		}
	}
	return text
}

// secretsOf are the texts of a credential, as they are and as requests carry them.
func secretsOf(c *proto.Credential) []string {
	var plain []string
	switch s := c.GetSecret().(type) {
	case *proto.Credential_Oauth2:
		plain = []string{s.Oauth2.GetAccessToken()}
	case *proto.Credential_ApiKey:
		plain = []string{s.ApiKey.GetKey()}
	case *proto.Credential_UserPassword:
		pair := s.UserPassword.GetUsername() + ":" + s.UserPassword.GetPassword()
		plain = []string{base64.StdEncoding.EncodeToString([]byte(pair)), s.UserPassword.GetPassword()}
	case *proto.Credential_HostScoped:
		for _, value := range s.HostScoped.GetHeaders() {
			plain = append(plain, value)
			if _, token, ok := strings.Cut(value, " "); ok { // "Bearer …" is no secret
				plain = append(plain, token)
			}
		}
	}
	var texts []string
	for _, text := range plain {
		if len(text) < minVeiled {
			continue
		}
		texts = append(texts, text)
		quoted, _ := json.Marshal(text) // text always encodes
		for _, escaped := range []string{url.QueryEscape(text), url.PathEscape(text), string(quoted[1 : len(quoted)-1])} {
			if escaped != text {
				texts = append(texts, escaped)
			}
		}
	}
	return texts
}
