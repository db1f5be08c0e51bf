package execution

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// bytesOf are so many bytes, of which a part repeats.
func bytesOf(n, noise int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	data := bytes.Repeat([]byte(`{"k":"value"}`), n/13+1)[:n]
	for range n * noise / 100 {
		data[r.IntN(n)] = byte(r.IntN(256))
	}
	return data
}

func TestLargeValuesComeBackExactlyAndInSmallRows(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(1, chunkSize/4), rapid.IntRange(1, chunkSize/4), rapid.IntRange(1, 2*chunkSize), rapid.SampledFrom([]int{chunkSize - 1, chunkSize, chunkSize + 1, 2 * chunkSize, 5*chunkSize + 1})).Draw(t, "bytes")
		data := bytesOf(n, rapid.SampledFrom([]int{0, 10, 300}).Draw(t, "noise"), rapid.Uint64().Draw(t, "seed"))
		id, digest := uuid.Must(uuid.NewV7()), sha256.Sum256(data)
		for range rapid.IntRange(1, 2).Draw(t, "times") { // again, as after a crash
			if err := h.storeValue(h.t.Context(), id, digest[:], data); err != nil {
				t.Fatal(err)
			}
		}
		back, err := h.largeValue(h.t.Context(), id, digest[:])
		if err != nil || !bytes.Equal(back, data) {
			t.Fatalf("%d bytes came back as %d: %v", len(data), len(back), err)
		}
		var largest int
		if err := h.db.QueryRowContext(h.t.Context(), `SELECT max(length(data)) FROM value WHERE execution_id = ?`, id).Scan(&largest); err != nil || largest > chunkSize {
			t.Fatalf("a row has %d bytes: %v", largest, err)
		}
	})
}

func TestWhatIsMissingOfALargeValueIsNoticed(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	data := bytesOf(3*chunkSize, 300, 7)
	digest := sha256.Sum256(data)
	store := func() uuid.UUID {
		id := uuid.Must(uuid.NewV7())
		if err := h.storeValue(t.Context(), id, digest[:], data); err != nil {
			t.Fatal(err)
		}
		return id
	}
	for _, c := range []struct{ name, harm string }{
		{"the first chunk", `DELETE FROM value WHERE chunk = 0 AND execution_id = ?`},
		{"one within", `DELETE FROM value WHERE chunk = 1 AND execution_id = ?`},
		{"a part of the first", `UPDATE value SET data = substring(data for 9) WHERE chunk = 0 AND execution_id = ?`},
		{"what tells how it is packed", `UPDATE value SET packing = 1 WHERE chunk = 1 AND execution_id = ?`},
		{"packed in a new way", `UPDATE value SET packing = 9 WHERE chunk = 0 AND execution_id = ?`},
	} {
		id := store()
		if _, err := h.db.ExecContext(t.Context(), c.harm, id); err != nil {
			t.Fatal(err)
		}
		if back, err := h.largeValue(t.Context(), id, digest[:]); !errors.Is(err, errUnreadable) {
			t.Errorf("%s: %d bytes, %v", c.name, len(back), err)
		}
	}
	if _, err := h.largeValue(t.Context(), uuid.Must(uuid.NewV7()), digest[:]); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("no value at all: %v", err)
	}
}
