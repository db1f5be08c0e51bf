package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

// maxDigits bounds integers, before and after calculating: without it a power fills the memory.
const maxDigits = 4300

type calculatorInput struct {
	Operation string          `json:"operation" required:"true" enum:"Add,Subtract,Multiply,Divide,Power" placeholder:"Select an operation" doc:"What to do with the numbers"`
	A         json.RawMessage `json:"a" type:"number" required:"true" placeholder:"For example: 10" doc:"First number"`
	B         json.RawMessage `json:"b" type:"number" required:"true" placeholder:"For example: 5" doc:"Second number"`
	Round     bool            `json:"round_result" default:"false" doc:"Round the result to an integer, halves to the even one"`
}

var calculator = sdk.Block[calculatorInput]{
	ID:          "b1ab9b19-67a6-406d-abf5-2dba76d00c79",
	Name:        "Calculator",
	Description: "Adds, subtracts, multiplies or divides two numbers, or raises one to the power of the other",
	Categories:  []string{"LOGIC"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("result", sdk.Number("The result"))},
	Run: func(_ context.Context, in calculatorInput, out sdk.Emitter) error {
		result, err := calculate(in.Operation, in.A, in.B, in.Round)
		if err != nil {
			return sdk.InvalidInput("Calculation failed: %w", err)
		}
		return out.Emit("result", result)
	},
	Examples: []sdk.Example{
		{Input: `{"operation": "Add", "a": 8, "b": 34}`, Output: `{"result": [42]}`},
		{Input: `{"operation": "Divide", "a": 8, "b": 2}`, Output: `{"result": [4.0]}`},
		{Input: `{"operation": "Divide", "a": 7, "b": 2, "round_result": true}`, Output: `{"result": [4]}`},
	},
}

var (
	errTooLarge = errors.New("the numbers or their result are too large")
	errByZero   = errors.New("division by zero")
	errNotReal  = errors.New("a negative number has no real power with a fraction")
)

// calculate is exact where both numbers are integers and stay so, and floating point else.
func calculate(operation string, a, b json.RawMessage, round bool) (json.RawMessage, error) {
	if len(a) > maxDigits || len(b) > maxDigits {
		return nil, errTooLarge
	}
	x, isWhole := integer(a)
	y, areWhole := integer(b)
	if isWhole && areWhole && staysInteger(operation, y) {
		return calculateIntegers(operation, x, y)
	}
	return calculateFloats(operation, a, b, round)
}

// integer reads an integer, also one that is written as a float without a fraction: text that was made a number is.
func integer(raw json.RawMessage) (*big.Int, bool) {
	whole, fraction, _ := strings.Cut(string(raw), ".")
	if strings.Trim(fraction, "0") != "" {
		return nil, false
	}
	return new(big.Int).SetString(whole, 10)
}

func staysInteger(operation string, y *big.Int) bool {
	return operation != "Divide" && (operation != "Power" || y.Sign() >= 0)
}

func calculateFloats(operation string, a, b json.RawMessage, round bool) (json.RawMessage, error) {
	x, err := strconv.ParseFloat(string(a), 64)
	if err != nil {
		return nil, errTooLarge
	}
	y, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return nil, errTooLarge
	}
	result, err := floatResult(operation, x, y)
	if err != nil {
		return nil, err
	}
	return number(result, round), nil
}

func calculateIntegers(operation string, x, y *big.Int) (json.RawMessage, error) {
	result := new(big.Int)
	switch operation {
	case "Add":
		result.Add(x, y)
	case "Subtract":
		result.Sub(x, y)
	case "Multiply":
		result.Mul(x, y)
	case "Power":
		const maxBits = maxDigits * 10 / 3
		if x.BitLen() > 1 && (!y.IsInt64() || y.Int64() > maxBits/int64(x.BitLen()-1)) {
			return nil, errTooLarge
		}
		if x.BitLen() <= 1 && !y.IsInt64() {
			// Powers of -1, 0 and 1 only depend on whether the exponent is even.
			y = big.NewInt(2 + int64(y.Bit(0)))
		}
		result.Exp(x, y, nil)
	default:
		return nil, fmt.Errorf("there is no operation %q", operation)
	}
	text := result.String()
	if len(text) > maxDigits+1 {
		return nil, errTooLarge
	}
	return json.RawMessage(text), nil
}

func floatResult(operation string, x, y float64) (float64, error) {
	var result float64
	switch operation {
	case "Add":
		result = x + y
	case "Subtract":
		result = x - y
	case "Multiply":
		result = x * y
	case "Divide":
		if y == 0 {
			return 0, errByZero
		}
		result = x / y
	case "Power":
		if x == 0 && y < 0 {
			return 0, errByZero
		}
		result = math.Pow(x, y)
	default:
		return 0, fmt.Errorf("there is no operation %q", operation)
	}
	if math.IsNaN(result) {
		return 0, errNotReal
	}
	if math.IsInf(result, 0) {
		return 0, errTooLarge
	}
	return result, nil
}

// number writes a float as Python does: 4.0, 1e-07.
func number(f float64, round bool) json.RawMessage {
	if f == 0 {
		f = 0 // and no -0
	}
	if round {
		whole, _ := big.NewFloat(math.RoundToEven(f)).Int(nil)
		return json.RawMessage(whole.String())
	}
	return json.RawMessage(value.FloatText(f))
}
