package jinja

import (
	"reflect"
	"unsafe"

	controls "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// The engine's own filters. No template can spell their names.
const (
	printFilter   = "\x00print"   // what is printed
	nullFilter    = "\x00null"    // none
	listFilter    = "\x00list"    // [1, 2]
	tupleFilter   = "\x00tuple"   // (1, 2)
	dictFilter    = "\x00dict"    // {"a": 1}
	operateFilter = "\x00operate" // a + b
	signFilter    = "\x00sign"    // -a
	truthFilter   = "\x00truth"   // if a
	notFilter     = "\x00not"     // not a
	itemFilter    = "\x00item"    // a[b]
	dotFilter     = "\x00dot"     // a.b
	sliceFilter   = "\x00slice"   // a[b:c]
	methodFilter  = "\x00method"  // a.b(c)
	onlyFilter    = "\x00only"    // what a literal list has one of
	numberFilter  = "\x00number"  // an integer that fits no int
	loopFilter    = "\x00loop"    // loop(a)
)

// rewriter puts the expressions of the engine in the place of the references to them, and the engine's own filters where
// tags take values. The library's nodes are reached by reflection: its tags keep their expressions in unexported fields.
type rewriter struct {
	engine *engine
	seen   map[uintptr]bool
}

func (e *engine) rewrite(list []nodes.Node) {
	r := &rewriter{engine: e, seen: map[uintptr]bool{}}
	r.walk(reflect.ValueOf(list))
}

var (
	tokenType   = reflect.TypeFor[*tokens.Token]()
	literalType = reflect.TypeFor[*nodes.String]()
	outputType  = reflect.TypeFor[*nodes.Output]()
	ifType      = reflect.TypeFor[*controls.IfControlStructure]()
	engineType  = reflect.TypeFor[*engine]()
)

func (r *rewriter) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return
		}
		if v.Elem().Type() == literalType && v.CanSet() {
			if expression, ok := r.engine.referred(v.Elem().Elem().FieldByName("Val").String()); ok {
				v.Set(reflect.ValueOf(expression))
				return
			}
		}
		r.walk(v.Elem())
	case reflect.Pointer:
		if v.IsNil() || v.Type() == tokenType || v.Type() == engineType || r.seen[v.Pointer()] {
			return
		}
		r.seen[v.Pointer()] = true
		r.walk(v.Elem())
		switch v.Type() {
		case outputType:
			output := v.Interface().(*nodes.Output)
			output.Expression = filtered(output.Expression, printFilter)
		case ifType:
			tag := v.Interface().(*controls.IfControlStructure)
			for i, condition := range tag.Conditions {
				tag.Conditions[i] = filtered(condition, truthFilter)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Field(i)
			if !field.CanSet() && field.CanAddr() {
				field = reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem()
			}
			r.walk(field)
		}
	case reflect.Slice:
		for i := range v.Len() {
			r.walk(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			element := reflect.New(v.Type().Elem()).Elem()
			element.Set(v.MapIndex(key))
			r.walk(element)
			v.SetMapIndex(key, element)
		}
	}
}

func filtered(expression nodes.Expression, name string, arguments ...nodes.Expression) *nodes.FilteredExpression {
	return &nodes.FilteredExpression{Expression: expression, Filters: []*nodes.FilterCall{{Name: name, Args: arguments}}}
}
