package jinja

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// arguments are those of a call, by place or name.
type arguments struct {
	*exec.VarArgs
	engine *engine
	markup bool // whether they are a method's of markup
}

// at gives an argument, or nil where there is none; one without a place only has a name.
func (a arguments) at(place int, name string) *exec.Value {
	if v, ok := a.KwArgs[name]; ok {
		return v
	}
	if place >= 0 && place < len(a.Args) {
		return a.Args[place]
	}
	return nil
}

// text is an argument that must be there.
func (a arguments) text(place int, name string) (string, error) {
	v := a.at(place, name)
	if v == nil || !isText(v) {
		return "", fmt.Errorf("it needs a string: %s", name)
	}
	return v.String(), nil
}

// textOr is an argument that may be left out, or none.
func (a arguments) textOr(place int, name, otherwise string) (string, error) {
	if v := a.at(place, name); v == nil || v.IsNil() {
		return otherwise, nil
	}
	return a.text(place, name)
}

func (a arguments) integer(place int, name string) (int, error) {
	v := a.at(place, name)
	if v == nil {
		return 0, fmt.Errorf("it needs a number: %s", name)
	}
	n, ok := numberOf(v)
	if !ok || n.i == nil {
		return 0, fmt.Errorf("%s is %s, not a whole number", name, typeName(v))
	}
	return clamped(n), nil
}

func (a arguments) integerOr(place int, name string, otherwise int) (int, error) {
	if v := a.at(place, name); v == nil || v.IsNil() {
		return otherwise, nil
	}
	return a.integer(place, name)
}

func (a arguments) flag(place int, name string) bool {
	v := a.at(place, name)
	return v != nil && v.IsTrue()
}

type (
	textMethod func(self string, a arguments) (any, error)
	listMethod func(self []any, a arguments) (result any, changed []any, err error)
	dictMethod func(self *exec.Value, a arguments) (any, error)
)

func isMethod(name string) bool {
	_, ofText := textMethods[name]
	_, ofList := listMethods[name]
	_, ofDict := dictMethods[name]
	return ofText || ofList || ofDict
}

// noMethods leaves none of the library's: {{ a.b() }} with a known method never comes to it.
func noMethods() exec.Methods {
	return exec.Methods{
		Bool:  exec.NewMethodSet(map[string]exec.Method[bool]{}),
		Int:   exec.NewMethodSet(map[string]exec.Method[int]{}),
		Float: exec.NewMethodSet(map[string]exec.Method[float64]{}),
		Str:   exec.NewMethodSet(map[string]exec.Method[string]{}),
		Dict:  exec.NewMethodSet(map[string]exec.Method[map[string]any]{}),
		List:  exec.NewMethodSet(map[string]exec.Method[[]any]{}),
	}
}

// method is a.b(c): params are the method's name and its arguments.
func (e *engine) method(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	name := params.Args[0].String()
	result, err := e.call(in, name, arguments{VarArgs: &exec.VarArgs{Args: params.Args[1:], KwArgs: params.KwArgs}, engine: e})
	if err != nil {
		return exec.AsValue(fmt.Errorf("method %s: %w", name, err))
	}
	return exec.AsValue(result)
}

func (e *engine) call(in *exec.Value, name string, a arguments) (any, error) {
	switch {
	case isText(in):
		if method, ok := textMethods[name]; ok {
			if isMarkup(in) {
				return e.markupMethod(method, name, in.String(), a)
			}
			return method(in.String(), a)
		}
	case in.IsList():
		method, ok := listMethods[name]
		if !ok {
			break
		}
		result, changed, err := method(e.elements(in), a)
		if err != nil || changed == nil {
			return result, err
		}
		list, ok := in.Interface().(*[]any)
		if !ok {
			return nil, fmt.Errorf("%s cannot be changed", typeName(in))
		}
		*list = changed
		return result, nil
	case in.IsDict():
		if method, ok := dictMethods[name]; ok {
			return method(in, a)
		}
	}
	return nil, fmt.Errorf("%s has no such method", typeName(in))
}

