package jinja

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
)

func absolute(c filterCall) (any, error) {
	n, ok := numberOf(c.in)
	switch {
	case !ok:
		return nil, fmt.Errorf("%s is no number", typeName(c.in))
	case n.i == nil:
		return math.Abs(n.f), nil
	default:
		return integerValue(new(big.Int).Abs(n.i))
	}
}

var errUndefined = errors.New("what is undefined is no number")

func toInteger(c filterCall) (any, error) {
	base, err := c.integerOr(1, "base", 10)
	if err != nil {
		return nil, err
	}
	if isUndefined(c.in) {
		return nil, errUndefined
	}
	n, ok := numberOf(c.in)
	if text := c.in.String(); isText(c.in) && len(text) < maxBits {
		text = strings.ReplaceAll(strings.TrimFunc(text, value.IsSpace), "_", "")
		if base == 16 || base == 8 || base == 2 {
			prefix := map[int]string{16: "0x", 8: "0o", 2: "0b"}[base]
			text = strings.Replace(strings.ToLower(text), prefix, "", 1)
		}
		if base >= 2 && base <= 36 {
			n.i, ok = new(big.Int).SetString(text, base)
		}
		if parsed, isNumber := value.ParseNumber(c.in.String()); !ok && isNumber {
			n.i = nil
			n.f, err = strconv.ParseFloat(string(parsed), 64)
			ok = err == nil
		}
	}
	if ok && n.i == nil && (math.IsInf(n.f, 0) || math.IsNaN(n.f)) {
		ok = false
	}
	if !ok {
		return otherwise(c, 0), nil
	}
	if n.i == nil {
		n.i, _ = big.NewFloat(n.f).Int(nil)
	}
	return integerValue(n.i)
}

func toFloat(c filterCall) (any, error) {
	if isUndefined(c.in) {
		return nil, errUndefined
	}
	if n, ok := numberOf(c.in); ok {
		if f, err := n.float(); err == nil {
			return f, nil
		}
	} else if parsed, ok := value.ParseNumber(c.in.String()); ok && isText(c.in) {
		f, _ := strconv.ParseFloat(string(parsed), 64) // infinite, as in Python
		return f, nil
	} else if f, ok := value.NonFinite(c.in.String()); ok && isText(c.in) {
		return f, nil
	}
	return otherwise(c, 0.0), nil
}

func otherwise(c filterCall, usual any) any {
	if given := c.at(0, "default"); given != nil {
		return given
	}
	return usual
}

func rounded(c filterCall) (any, error) {
	precision, err := c.integerOr(0, "precision", 0)
	if err != nil {
		return nil, err
	}
	method, err := c.textOr(1, "method", "common")
	if err != nil {
		return nil, err
	}
	n, ok := numberOf(c.in)
	if !ok {
		return nil, fmt.Errorf("%s is no number", typeName(c.in))
	}
	f, err := n.float()
	if err != nil || n.i != nil && precision >= 0 && method == "common" {
		return c.in, nil
	}
	precision = min(max(precision, -400), 400)
	switch method {
	case "common":
		if precision >= 0 {
			f, err = strconv.ParseFloat(strconv.FormatFloat(f, 'f', precision, 64), 64)
			break
		}
		power := math.Pow10(-precision)
		if f = math.RoundToEven(f/power) * power; math.IsNaN(f) {
			f = 0 // the power is beyond all numbers
		}
		if n.i != nil {
			whole, _ := big.NewFloat(f).Int(nil)
			return integerValue(whole)
		}
	case "ceil", "floor":
		power := math.Pow10(precision)
		round := map[string]func(float64) float64{"ceil": math.Ceil, "floor": math.Floor}[method]
		f = round(f*power) / power
	default:
		return nil, fmt.Errorf("there is no method %q", method)
	}
	return f, err
}
