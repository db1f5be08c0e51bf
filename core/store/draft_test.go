package store

import (
	"errors"
	"strings"
	"testing"
)

// An image's address is shown to everybody: it leads a browser to a picture of a public site, and nowhere else.
func TestImagesAreAtAddressesWithoutHarm(t *testing.T) {
	t.Parallel()
	for address, fits := range map[string]bool{
		"https://a.example/b.png":                        true,
		"HTTPS://a.example:8443/b?c=d#e":                 true,
		"http://a.example/b.png":                         false,
		"javascript:alert(1)":                            false,
		"JavaScript://a.example/%0aalert(1)":             false,
		"data:image/svg+xml,<svg/>":                      false,
		"https://user:pw@a.example/b.png":                false,
		"https://user@a.example/b.png":                   false,
		"https://:443/b.png":                             false,
		"https:///b.png":                                 false,
		"https:b.png":                                    false,
		"//a.example/b.png":                              false,
		" https://a.example/b.png":                       false,
		"https://a.example/\nb.png":                      false,
		"https://a.example/\x00":                         false,
		"":                                               false,
		"https://a.example/" + strings.Repeat("x", 2048): false,
	} {
		d := Draft{Name: "n", ImageURLs: []string{address}}
		err := d.check()
		invalid, refused := errors.AsType[*Invalid](err)
		if refused == fits || refused && invalid.Fields["image_urls.0"] == "" {
			t.Errorf("%.80q: %v", address, err)
		}
	}
}