// listMethods give a list back if they change it.
var listMethods = map[string]listMethod{
	"append": func(self []any, a arguments) (any, []any, error) {
		if len(a.Args) != 1 {
			return nil, nil, errors.New("it takes one value")
		}
		return (*null)(nil), append(self, a.Args[0].Interface()), nil
	},
	"extend": func(self []any, a arguments) (any, []any, error) {
		if len(a.Args) != 1 || !isIterable(a.Args[0]) {
			return nil, nil, errors.New("it takes one list")
		}
		return (*null)(nil), append(self, a.engine.elements(a.Args[0])...), nil
	},
	"insert": func(self []any, a arguments) (any, []any, error) {
		at, err := a.integer(0, "index")
		if err != nil || len(a.Args) != 2 {
			return nil, nil, errors.New("it takes a place and a value")
		}
		if at < 0 {
			at += len(self)
		}
		return (*null)(nil), slices.Insert(self, min(max(at, 0), len(self)), a.Args[1].Interface()), nil
	},
	"pop": func(self []any, a arguments) (any, []any, error) {
		at, err := a.integerOr(0, "index", -1)
		if err != nil {
			return nil, nil, err
		}
		if at < 0 {
			at += len(self)
		}
		if at < 0 || at >= len(self) {
			return nil, nil, errors.New("the list has no such element")
		}
		taken := self[at]
		return taken, slices.Delete(self, at, at+1), nil
	},
	"remove": func(self []any, a arguments) (any, []any, error) {
		at, err := position(self, a)
		if err != nil {
			return nil, nil, err
		}
		return (*null)(nil), slices.Delete(self, at, at+1), nil
	},
	"clear": func([]any, arguments) (any, []any, error) { return (*null)(nil), []any{}, nil },
	"copy":  func(self []any, _ arguments) (any, []any, error) { return newList(self), nil, nil },
	"index": func(self []any, a arguments) (any, []any, error) {
		at, err := position(self, a)
		return at, nil, err
	},
	"count": func(self []any, a arguments) (any, []any, error) {
		n := 0
		for _, element := range self {
			if len(a.Args) == 1 && a.engine.equal(exec.ToValue(element), a.Args[0]) {
				n++
			}
		}
		return n, nil, nil
	},
	"reverse": func(self []any, _ arguments) (any, []any, error) {
		slices.Reverse(self)
		return (*null)(nil), self, nil
	},
	"sort": func(self []any, a arguments) (any, []any, error) {
		err := a.engine.sorted(self, a.flag(-1, "reverse"), func(v *exec.Value) *exec.Value { return v })
		return (*null)(nil), self, err
	},
}

// position is where the first equal element stands.
func position(self []any, a arguments) (int, error) {
	if len(a.Args) == 0 {
		return 0, errors.New("it takes a value")
	}
	at := slices.IndexFunc(self, func(element any) bool { return a.engine.equal(exec.ToValue(element), a.Args[0]) })
	if at < 0 {
		return 0, errors.New("the list has no such element")
	}
	return at, nil
}

