package rest

import (
	"strconv"
	"strings"
	"time"
)

// maxWait is what longer waits count as.
const maxWait = 60 * time.Second

// preferredWait is how long the header Prefer (RFC 7240) asks to wait. Preferences that are unknown or make no sense
// are ignored, as is every repetition of one.
func preferredWait(header string) (time.Duration, bool) {
	for _, preference := range splitUnquoted(header, ',') {
		preference = splitUnquoted(preference, ';')[0] // parameters follow
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		value = strings.Trim(value, " \t")
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		return seconds(value)
	}
	return 0, false
}

func seconds(digits string) (time.Duration, bool) {
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n > int(maxWait/time.Second) { // an error is a number too large for an int
		return maxWait, true
	}
	return time.Duration(n) * time.Second, true
}

// tagMatches says whether the header If-None-Match names etag, weakly compared.
func tagMatches(header, etag string) bool {
	for _, tag := range splitUnquoted(header, ',') {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}

// splitUnquoted splits at separators outside of quoted strings; there is always one part.
func splitUnquoted(s string, separator byte) []string {
	var parts []string
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
