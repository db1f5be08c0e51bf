package credential

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

func mustKeys(t *testing.T, text string) *Keys {
	t.Helper()
	k, err := ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestParseKeys(t *testing.T) {
	t.Parallel()
	raw := bytes.Repeat([]byte{0xfb, 0xff}, 16)
	std, other := base64.StdEncoding.EncodeToString(raw), newKey()
	for name, c := range map[string]struct {
		text string
		want int // keys; 0: refused
	}{
		"standard base64":   {std, 1},
		"without padding":   {strings.TrimRight(std, "="), 1},
		"URL-safe":          {base64.URLEncoding.EncodeToString(raw), 1},
		"two with a comma":  {std + "," + other, 2},
		"two lines":         {std + "\n" + other + "\n", 2},
		"comma and space":   {" " + std + ", " + other + " ", 2},
		"nothing":           {" , \n", 0},
		"too short":         {base64.StdEncoding.EncodeToString(raw[:31]), 0},
		"too long":          {base64.StdEncoding.EncodeToString(append(raw, 1)), 0},
		"no base64":         {strings.Repeat("!", 44), 0},
		"the same twice":    {std + "," + std, 0},
		"one good, one not": {std + ",x", 0},
	} {
		k, err := ParseKeys(c.text)
		if (err == nil) != (c.want > 0) || err == nil && len(k.IDs()) != c.want {
			t.Errorf("%s: %v, %v", name, k, err)
		}
		if err != nil && (strings.Contains(err.Error(), std[:8]) || strings.Contains(err.Error(), "!!!")) {
			t.Errorf("%s: the error shows a key: %v", name, err)
		}
	}
	if id := mustKeys(t, std).Primary(); len(id) != 8 || id != mustKeys(t, other+","+std).IDs()[1] {
		t.Errorf("the id is %q", id)
	}
}

func TestASecretOpensForItsUserAndIDOnly(t *testing.T) {
	t.Parallel()
	old, k := newKey(), newKey()
	keys := mustKeys(t, k)
	secret := &Secret{APIKey: "sk-1", RefreshToken: "r", Headers: map[string]string{"X": "y"}, Metadata: map[string]json.RawMessage{"m": json.RawMessage("1")}}
	cipher, err := keys.seal("ann", "1", secret)
	if err != nil {
		t.Fatal(err)
	}
	got, err := mustKeys(t, old+","+k).open("ann", "1", cipher)
	if err != nil || got.APIKey != "sk-1" || got.RefreshToken != "r" || got.Headers["X"] != "y" || string(got.Metadata["m"]) != "1" {
		t.Fatalf("%v", err)
	}
	again, err := keys.seal("ann", "1", secret)
	if err != nil || bytes.Equal(again, cipher) {
		t.Error("the same secret looks the same twice")
	}
	for name, c := range map[string]struct {
		keys     *Keys
		user, id string
	}{
		"another user": {keys, "bob", "1"}, "another id": {keys, "ann", "2"}, "ends shifted": {keys, "ann\x001", ""}, "another key": {mustKeys(t, old), "ann", "1"},
	} {
		if _, err := c.keys.open(c.user, c.id, cipher); err == nil {
			t.Errorf("%s opens it", name)
		}
	}
	for i := range cipher {
		changed := bytes.Clone(cipher)
		changed[i] ^= 1
		if _, err := keys.open("ann", "1", changed); err == nil {
			t.Errorf("it opens with byte %d changed", i)
		}
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	t.Parallel()
	const canary = "canary-77a0"
	s := Secret{APIKey: canary, Username: canary, Password: canary, AccessToken: canary, RefreshToken: canary, Headers: map[string]string{canary: canary}}
	var out bytes.Buffer
	for _, value := range []any{s, &s, struct{ S Secret }{s}, struct{ S *Secret }{&s}, []Secret{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb, value)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "s", value)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "s", value)
		if err := json.NewEncoder(&out).Encode(value); err != nil {
			t.Error(err)
		}
	}
	if strings.Contains(out.String(), canary) || strings.Contains(out.String(), fmt.Sprintf("%x", canary)) {
		t.Errorf("it shows: %s", out.String())
	}
}

func TestKeysOfAFile(t *testing.T) {
	t.Parallel()
	path, db := filepath.Join(t.TempDir(), "encryption-keys"), postgrestest.DB(t)
	if _, err := FileKeys(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("without a file: %v", err)
	}
	var wait sync.WaitGroup
	rings := make([]*Keyring, 8)
	for i := range rings { // servers that start at the same moment agree
		wait.Go(func() {
			var err error
			if rings[i], err = NewFileKeys(t.Context(), db, path); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	first, err := rings[0].current()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	// Two that renew the same key at once make one new one.
	for _, ring := range rings {
		wait.Go(func() {
			if err := ring.renew(first.Primary()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for i, ring := range rings {
		keys, err := ring.current()
		if err != nil || len(keys.IDs()) != 2 || keys.IDs()[1] != first.Primary() {
			t.Errorf("keyring %d: %v %v", i, keys.IDs(), err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// What was read holds while the file is broken.
	if err := os.WriteFile(path, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if keys, err := rings[0].current(); err != nil || len(keys.IDs()) != 2 {
		t.Errorf("%v", err)
	}
	if _, err := FileKeys(path); err == nil || strings.Contains(err.Error(), "junk") {
		t.Errorf("%v", err)
	}
}

func TestKeysThatAreSetStay(t *testing.T) {
	t.Parallel()
	ring, err := FixedKeys(newKey())
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.renew(ring.keys.Primary()); !errors.Is(err, ErrFixedKeys) {
		t.Errorf("%v", err)
	}
}
