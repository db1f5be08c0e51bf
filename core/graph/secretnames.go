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
	secretParameterNames = []string{"hmac", "key", "signature"} // of URLs
)

// secretName says whether others than the author must take what has this name, however it is spelt, for a secret.
func secretName(name string) bool {
	for _, delimiter := range block.Delimiters { // headers_#_X-Auth
		if i := strings.LastIndex(name, delimiter); i >= 0 {
			name = name[i+len(delimiter):]
		}
	}
	plain := normalised(name)
	return slices.Contains(secretWholeNames, plain) || hasSecretWord(plain) && !plainName(wordsOf(name))
}

func hasSecretWord(plain string) bool {
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(plain, word) })
}

// Names that have a word of secrets and are none. What is not known to be harmless is a secret.
var (
	// describing is the last word of what tells something about a secret: token_type, password_length.
	describing = []string{
		"age", "count", "decimals", "expiration", "expires", "expiry", "field", "format", "label", "length", "limit", "name", "placeholder",
		"policy", "price", "provider", "selector", "symbol", "ttl", "type",
	}
	// besideToken are words around the tokens that models count, and those that lists go on with: max_output_tokens, nextPageToken.
	besideToken = []string{
		"bos", "budget", "cached", "completion", "context", "continuation", "continue", "count", "cursor", "eos", "estimated", "generated", "input",
		"limit", "list", "llm", "mask", "max", "maximum", "min", "minimum", "minute", "model", "new", "next", "num", "number", "of", "output", "pad", "page",
		"pagination", "per", "prev", "previous", "prompt", "reasoning", "remaining", "request", "response", "sep", "size", "special", "start", "stop", "sync",
		"to", "total", "unk", "usage", "used", "window",
	}
	// besideSignature are words of signatures that prove something, and so are as good as a key: X-Hub-Signature. Others
	// stand below letters.
	besideSignature = []string{
		"amz", "goog", "hash", "hmac", "hub", "jwt", "key", "request", "sas", "sha1", "sha256", "shopify", "slack", "stripe", "svix", "twilio", "url", "webhook", "x",
	}
	// endpoints are addresses where tokens are got: token_url. Other addresses can be secrets themselves.
	endpoints = []string{"endpoint", "uri", "url"}
)

// plainName says whether a name with a word of secrets, taken apart, is none of a secret.
func plainName(words []string) bool {
	last := words[len(words)-1]
	if len(words) > 1 && slices.Contains(describing, last) {
		return true
	}
	if len(words) > 1 && slices.Contains(endpoints, last) && slices.Contains([]string{"token", "authorization"}, words[len(words)-2]) {
		return true
	}
	rest, tokens, signed := []string{}, "", false
	for _, word := range words {
		switch word {
		case "token", "tokens":
			tokens = word
		case "signature", "signatures":
			signed = true
		default:
			rest = append(rest, word)
		}
	}
	switch {
	case tokens != "" && signed, hasSecretWord(strings.Join(rest, "")):
		return false
	case tokens != "": // "token" alone is one
		return (tokens == "tokens" || len(rest) > 0) && !slices.ContainsFunc(rest, func(word string) bool { return !slices.Contains(besideToken, word) })
	case signed:
		return !slices.ContainsFunc(rest, func(word string) bool { return slices.Contains(besideSignature, word) })
	}
	return false
}

// wordsOf takes a name apart, whether it is written as next_page_token, Next-Page-Token or nextPageToken, in lower case.
func wordsOf(name string) []string {
	var words []string
	runes := []rune(name)
	begin := 0
	end := func(i int) {
		if i > begin {
			words = append(words, strings.ToLower(string(runes[begin:i])))
		}
		begin = i
	}
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end(i)
			begin = i + 1
		case i > begin && unicode.IsUpper(r) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			end(i)
		}
	}
	end(len(runes))
	return words
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
