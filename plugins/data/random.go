package main

import (
	"crypto/rand"
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"sort"

	"gonum.org/v1/gonum/mathext/prng"
)

// random draws as Python's random does, so that a seed of an agent's author picks what it picked for him.
type random struct{ twister *prng.MT19937 }

// newRandom takes a seed of any size; nil draws differently each time.
func newRandom(seed *big.Int) random {
	var words []uint32
	if seed == nil {
		noise := make([]byte, 32)
		_, _ = rand.Read(noise) // it never fails
		for ; len(noise) > 0; noise = noise[4:] {
			words = append(words, binary.LittleEndian.Uint32(noise))
		}
	} else {
		rest, low := new(big.Int).Abs(seed), new(big.Int)
		for len(words) == 0 || rest.Sign() > 0 {
			words = append(words, uint32(low.And(rest, big.NewInt(math.MaxUint32)).Uint64()))
			rest.Rsh(rest, 32)
		}
	}
	twister := prng.NewMT19937()
	twister.SeedFromKeys(words)
	return random{twister}
}

// below draws an integer from 0 to n-1; n is at most 2³¹.
func (r random) below(n int) int {
	width := bits.Len(uint(n))
	for {
		if drawn := int(r.twister.Uint32() >> (32 - width)); drawn < n {
			return drawn
		}
	}
}

// float draws from 0 up to, but not including, 1.
func (r random) float() float64 {
	high, low := r.twister.Uint32()>>5, r.twister.Uint32()>>6
	return (float64(high)*(1<<26) + float64(low)) / (1 << 53)
}

// sample draws k different ones of the elements, in random order.
func (r random) sample(elements []int, k int) []int {
	drawn := make([]int, k)
	// Python looks drawn indices up in a set where that takes less memory than a copy, and draws differently then.
	setSize := 21
	if k > 5 {
		setSize += int(math.Pow(4, math.Ceil(math.Log(float64(k*3))/math.Log(4))))
	}
	if len(elements) > setSize {
		seen := make(map[int]bool, k)
		for i := range drawn {
			at := r.below(len(elements))
			for seen[at] {
				at = r.below(len(elements))
			}
			seen[at] = true
			drawn[i] = elements[at]
		}
		return drawn
	}
	pool := append([]int(nil), elements...)
	for i := range drawn {
		last := len(pool) - 1 - i
		at := r.below(last + 1)
		drawn[i], pool[at] = pool[at], pool[last]
	}
	return drawn
}

// weighted draws k indices, the same ones again and again perhaps, by the sums of weights up to each index.
func (r random) weighted(sums []float64, k int) []int {
	drawn := make([]int, k)
	for i := range drawn {
		wanted := r.float() * sums[len(sums)-1]
		drawn[i] = sort.Search(len(sums)-1, func(at int) bool { return sums[at] > wanted })
	}
	return drawn
}
