package graph

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// secretKey says whether a key names a secret by the rule of export files, which must not lose more: they come back as
// they were. A boolean is none: it says whether something is secret.
func secretKey(key string, v json.RawMessage) bool {
	if jsonscan.KindOf(v) == jsonscan.Bool {
		return false
	}
	key = strings.ToLower(key)
	for _, word := range []string{"credentials", "api_key", "password", "token", "secret"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

// Words of names of secrets, normalised. Short ones occur in other words and have to be the whole name.
var (
	secretWords = []string{
		"accesskey", "accountkey", "apikey", "authkey", "authorization", "bearer", "cookie", "credential", "encryptionkey", "jwt",
		"passphrase", "passwd", "password", "privatekey", "secret", "sessionid", "signature", "signingkey", "sshkey",
		"subscriptionkey", "token",
	}
	secretWholeNames     = []string{"auth", "pass", "pwd", "sid", "sig", "xauth"}
	secretParameterNames = []string{"hmac", "key"} // of URLs
)

// secretName says whether others than the author must take what has this name, however it is spelt, for a secret.
func secretName(name string) bool {
	for _, delimiter := range block.Delimiters { // headers_#_X-Auth
		if i := strings.LastIndex(name, delimiter); i >= 0 {
			name = name[i+len(delimiter):]
		}
	}
	name = normalised(name)
	return slices.Contains(secretWholeNames, name) || slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(name, word) })
}

// normalised is a name in lower case, of letters and digits only.
func normalised(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// nameIn is the name that an object with a value has, that of a secret first.
func nameIn(object json.RawMessage) string {
	var found string
	for _, key := range []string{"name", "key"} {
		if v, ok := jsonscan.Find(object, key); ok && jsonscan.KindOf(v) == jsonscan.String {
			if found = jsonscan.Unquote(v); secretName(found) {
				break
			}
		}
	}
	return found
}

// harmless says whether the value beside a secret's name is none.
func harmless(object, v json.RawMessage) bool {
	kind := jsonscan.KindOf(v)
	return kind == jsonscan.Bool || kind == jsonscan.Null || isCount(nameIn(object), v)
}

// isCount says whether something counts tokens, as max_tokens does.
func isCount(name string, v json.RawMessage) bool {
	return jsonscan.KindOf(v) == jsonscan.Number && strings.Contains(normalised(name), "tokens")
}

var (
	userInfo  = regexp.MustCompile(`://([^/?#\s"'<>]+)@`)
	parameter = regexp.MustCompile(`[?&;#]([^=&;?#\s]+)=([^&;#\s"'<>]+)`)
)

// text blanks user names, passwords and secret parameters of URLs in a JSON string. A parameter that a template fills
// stays.
func (s stripping) text(v json.RawMessage) json.RawMessage {
	plain := jsonscan.Unquote(v)
	if !strings.ContainsAny(plain, "=@") {
		return v
	}
	kept := blank(plain, userInfo, func(m []string) bool {
		s.removedText(m[1])
		if _, password, ok := strings.Cut(m[1], ":"); ok {
			s.removedText(password)
		}
		return true
	})
	kept = blank(kept, parameter, func(m []string) bool {
		name, err := url.QueryUnescape(m[1])
		if err != nil {
			name = m[1]
		}
		if !secretName(name) && !slices.Contains(secretParameterNames, normalised(name)) || strings.HasPrefix(m[2], "{{") {
			return false
		}
		s.removedText(m[2])
		return true
	})
	if kept == plain {
		return v
	}
	return jsonscan.AppendString(nil, kept)
}

// removedText tells of a secret in a URL, as it stands there and as it is meant.
func (s stripping) removedText(text string) {
	s.removed(jsonscan.AppendString(nil, text), false)
	if meant, err := url.QueryUnescape(text); err == nil && meant != text {
		s.removed(jsonscan.AppendString(nil, meant), false)
	}
}

// blank cuts the last group out of those matches that are secret.
func blank(text string, pattern *regexp.Regexp, secret func(groups []string) bool) string {
	var kept strings.Builder
	end := 0
	for _, at := range pattern.FindAllStringSubmatchIndex(text, -1) {
		groups := make([]string, len(at)/2)
		for i := range groups {
			groups[i] = text[at[2*i]:at[2*i+1]]
		}
		if last := at[len(at)-2:]; secret(groups) {
			kept.WriteString(text[end:last[0]])
			end = last[1]
		}
	}
	kept.WriteString(text[end:])
	return kept.String()
}
