package credential

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// keySize is that of AES-256.
const keySize = 32

// KeyID names a key without telling anything of it: the first four bytes of the key's SHA-256, in hexadecimal.
type KeyID string

// Keys are encryption keys, of which the first encrypts and all decrypt. They are immutable.
type Keys struct {
	raw  [][]byte
	ids  []KeyID
	aead tink.AEAD
}

// ParseKeys reads keys as they are set: each 32 bytes in base64 of any variant, with commas or space between them.
func ParseKeys(text string) (*Keys, error) {
	parts := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	if len(parts) == 0 {
		return nil, errors.New("there is no key")
	}
	raw := make([][]byte, len(parts))
	for i, part := range parts {
		key, err := decodeKey(part)
		if err != nil { // which must not show the key
			return nil, fmt.Errorf("key %d is not 32 bytes in base64, such as the output of: openssl rand -base64 32", i+1)
		}
		raw[i] = key
	}
	return newKeys(raw)
}

func decodeKey(text string) ([]byte, error) {
	text = strings.TrimRight(text, "=")
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	key, err := encoding.DecodeString(text)
	if err != nil || len(key) != keySize {
		return nil, errors.New("no key")
	}
	return key, nil
}

func newKeys(raw [][]byte) (*Keys, error) {
	k := &Keys{raw: raw}
	manager := keyset.NewManager()
	parameters, err := aesgcm.NewParameters(aesgcm.ParametersOpts{
		KeySizeInBytes: keySize, IVSizeInBytes: 12, TagSizeInBytes: 16, Variant: aesgcm.VariantTink,
	})
	if err != nil {
		return nil, err
	}
	for i, bytes := range raw {
		id, number := idOf(bytes)
		if slices.Contains(k.ids, id) {
			return nil, fmt.Errorf("key %d has the id %s of another one; leave one of them out", i+1, id)
		}
		k.ids = append(k.ids, id)
		key, err := aesgcm.NewKey(secretdata.NewBytesFromData(bytes, insecuresecretdataaccess.Token{}), number, parameters)
		if err != nil {
			return nil, err
		}
		if _, err := manager.AddKey(key); err != nil {
			return nil, err
		}
		if i == 0 {
			if err := manager.SetPrimary(number); err != nil {
				return nil, err
			}
		}
	}
	handle, err := manager.Handle()
	if err != nil {
		return nil, err
	}
	wrapping, err := aead.New(handle)
	if err != nil {
		return nil, err
	}
	k.aead = aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), wrapping)
	return k, nil
}

func idOf(key []byte) (KeyID, uint32) {
	digest := sha256.Sum256(key)
	number := binary.BigEndian.Uint32(digest[:4])
	return KeyID(fmt.Sprintf("%08x", number)), number
}

// newKey makes a key as ParseKeys reads it.
func newKey() string {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	return base64.StdEncoding.EncodeToString(key)
}

// Primary is the id of the key that encrypts.
func (k *Keys) Primary() KeyID { return k.ids[0] }

// IDs are those of all keys, the one that encrypts first.
func (k *Keys) IDs() []KeyID { return slices.Clone(k.ids) }

// Has says whether one of the keys has an id.
func (k *Keys) Has(id KeyID) bool { return slices.Contains(k.ids, id) }

// seal encrypts a secret under a key of its own, and that one under the first of the keys. It can be opened for the
// same user and id only.
func (k *Keys) seal(user, id string, s *Secret) ([]byte, error) {
	plain, err := json.Marshal((*sealed)(s))
	if err != nil {
		return nil, errors.New("the secret cannot be encoded")
	}
	defer clear(plain)
	return k.aead.Encrypt(plain, bound(user, id))
}

// sealFor is seal for a credential's row: with the secret goes what the credential is for, so that no change of the row
// can have it sent to somebody else.
func (k *Keys) sealFor(c *Credential, s *Secret) ([]byte, error) {
	own := *s
	own.For = c.purpose()
	return k.seal(c.UserID, c.ID, &own)
}

// purpose is who may get a credential's secret, and how. Of these texts only a host may hold a space, and none does.
func (c *Credential) purpose() string { return string(c.Type) + " " + c.Provider + " " + c.Host }

// open decrypts a secret.
func (k *Keys) open(user, id string, cipher []byte) (*Secret, error) {
	plain, err := k.aead.Decrypt(cipher, bound(user, id))
	if err != nil {
		return nil, errors.New("the stored secret is damaged, or belongs to another credential")
	}
	defer clear(plain)
	s := &Secret{}
	if err := json.Unmarshal(plain, (*sealed)(s)); err != nil {
		return nil, errors.New("the stored secret has an unknown form")
	}
	return s, nil
}

// bound is what a secret is bound to, so that it is of no use in another row. Ids hold no NUL.
func bound(user, id string) []byte { return []byte("patchbay credential\x00" + user + "\x00" + id) }
