package correction

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// whenCost bounds one evaluation, in CEL's cost units. An evaluation that would
// go beyond fails, and a failure is judged against the caller.
const whenCost = 10_000

// whenVars are the variables of a when expression. All lists may be empty, all
// texts are "" where nothing is known, and numbers that the request does not say
// are 0, but for temperature, which is negative then.
var whenVars = []struct {
	name string
	typ  *cel.Type
	get  func(*Request) any
}{
	{"model", cel.StringType, func(r *Request) any { return r.Model }},
	{"version", cel.StringType, func(r *Request) any { return r.Version }},
	{"surface", cel.StringType, func(r *Request) any { return r.Surface }},
	{"org", cel.StringType, func(r *Request) any { return r.Org }},
	{"user", cel.StringType, func(r *Request) any { return first(r.Users) }},
	{"users", cel.ListType(cel.StringType), func(r *Request) any { return texts(r.Users) }},
	{"key", cel.StringType, func(r *Request) any { return r.Key }},
	{"tier", cel.StringType, func(r *Request) any { return r.Tier }},
	{"country", cel.StringType, func(r *Request) any { return country(r.Country) }},
	{"ip", cel.StringType, func(r *Request) any { return addrText(r.IP) }},
	{"attributes", cel.ListType(cel.StringType), func(r *Request) any { return texts(r.Attributes) }},
	{"use_cases", cel.ListType(cel.StringType), func(r *Request) any { return texts(r.UseCases) }},
	{"tools", cel.ListType(cel.StringType), func(r *Request) any { return texts(r.Tools) }},
	{"stream", cel.BoolType, func(r *Request) any { return r.Features&Streaming != 0 }},
	{"tools_offered", cel.BoolType, func(r *Request) any { return r.Features&Tools != 0 }},
	{"output_tokens", cel.IntType, func(r *Request) any { return r.OutputTokens }},
	{"derivative", cel.StringType, func(r *Request) any { return r.Derivative }},
	{"features", cel.ListType(cel.StringType), func(r *Request) any { return texts(r.Features.Names()) }},
	{"generates", cel.BoolType, func(r *Request) any { return r.Generates }},
	{"continues", cel.BoolType, func(r *Request) any { return r.Continues }},
	{"messages", cel.IntType, func(r *Request) any { return r.Messages }},
	{"input_tokens", cel.IntType, func(r *Request) any { return r.InputTokens }},
	{"choices", cel.IntType, func(r *Request) any { return r.Choices }},
	{"temperature", cel.DoubleType, func(r *Request) any { return r.Temperature }},
	{"reasoning_tokens", cel.IntType, func(r *Request) any { return r.Reasoning }},
}

var whenNames = func() []string {
	names := make([]string, len(whenVars))
	for i, v := range whenVars {
		names[i] = v.name
	}
	return names
}()

func first(values []string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func texts(values []string) any { return types.NewStringList(types.DefaultTypeAdapter, values) }

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

var whenEnv = sync.OnceValues(func() (*cel.Env, error) {
	opts := make([]cel.EnvOption, 0, len(whenVars))
	for _, v := range whenVars {
		opts = append(opts, cel.Variable(v.name, v.typ))
	}
	return cel.NewEnv(opts...)
})

// whenCache remembers compiled expressions, so that a new revision does not
// compile again what the last one had. It forgets all when it is full.
var whenCache = struct {
	sync.Mutex
	programs map[string]cel.Program
}{programs: map[string]cel.Program{}}

const whenCacheSize = 4096

// compileWhen checks and compiles an expression. The error says where it is wrong.
func compileWhen(expr string) (cel.Program, error) {
	if len(expr) > MaxWhenBytes {
		return nil, fmt.Errorf("has %d bytes; at most %d", len(expr), MaxWhenBytes)
	}
	if !utf8.ValidString(expr) {
		return nil, errors.New("is not valid UTF-8")
	}
	whenCache.Lock()
	prg, ok := whenCache.programs[expr]
	whenCache.Unlock()
	if ok {
		return prg, nil
	}
	env, err := whenEnv()
	if err != nil {
		return nil, fmt.Errorf("prepare expressions: %w", err)
	}
	ast, iss := env.Compile(expr)
	if err := iss.Err(); err != nil {
		return nil, celError(iss)
	}
	if !ast.OutputType().IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("must be true or false, but is of type %s", ast.OutputType())
	}
	prg, err = env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(whenCost))
	if err != nil {
		return nil, fmt.Errorf("cannot be evaluated: %s", oneLine(err.Error()))
	}
	whenCache.Lock()
	if len(whenCache.programs) >= whenCacheSize {
		clear(whenCache.programs)
	}
	whenCache.programs[strings.Clone(expr)] = prg
	whenCache.Unlock()
	return prg, nil
}

// celError keeps the first message and its place; CEL's own text draws an arrow
// under the source, over many lines.
func celError(iss *cel.Issues) error {
	errs := iss.Errors()
	if len(errs) == 0 {
		return errors.New(oneLine(iss.Err().Error()))
	}
	e := errs[0]
	if e.Location.Line() < 1 {
		return errors.New(oneLine(e.Message)) // about the whole
	}
	return fmt.Errorf("line %d, column %d: %s", e.Location.Line(), e.Location.Column()+1, oneLine(e.Message))
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 256 {
		s = strings.ToValidUTF8(s[:256], "") + "…"
	}
	return s
}

// facts are a request's values as a CEL expression sees them. It holds a copy,
// so that the caller's Request need not live on the heap.
type facts struct{ r Request }

var factsPool = sync.Pool{New: func() any { return new(facts) }}

// ResolveName finds the value of a variable.
func (f *facts) ResolveName(name string) (any, bool) {
	for i := range whenVars {
		if whenVars[i].name == name {
			return whenVars[i].get(&f.r), true
		}
	}
	return nil, false
}

// Parent is nil: there is no outer scope.
func (f *facts) Parent() cel.Activation { return nil }

// holds evaluates an expression; failed is what a failure counts as.
func holds(prg cel.Program, r *Request, failed bool) bool {
	f := factsPool.Get().(*facts)
	f.r = *r
	val, _, err := prg.Eval(f)
	f.r = Request{}
	factsPool.Put(f)
	if err != nil {
		return failed
	}
	b, ok := val.(types.Bool)
	if !ok {
		return failed
	}
	return bool(b)
}
