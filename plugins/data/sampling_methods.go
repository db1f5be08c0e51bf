package main

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

// maxGroups bounds strata and clusters: the time that they take grows with the square of their number.
const maxGroups = 10_000

// choose gives the indices of a sample.
func (in dataSamplingInput) choose(elements []json.RawMessage, draw random) ([]int, error) {
	n, k := len(elements), in.SampleSize
	if k > n {
		return nil, sdk.InvalidInput("the sample size %d is larger than the data: %d elements", k, n)
	}
	switch in.Method {
	case "random":
		return draw.sample(upTo(0, n), k), nil
	case "systematic":
		return systematic(n, k, draw), nil
	case "top":
		return upTo(0, k), nil
	case "bottom":
		return upTo(n-k, n), nil
	case "stratified":
		groups, err := grouped(elements, in.StratifyKey, "stratify_key")
		if err != nil {
			return nil, err
		}
		return stratified(groups, n, k, draw), nil
	case "weighted":
		sums, err := weights(elements, in.WeightKey)
		if err != nil {
			return nil, err
		}
		return draw.weighted(sums, k), nil
	case "reservoir":
		return reservoir(n, k, draw), nil
	case "cluster":
		groups, err := grouped(elements, in.ClusterKey, "cluster_key")
		if err != nil {
			return nil, err
		}
		return clusters(groups, k, draw), nil
	default:
		return nil, sdk.InvalidInput("there is no sampling method %q", in.Method)
	}
}

// upTo lists the integers from one to before another.
func upTo(from, to int) []int {
	list := make([]int, to-from)
	for i := range list {
		list[i] = from + i
	}
	return list
}

// systematic takes every so manieth element.
func systematic(n, k int, draw random) []int {
	indices := make([]int, k)
	if k == 0 {
		return indices
	}
	step := n / k
	start := draw.below(step)
	for i := range indices {
		indices[i] = start + i*step
	}
	return indices
}

// reservoir keeps the first elements, and lets each later one take the place of one of them with falling probability.
func reservoir(n, k int, draw random) []int {
	indices := upTo(0, k)
	for i := k; i < n; i++ {
		if at := draw.below(i + 1); at < k {
			indices[at] = i
		}
	}
	return indices
}

// stratified takes of each stratum a share of the sample as large as its share of the data, but one at least while
// there is room. What rounding leaves over, the largest shares give or take.
func stratified(strata [][]int, n, k int, draw random) []int {
	sizes, sum := make([]int, len(strata)), 0
	for i, stratum := range strata {
		sizes[i] = max(1, int(float64(len(stratum))/float64(n)*float64(k)))
		sum += sizes[i]
	}
	for ; sum > k; sum-- {
		sizes[largest(sizes, func(int) bool { return true })]--
	}
	for ; sum < k; sum++ {
		sizes[largest(sizes, func(i int) bool { return sizes[i] < len(strata[i]) })]++
	}
	indices := make([]int, 0, k)
	for i, stratum := range strata {
		indices = append(indices, draw.sample(stratum, sizes[i])...)
	}
	return indices
}

// largest is the index of the first largest size among those that may be taken.
func largest(sizes []int, may func(i int) bool) int {
	found := -1
	for i, size := range sizes {
		if may(i) && (found < 0 || size > sizes[found]) {
			found = i
		}
	}
	return found
}

// clusters takes whole clusters until they are enough, and leaves out some of their elements where they are too many.
func clusters(available [][]int, k int, draw random) []int {
	indices := []int{}
	for len(indices) < k {
		at := draw.below(len(available))
		indices = append(indices, available[at]...)
		available = append(available[:at:at], available[at+1:]...)
	}
	if len(indices) > k {
		return draw.sample(indices, k)
	}
	return indices
}

// grouped divides the elements by what stands at a key, in the order in which the values come first. Values are the
// same when Python prints them alike.
func grouped(elements []json.RawMessage, key *string, pin string) ([][]int, error) {
	var groups [][]int
	at := map[string]int{}
	for i, element := range elements {
		v, err := valueAt(element, i, key, pin)
		if err != nil {
			return nil, err
		}
		name := value.JSONText(v)
		if value.KindOf(v) == value.String {
			name = value.Text(v)
		}
		group, ok := at[name]
		if !ok && len(groups) == maxGroups {
			return nil, sdk.InvalidInput("pin %q: %q has more than %d different values", pin, *key, maxGroups)
		}
		if !ok {
			group = len(groups)
			at[name] = group
			groups = append(groups, nil)
		}
		groups[group] = append(groups[group], i)
	}
	return groups, nil
}

// weights gives for each element the sum of all weights up to its own.
func weights(elements []json.RawMessage, key *string) ([]float64, error) {
	sums, sum := make([]float64, len(elements)), 0.0
	for i, element := range elements {
		v, err := valueAt(element, i, key, "weight_key")
		if err != nil {
			return nil, err
		}
		weight, ok := weightOf(v)
		if !ok {
			return nil, sdk.InvalidInput("element %d of the data: the weight is no number, or a negative one: %.100s", i, v)
		}
		sum += weight
		sums[i] = sum
	}
	if sum <= 0 && len(elements) > 0 || math.IsInf(sum, 0) {
		return nil, sdk.InvalidInput("the weights add up to %v", sum)
	}
	return sums, nil
}

func weightOf(v json.RawMessage) (float64, bool) {
	switch value.KindOf(v) {
	case value.Bool:
		if value.Truthy(v) {
			return 1, true
		}
		return 0, true
	case value.String:
		var ok bool
		if v, ok = value.ParseNumber(value.Text(v)); !ok {
			return 0, false
		}
	case value.Number:
	default:
		return 0, false
	}
	weight, err := strconv.ParseFloat(string(v), 64)
	return weight, err == nil && weight >= 0
}

// valueAt is what an element has at a key.
func valueAt(element json.RawMessage, i int, key *string, pin string) (json.RawMessage, error) {
	if key == nil || *key == "" {
		return nil, sdk.InvalidInput("pin %q is empty: this method needs a key", pin)
	}
	if value.KindOf(element) == value.Object {
		if v, ok := value.Lookup(element, *key); ok && value.KindOf(v) != value.Null {
			return v, nil
		}
	}
	return nil, sdk.InvalidInput("element %d of the data has no %q", i, *key)
}
