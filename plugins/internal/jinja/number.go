package jinja

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"

	"github.com/nikolalohinski/gonja/v2/exec"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
)

// bigInt is an integer that fits no int.
type bigInt struct{ n *big.Int }

// String prints it, for the library too.
func (b bigInt) String() string { return b.n.String() }

// maxBits bounds integers: without it a power fills the memory. It is about the 4,300 digits that Python prints.
const maxBits = 14_300

var (
	errByZero   = errors.New("division by zero")
	errTooLarge = errors.New("the number is too large")
)

// number is Python's int or, where there is no i, its float.
type number struct {
	i *big.Int
	f float64
}

// numberOf takes booleans for 0 and 1, as Python does.
func numberOf(v *exec.Value) (number, bool) {
	switch x := v.Interface().(type) {
	case bigInt:
		return number{i: x.n}, true
	case exact:
		f, _ := strconv.ParseFloat(string(x), 64) // infinite, as in Python
		return number{f: f}, true
	}
	switch {
	case v.IsInteger():
		return number{i: big.NewInt(int64(v.Integer()))}, true
	case v.IsFloat():
		return number{f: v.Float()}, true
	case v.IsBool():
		if v.Bool() {
			return number{i: big.NewInt(1)}, true
		}
		return number{i: new(big.Int)}, true
	default:
		return number{}, false
	}
}

func integerValue(i *big.Int) (any, error) {
	switch {
	case i.IsInt64():
		return int(i.Int64()), nil
	case i.BitLen() > maxBits:
		return nil, errTooLarge
	default:
		return bigInt{i}, nil
	}
}

// float is refused where an integer is beyond all floats.
func (n number) float() (float64, error) {
	if n.i == nil {
		return n.f, nil
	}
	f, _ := new(big.Float).SetInt(n.i).Float64()
	if math.IsInf(f, 0) {
		return 0, errTooLarge
	}
	return f, nil
}

// calculate is one of Python's operations on numbers.
func calculate(operator string, a, b number) (any, error) {
	if a.i != nil && b.i != nil {
		return calculateIntegers(operator, a.i, b.i)
	}
	x, err := a.float()
	if err != nil {
		return nil, err
	}
	y, err := b.float()
	if err != nil {
		return nil, err
	}
	return calculateFloats(operator, x, y)
}

func calculateIntegers(operator string, a, b *big.Int) (any, error) {
	result := new(big.Int)
	switch operator {
	case "+":
		return integerValue(result.Add(a, b))
	case "-":
		return integerValue(result.Sub(a, b))
	case "*":
		return integerValue(result.Mul(a, b))
	case "/":
		if b.Sign() == 0 {
			return nil, errByZero
		}
		f, _ := new(big.Rat).SetFrac(a, b).Float64()
		if math.IsInf(f, 0) {
			return nil, errTooLarge
		}
		return f, nil
	case "//", "%":
		if b.Sign() == 0 {
			return nil, errByZero
		}
		rest := new(big.Int)
		result.QuoRem(a, b, rest)
		if rest.Sign() != 0 && rest.Sign() != b.Sign() { // Python rounds down, Go towards zero
			result.Sub(result, big.NewInt(1))
			rest.Add(rest, b)
		}
		if operator == "%" {
			return integerValue(rest)
		}
		return integerValue(result)
	case "**":
		if b.Sign() < 0 {
			x, _ := new(big.Float).SetInt(a).Float64()
			y, _ := new(big.Float).SetInt(b).Float64()
			return calculateFloats(operator, x, y)
		}
		if a.BitLen() > 1 && (!b.IsInt64() || b.Int64() > maxBits/int64(a.BitLen()-1)) {
			return nil, errTooLarge
		}
		if a.BitLen() <= 1 { // powers of -1, 0 and 1 depend on whether there is an exponent, and whether it is odd
			b = big.NewInt(int64(b.Bit(0)) + 2*int64(b.Sign()))
		}
		return integerValue(result.Exp(a, b, nil))
	default:
		return nil, fmt.Errorf("there is no operator %s", operator)
	}
}

func calculateFloats(operator string, a, b float64) (any, error) {
	switch operator {
	case "+":
		return a + b, nil
	case "-":
		return a - b, nil
	case "*":
		return a * b, nil
	case "/":
		if b == 0 {
			return nil, errByZero
		}
		return a / b, nil
	case "//", "%":
		if b == 0 {
			return nil, errByZero
		}
		rest := math.Mod(a, b)
		quotient := (a - rest) / b
		if rest != 0 && (rest < 0) != (b < 0) {
			rest += b
			quotient--
		}
		if operator == "%" {
			return rest, nil
		}
		whole := math.Floor(quotient)
		if quotient-whole > 0.5 {
			whole++
		}
		return whole, nil
	case "**":
		if a == 0 && b < 0 {
			return nil, errByZero
		}
		power := math.Pow(a, b)
		if math.IsNaN(power) && !math.IsNaN(a) && !math.IsNaN(b) {
			return nil, errors.New("a negative number has no real power with a fraction")
		}
		if math.IsInf(power, 0) && !math.IsInf(a, 0) && !math.IsInf(b, 0) {
			return nil, errTooLarge
		}
		return power, nil
	default:
		return nil, fmt.Errorf("there is no operator %s", operator)
	}
}

// compare orders two numbers exactly.
func (n number) compare(other number) int {
	if n.i != nil && other.i != nil {
		return n.i.Cmp(other.i)
	}
	a, b := n.big(), other.big()
	return a.Cmp(b)
}

func (n number) big() *big.Float {
	if n.i != nil {
		return new(big.Float).SetInt(n.i)
	}
	if math.IsNaN(n.f) {
		return new(big.Float).SetInf(true) // NaN comes of nothing but infinity minus infinity
	}
	return big.NewFloat(n.f)
}

// parseNumber reads the number of a template's values.
func parseNumber(text string) any {
	if value.IsInteger([]byte(text)) {
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
		if n, ok := new(big.Int).SetString(text, 10); ok && len(text) < maxBits {
			return bigInt{n}
		}
		return exact(text)
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return f
	}
	return exact(text)
}