// dictMethods are those that read, and update.
var dictMethods = map[string]dictMethod{
	"get": func(self *exec.Value, a arguments) (any, error) {
		if len(a.Args) == 0 {
			return nil, errors.New("it takes a key")
		}
		if found, ok := a.engine.member(self, a.Args[0]); ok {
			return found.Interface(), nil
		}
		if otherwise := a.at(1, "default"); otherwise != nil {
			return otherwise.Interface(), nil
		}
		return (*null)(nil), nil
	},
	"keys":  func(self *exec.Value, a arguments) (any, error) { return dictKeys(a.engine.elements(self)), nil },
	"items": func(self *exec.Value, a arguments) (any, error) { return dictItems(a.engine.items(self)), nil },
	"values": func(self *exec.Value, a arguments) (any, error) {
		values := []any{}
		for _, pair := range a.engine.pairs(self) {
			values = append(values, pair[1].Interface())
		}
		return dictValues(values), nil
	},
	"pop": func(self *exec.Value, a arguments) (any, error) {
		if len(a.Args) == 0 {
			return nil, errors.New("it takes a key")
		}
		members, err := changeable(self)
		if err != nil {
			return nil, err
		}
		taken, ok := a.engine.member(self, a.Args[0])
		if !ok {
			if len(a.Args) > 1 {
				return a.Args[1].Interface(), nil
			}
			return nil, errors.New("the dictionary has no such key")
		}
		delete(members, a.Args[0].String())
		return taken.Interface(), nil
	},
	"popitem": func(self *exec.Value, a arguments) (any, error) {
		members, err := changeable(self)
		if err != nil {
			return nil, err
		}
		pairs := a.engine.items(self)
		if len(pairs) == 0 {
			return nil, errors.New("the dictionary is empty")
		}
		last := pairs[len(pairs)-1].(tuple)
		delete(members, last[0].(string))
		return last, nil
	},
	"setdefault": func(self *exec.Value, a arguments) (any, error) {
		members, err := changeable(self)
		if err != nil {
			return nil, err
		}
		if len(a.Args) == 0 || !isText(a.Args[0]) {
			return nil, errors.New("it takes a key, a string")
		}
		if found, ok := a.engine.member(self, a.Args[0]); ok {
			return found.Interface(), nil
		}
		var member any = (*null)(nil)
		if otherwise := a.at(1, "default"); otherwise != nil {
			member = otherwise.Interface()
		}
		key := a.Args[0].String()
		members[key] = member
		at := reflect.ValueOf(members).Pointer()
		a.engine.keyOrder[at] = append(a.engine.keyOrder.without(at, key), key)
		return member, nil
	},
	"clear": func(self *exec.Value, _ arguments) (any, error) {
		members, err := changeable(self)
		clear(members)
		return (*null)(nil), err
	},
	"copy": func(self *exec.Value, a arguments) (any, error) { return a.engine.merged(self, nil, nil) },
	"update": func(self *exec.Value, a arguments) (any, error) {
		members, ok := self.Interface().(map[string]any)
		if !ok || len(a.Args) > 1 || len(a.Args) == 1 && !a.Args[0].IsDict() {
			return nil, errors.New("it takes one dictionary, and the keys are strings")
		}
		var other *exec.Value
		if len(a.Args) == 1 {
			other = a.Args[0]
		}
		changed, err := a.engine.merged(self, other, a.KwArgs)
		if err != nil {
			return nil, err
		}
		for key, member := range changed {
			members[key] = member
		}
		a.engine.keyOrder[reflect.ValueOf(members).Pointer()] = a.engine.keyOrder[reflect.ValueOf(changed).Pointer()]
		return (*null)(nil), nil
	},
}

// changeable are a dictionary's members.
func changeable(dictionary *exec.Value) (map[string]any, error) {
	members, ok := dictionary.Interface().(map[string]any)
	if !ok {
		return nil, errors.New("only dictionaries whose keys are strings can be changed")
	}
	return members, nil
}

// merged is a dictionary with the members of others in it.
func (e *engine) merged(self, other *exec.Value, named map[string]*exec.Value) (map[string]any, error) {
	members, keys := map[string]any{}, []string{}
	set := func(key string, v any) {
		if _, ok := members[key]; !ok {
			keys = append(keys, key)
		}
		members[key] = v
	}
	for _, dictionary := range []*exec.Value{self, other} {
		if dictionary == nil {
			continue
		}
		for _, pair := range e.pairs(dictionary) {
			if !isText(pair[0]) {
				return nil, errors.New("it takes dictionaries whose keys are strings")
			}
			set(pair[0].String(), pair[1].Interface())
		}
	}
	for _, name := range sortedNames(named) {
		set(name, named[name].Interface())
	}
	return e.newDict(members, keys), nil
}
