package wires

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"andon/correction"
	"andon/wire"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// tree is a JSON value with its members in order; the editor below changes it
// as a person would, knowing nothing of offsets.
type tree struct {
	raw   string // of what is neither an object nor an array
	kind  byte   // { [ or 0
	names []string
	kids  []*tree
}

func parse(t failer, body []byte) *tree {
	t.Helper()
	d := jsontext.NewDecoder(strings.NewReader(string(body)), jsontext.AllowDuplicateNames(false))
	v := parseNext(t, d)
	if _, err := d.ReadToken(); err == nil {
		t.Fatalf("something follows %s", body)
	}
	return v
}

func parseNext(t failer, d *jsontext.Decoder) *tree {
	t.Helper()
	k := d.PeekKind()
	if k != '{' && k != '[' {
		v, err := d.ReadValue()
		if err != nil {
			t.Fatalf("not JSON: %v", err)
		}
		return &tree{raw: string(v)}
	}
	d.ReadToken()
	n := &tree{kind: byte(k)}
	for d.PeekKind() != '}' && d.PeekKind() != ']' {
		if k == '{' {
			name, err := d.ReadToken()
			if err != nil {
				t.Fatalf("not JSON: %v", err)
			}
			n.names = append(n.names, name.String())
		}
		n.kids = append(n.kids, parseNext(t, d))
	}
	d.ReadToken()
	return n
}

func (n *tree) String() string {
	var b strings.Builder
	switch n.kind {
	case 0:
		return n.raw
	case '{':
		for i, k := range n.kids {
			name, _ := jsontext.AppendQuote(nil, n.names[i])
			fmt.Fprintf(&b, ",%s:%s", name, k)
		}
		return "{" + strings.TrimPrefix(b.String(), ",") + "}"
	}
	for _, k := range n.kids {
		fmt.Fprintf(&b, ",%s", k)
	}
	return "[" + strings.TrimPrefix(b.String(), ",") + "]"
}

// at is the member of either name; nil if there is none.
func (n *tree) at(names ...string) *tree {
	if n == nil || n.kind != '{' {
		return nil
	}
	for i, name := range n.names {
		if slices.Contains(names, name) {
			return n.kids[i]
		}
	}
	return nil
}

func (n *tree) drop(names ...string) {
	for i := len(n.names) - 1; i >= 0; i-- {
		if slices.Contains(names, n.names[i]) {
			n.names, n.kids = slices.Delete(n.names, i, i+1), slices.Delete(n.kids, i, i+1)
		}
	}
}

func (n *tree) put(i int, name, raw string) {
	n.names, n.kids = slices.Insert(n.names, i, name), slices.Insert(n.kids, i, &tree{raw: raw})
}

func (n *tree) null() bool { return n == nil || n.raw == "null" }

func (n *tree) text() string {
	if n == nil || n.raw == "" || n.raw[0] != '"' {
		return ""
	}
	v, _ := strconv.Unquote(n.raw)
	return v
}

func (n *tree) number() float64 {
	v, err := strconv.ParseFloat(n.raw, 64)
	if err != nil {
		return -1
	}
	return v
}

// lower replaces a number that is larger than limit.
func (n *tree) lower(limit float64) {
	if n.number() > limit {
		n.raw = strconv.FormatFloat(limit, 'f', -1, 64)
	}
}

// kindsOf are the kinds of the tools that the generator below knows.
var kindsOf = map[string]correction.Features{
	"function": correction.FunctionTools, "custom": correction.FunctionTools, "web_search": correction.WebSearch, "file_search": correction.FileSearch,
	"code_interpreter": correction.CodeExecution, "mcp": correction.MCP, "image_generation": correction.ImageOutput, "computer_use_preview": correction.ComputerUse,
	"namespace": correction.FunctionTools, "web_search_20250305": correction.WebSearch, "code_execution_20250825": correction.CodeExecution,
	"mcp_toolset": correction.MCP, "bash_20250124": correction.CodeExecution, "googleSearch": correction.WebSearch, "google_search": correction.WebSearch,
	"codeExecution": correction.CodeExecution, "functionDeclarations": correction.FunctionTools, "function_declarations": correction.FunctionTools,
}

func drops(c *wire.Change, typ, name string) bool {
	return kindsOf[typ]&c.Strip != 0 || slices.Contains(c.StripTools, typ) || name != "" && slices.Contains(c.StripTools, name)
}

// filter keeps the elements of a list that fn spares, and says whether that
// leaves none of some.
func (n *tree) filter(out func(*tree) bool) (emptied bool) {
	if n == nil || n.kind != '[' || len(n.kids) == 0 {
		return false
	}
	n.kids = slices.DeleteFunc(n.kids, out)
	return len(n.kids) == 0
}

func toolName(t *tree) string {
	for _, v := range []*tree{t.at("name"), t.at("server_label"), t.at("mcp_server_name"), t.at("function").at("name"), t.at("custom").at("name")} {
		if v.text() != "" {
			return v.text()
		}
	}
	return ""
}

// edited is what Rewrite should make of a body; ok is false where what is to be
// taken out would leave nothing that has to be there.
func edited(rt wire.Route, root *tree, c *wire.Change) (ok bool) {
	var front [][2]string
	add := func(name, raw string) { front = append(front, [2]string{name, raw}) }
	num := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	config, gemini := root, strings.HasPrefix(rt.API, "gemini")
	bounds := map[string][]string{"openai.chat": {"max_completion_tokens", "max_tokens"}, "openai.responses": {"max_output_tokens"},
		"openai.completions": {"max_tokens"}, "anthropic.messages": {"max_tokens"}, "gemini.generateContent": {"maxOutputTokens", "max_output_tokens"}}[rt.API]
	if gemini {
		config = root.at("generationConfig", "generation_config")
	}
	if c.Model != "" && root.at("model") != nil {
		name := c.Model
		if gemini {
			name = "models/" + name
		}
		root.at("model").raw = strconv.Quote(name)
	}
	if limit := float64(c.OutputTokens); limit > 0 {
		said := false
		for _, name := range bounds {
			if b := config.at(name); !b.null() {
				said = true
				if b.number() == 0 && !strings.HasPrefix(rt.API, "anthropic") {
					b.raw = num(limit)
				}
				b.lower(limit)
			}
		}
		for _, f := range listOf(root.at("fallbacks")) {
			if b := f.at("max_tokens"); !b.null() {
				b.lower(limit)
			}
		}
		for _, name := range bounds {
			if b := config.at(name); b != nil && !said {
				b.raw, said = num(limit), true
			}
		}
		if !said {
			add(bounds[0], num(limit))
		}
	}
	for _, name := range []string{"n", "best_of", "candidateCount", "candidate_count"} {
		if v := config.at(name); v != nil && c.Choices > 0 && (name != "n" || !gemini) {
			v.lower(float64(c.Choices))
		}
	}
	if limit := c.Temperature; limit >= 0 {
		switch v := config.at("temperature"); {
		case v == nil && limit < 1:
			add("temperature", num(limit))
		case v == nil:
		case v.raw != "null":
			v.lower(limit)
		case limit < 1:
			v.raw = num(limit)
		}
	}
	if limit := c.ReasoningTokens; limit != 0 {
		limit = max(limit, 0)
		lowerThinking(root, limit)
		for _, f := range listOf(root.at("fallbacks")) {
			lowerThinking(f, limit)
		}
		if b := config.at("thinkingConfig").at("thinkingBudget"); b != nil && !b.null() {
			if b.raw == "-1" {
				b.raw = strconv.FormatInt(limit, 10)
			}
			b.lower(float64(limit))
		}
	}
	switch s := root.at("store"); {
	case c.Strip&correction.StoredConversations == 0:
	case s == nil && rt.API == "openai.responses":
		add("store", "false")
	case s != nil && (s.raw == "true" || rt.API == "openai.responses"):
		s.raw = "false"
	}
	if !editTools(rt, root, c) {
		return false
	}
	if c.Strip&correction.ParallelToolCalls != 0 {
		choice := root.at("tool_choice")
		if strings.HasPrefix(rt.API, "openai") {
			if p := root.at("parallel_tool_calls"); p != nil {
				p.raw = "false"
			} else if len(listOf(root.at("tools"))) > 0 {
				add("parallel_tool_calls", "false")
			}
		} else if choice == nil && len(listOf(root.at("tools")))+len(listOf(root.at("mcp_servers"))) > 0 {
			add("tool_choice", `{"type":"auto","disable_parallel_tool_use":true}`)
		} else if choice != nil && choice.raw == "null" {
			choice.raw = `{"type":"auto","disable_parallel_tool_use":true}`
		} else if d := choice.at("disable_parallel_tool_use"); d != nil {
			d.raw = "true"
		} else if choice != nil {
			choice.put(0, "disable_parallel_tool_use", "true")
		}
	}
	if gemini && len(front) > 0 && config == nil {
		root.put(0, "generationConfig", "")
		config = root.kids[0]
		*config = tree{kind: '{'}
	} else if config.null() && len(front) > 0 {
		*config = tree{kind: '{'}
	}
	for i, m := range front {
		config.put(i, m[0], m[1])
	}
	return true
}

func listOf(n *tree) []*tree {
	if n == nil || n.kind != '[' {
		return nil
	}
	return n.kids
}

func lowerThinking(n *tree, limit int64) {
	b := n.at("thinking").at("budget_tokens")
	if b.null() || b.number() <= float64(limit) {
		return
	}
	if limit < 1024 {
		n.drop("thinking")
	} else {
		b.lower(float64(limit))
	}
}

// editTools takes tools out, and what means nothing without them.
func editTools(rt wire.Route, root *tree, c *wire.Change) bool {
	gone := func(t *tree) bool {
		typ := t.at("type").text()
		if typ == "" {
			typ = "custom"
		}
		return drops(c, typ, toolName(t))
	}
	switch {
	case strings.HasPrefix(rt.API, "openai"):
		list := root.at("tool_choice").at("tools")
		if v := root.at("tool_choice").at("allowed_tools").at("tools"); v != nil {
			list = v
		}
		if list.filter(gone) {
			return false
		}
		if root.at("tools").filter(gone) {
			root.drop("tools", "tool_choice", "parallel_tool_calls")
		}
		if root.at("functions").filter(func(t *tree) bool { return drops(c, "function", toolName(t)) }) {
			root.drop("functions", "function_call")
		}
		if !root.at("web_search_options").null() && drops(c, "web_search", "") {
			root.drop("web_search_options")
		}
	case strings.HasPrefix(rt.API, "anthropic"):
		had := len(listOf(root.at("tools"))) + len(listOf(root.at("mcp_servers")))
		all := root.at("tools").filter(gone)
		servers := root.at("mcp_servers").filter(func(t *tree) bool { return drops(c, "mcp", toolName(t)) })
		if had > 0 && len(listOf(root.at("tools")))+len(listOf(root.at("mcp_servers"))) == 0 && strings.Contains(root.String(), `"tool_use"`) {
			return false
		}
		if all {
			root.drop("tools")
		}
		if servers {
			root.drop("mcp_servers")
		}
		if (all || servers) && root.at("tools") == nil && root.at("mcp_servers") == nil {
			root.drop("tool_choice")
		}
	default:
		declared, left := 0, 0
		if root.at("tools").filter(func(t *tree) bool {
			for i := len(t.names) - 1; i >= 0; i-- {
				name, v := t.names[i], t.kids[i]
				if name == "functionDeclarations" || name == "function_declarations" {
					declared += len(v.kids)
					if v.filter(func(f *tree) bool { return drops(c, "function", toolName(f)) }) {
						t.drop(name)
					} else {
						left += len(v.kids)
					}
				} else if snake := snakeCase(name); v.null() {
					continue
				} else if kindsOf[name]&c.Strip != 0 || slices.Contains(c.StripTools, snake) {
					t.drop(name)
				}
			}
			return !slices.ContainsFunc(t.kids, func(v *tree) bool { return !v.null() })
		}) {
			root.drop("tools", "toolConfig")
		} else if declared > 0 && left == 0 {
			if v := root.at("toolConfig"); v != nil {
				v.drop("functionCallingConfig")
			}
		}
	}
	return true
}

// drawBody makes a body of any order and spacing.
func drawBody(t *rapid.T, always []string, may [][]string) []byte {
	members := slices.Clone(always)
	for _, choices := range may {
		if k := rapid.IntRange(-1, len(choices)-1).Draw(t, "take"); k >= 0 {
			m := choices[k]
			for strings.Contains(m, "%d") {
				m = strings.Replace(m, "%d", strconv.FormatInt(rapid.Int64Range(0, 5000).Draw(t, "number"), 10), 1)
			}
			for strings.Contains(m, "%t") { // a list of tools, some of them
				from := strings.Index(m, "%t[")
				to := from + strings.Index(m[from:], "]%")
				var some []string
				for _, tool := range strings.Split(m[from+3:to], " | ") {
					if rapid.Bool().Draw(t, "offer") {
						some = append(some, tool)
					}
				}
				m = m[:from] + strings.Join(some, " , ") + m[to+2:]
			}
			members = append(members, m)
		}
	}
	members = rapid.Permutation(members).Draw(t, "order")
	space := rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "space")
	return []byte("{" + space + strings.Join(members, space+","+space) + space + "}")
}

const (
	chatTools = `"tools":[%t[{"type":"function","function":{"name":"f","description":"},{\"]"}} | {"type":"function","function":{"name":"g"}} | {"type":"custom","custom":{"name":"c"}}]%]`
	respTools = `"tools": [ %t[{"type":"function","name":"f"} | {"name":"g","type":"function"} | {"type":"web_search"} | {"type":"mcp","server_label":"gh"} | {"type":"code_interpreter","container":{"type":"auto"}} | {"type":"image_generation"} | {"type":"namespace","name":"crm","tools":[{"type":"function","name":"find"}]} | {"type":"file_search"}]% ]`
	anthTools = `"tools":[%t[{"name":"f","input_schema":{}} | {"type":"custom","name":"g"} | {"type":"web_search_20250305","name":"web_search"} | {"type":"code_execution_20250825","name":"code_execution"} | {"type":"mcp_toolset","mcp_server_name":"gh"} | {"type":"bash_20250124","name":"bash"}]%]`
	gemTools  = `"tools":[%t[{"functionDeclarations":[{"name":"f"},{"name":"g"}]} | {"googleSearch":{},"function_declarations":[{"name":"h"}]} | {"codeExecution":{}} | {"google_search":null,"codeExecution":{}}]%]`
)

var drawn = []struct {
	target string
	always []string
	may    [][]string
}{
	{"/v1/chat/completions", []string{`"model":"a"`}, [][]string{{chatTools}, {`"functions":[%t[{"name":"old"} | {"name":"f"}]%]`}, {`"function_call":"auto"`, `"function_call":{"name":"old"}`},
		{`"tool_choice":"auto"`, `"tool_choice":null`, `"tool_choice":"required"`, `"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}, {"type":"custom","custom":{"name":"c"}}]}}`},
		{`"parallel_tool_calls":true`, `"parallel_tool_calls":null`, `"parallel_tool_calls":false`}, {`"web_search_options":{}`}, {`"store":true`, `"store":null`, `"store":false`},
		{`"max_tokens":%d`, `"max_tokens":null`}, {`"max_completion_tokens":%d`, `"max_completion_tokens" : null`}, {`"n":%d`}, {`"temperature":0.7`, `"temperature":1e0`, `"temperature":null`, `"temperature":2`},
		{`"messages":[{"role":"user","content":"\"tools\":[]"}]`}, {`"x":{"tools":[1],"store":true}`}}},
	{"/v1/responses", []string{`"model":"a"`}, [][]string{{respTools}, {`"tool_choice":"auto"`, `"tool_choice":"none"`, `"tool_choice":{"type":"function","name":"f"}`,
		`"tool_choice":{"tools":[{"type":"web_search"},{"type":"mcp","server_label":"gh"}],"type":"allowed_tools","mode":"auto"}`},
		{`"parallel_tool_calls":true`, `"parallel_tool_calls":false`}, {`"store":true`, `"store":null`, `"store":false`}, {`"background":true`, `"previous_response_id":"r"`},
		{`"max_output_tokens":%d`, `"max_output_tokens":null`}, {`"temperature":1.5`}, {`"input":"x"`, `"input":[{"type":"additional_tools","role":"developer","tools":[{"type":"function","name":"late"}]}]`}}},
	{"/v1/completions", []string{`"model":"a"`}, [][]string{{`"n":%d`}, {`"best_of":%d`}, {`"max_tokens":%d`}, {`"prompt":"x"`}, {`"temperature":0`}}},
	{"/v1/messages", []string{`"model":"a"`}, [][]string{{anthTools}, {`"mcp_servers":[%t[{"type":"url","name":"gh"} | {"name":"jira"}]%]`},
		{`"tool_choice":{"type":"auto"}`, `"tool_choice":{"disable_parallel_tool_use":false,"type":"auto"}`, `"tool_choice":null`, `"tool_choice":{"type":"any"}`, `"tool_choice":{"type":"none"}`},
		{`"thinking":{"type":"enabled","budget_tokens":%d}`, `"thinking":null`, `"thinking":{"type":"disabled"}`}, {`"max_tokens":%d`, `"max_tokens":null`}, {`"temperature":0.2`},
		{`"fallbacks":[{"model":"b","thinking":{"type":"enabled","budget_tokens":%d}},{"thinking":{"type":"enabled","budget_tokens":%d},"model":"c","max_tokens":%d}]`},
		{`"messages":[]`, `"messages":[{"role":"assistant","content":[{"type":"tool_use","name":"f","input":{"type":"image"}}]}]`}}},
	{"/v1beta/models/m:generateContent", nil, [][]string{{gemTools}, {`"toolConfig":{"functionCallingConfig":{"mode":"AUTO"}}`, `"toolConfig":{"retrievalConfig":{},"functionCallingConfig":{},"x":1}`},
		{`"generationConfig":null`, `"generationConfig":{}`, `"generation_config":{ "temperature":%d , "candidateCount":%d}`, `"generationConfig":{"topK":1,"maxOutputTokens":%d,"thinkingConfig":{"thinkingBudget":-1}}`,
			`"generationConfig":{"thinkingConfig":{"includeThoughts":true,"thinkingBudget":%d},"maxOutputTokens":null,"temperature":null}`},
		{`"model":"models/m"`}, {`"contents":[]`}, {`"store":true`}}},
}

// Whatever is asked for, Rewrite does what an editor would who decodes the body,
// and no member moves. What was taken out is not found again.
func TestRewriteIsAnEdit(t *testing.T) {
	met := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		c := drawn[rapid.IntRange(0, len(drawn)-1).Draw(t, "api")]
		body := drawBody(t, c.always, c.may)
		w, rt := known(c.target)
		var e wire.Envelope
		if err := w.Read(rt, body, &e); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		ch := wire.Change{
			Model: rapid.SampledFrom([]string{"", "b"}).Draw(t, "model"), OutputTokens: rapid.Int64Range(0, 4000).Draw(t, "bound"),
			Choices: rapid.Int64Range(0, 3).Draw(t, "choices"), ReasoningTokens: rapid.SampledFrom([]int64{0, 0, -1, 1, 1023, 1024, 3000}).Draw(t, "reasoning"),
			Temperature: rapid.SampledFrom([]float64{-1, 0, 0.5, 0.75, 1, 1.25}).Draw(t, "temperature"),
			Strip:       correction.Features(rapid.Uint64Range(0, math.MaxUint64).Draw(t, "strip")) & e.Optional,
		}
		for _, name := range e.OptionalTools {
			if rapid.IntRange(0, 2).Draw(t, "drop") == 0 {
				ch.StripTools = append(ch.StripTools, name)
			}
		}
		root := parse(t, body)
		ok := edited(rt, root, &ch)
		out, err := wire.Rewrite([]byte("before"), body, &e, &ch)
		if !ok {
			if !errors.Is(err, wire.ErrKept) {
				t.Fatalf("%s: %+v should be refused, and became %s", body, ch, out)
			}
			met["kept"]++
			return
		}
		if err != nil {
			t.Fatalf("%s: %+v: %v", body, ch, err)
		}
		out = out[len("before"):]
		if got, want := parse(t, out).String(), root.String(); got != want {
			t.Fatalf("%s\n%+v\ngot  %s\nwant %s", body, ch, got, want)
		}
		checkTakenOut(t, w, rt, out, &e, &ch)
		if ch.Strip != 0 || len(ch.StripTools) > 0 {
			met["stripped "+rt.API]++
		}
	})
	for _, name := range []string{"stripped openai.chat", "stripped openai.responses", "stripped anthropic.messages", "stripped gemini.generateContent"} {
		if met[name] == 0 {
			t.Errorf("nothing was taken out: %s (%v)", name, met)
		}
	}
}

// known is Match for a target that is known.
func known(target string) (wire.Wire, wire.Route) {
	path, query, _ := strings.Cut(target, "?")
	w, rt, ok := Match("POST", path, query, headers())
	if !ok {
		panic("not known: " + target)
	}
	return w, rt
}

// checkTakenOut reads what Rewrite made: nothing that was taken out is in it.
func checkTakenOut(t failer, w wire.Wire, rt wire.Route, out []byte, e *wire.Envelope, c *wire.Change) {
	t.Helper()
	if c.Model != "" && rt.Model != "" {
		rt.Model = c.Model
	}
	var again wire.Envelope
	if err := w.Read(rt, out, &again); err != nil {
		t.Fatalf("%s is refused: %v", out, err)
	}
	if left := again.Features & c.Strip; left != 0 {
		t.Fatalf("%v is still there: %s", left.Names(), out)
	}
	for _, name := range c.StripTools {
		if slices.Contains(again.Tools, name) {
			t.Fatalf("%s is still offered: %s", name, out)
		}
	}
	if more := again.Features &^ e.Features; more != 0 {
		t.Fatalf("%v has come in: %s", more.Names(), out)
	}
	if c.Temperature >= 0 && again.Temperature > c.Temperature || c.Choices > 0 && again.Choices > max(c.Choices, 1) {
		t.Fatalf("temperature %v, choices %d: %s", again.Temperature, again.Choices, out)
	}
	if n := c.ReasoningTokens; n != 0 && again.Reasoning > max(n, 0) {
		t.Fatalf("%d tokens of reasoning: %s", again.Reasoning, out)
	}
}

// What is used and not optional is never taken out, whoever asks.
func TestRewriteKeepsWhatIsNeeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawn[rapid.IntRange(0, len(drawn)-1).Draw(t, "api")]
		body := drawBody(t, c.always, c.may)
		w, rt := known(c.target)
		var e wire.Envelope
		if err := w.Read(rt, body, &e); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if e.Optional&^e.Features != 0 {
			t.Fatalf("%s: optional and not used: %v", body, (e.Optional &^ e.Features).Names())
		}
		for f := correction.Tools; f <= correction.Realtime; f <<= 1 {
			out, err := wire.Rewrite(nil, body, &e, &wire.Change{Temperature: -1, Strip: f})
			switch {
			case e.Features&f == 0:
				if err != nil || string(out) != string(body) {
					t.Fatalf("%s without %v, which it does not use: %s, %v", body, f.Names(), out, err)
				}
			case e.Optional&f == 0:
				if !errors.Is(err, wire.ErrKept) || len(out) != 0 {
					t.Fatalf("%s without %v, which it needs: %s, %v", body, f.Names(), out, err)
				}
			case err != nil && !strings.Contains(string(body), "tool_use"):
				t.Fatalf("%s without %v: %v", body, f.Names(), err)
			case err == nil:
				checkTakenOut(t, w, rt, out, &e, &wire.Change{Temperature: -1, Strip: f})
			}
		}
		for _, name := range e.Tools {
			_, err := wire.Rewrite(nil, body, &e, &wire.Change{Temperature: -1, StripTools: []string{name}})
			if (err == nil) != slices.Contains(e.OptionalTools, name) && !strings.Contains(string(body), "tool_use") {
				t.Fatalf("%s without %s: %v, and optional are %v", body, name, err, e.OptionalTools)
			}
		}
	})
}

// checkStrips takes out of a body all that can be taken out, at once and one by
// one, and reads what is left.
func checkStrips(t failer, w wire.Wire, rt wire.Route, body []byte, e *wire.Envelope) {
	t.Helper()
	changes := []wire.Change{{Strip: e.Optional, Choices: 1, ReasoningTokens: 1, StripTools: e.OptionalTools}, {Temperature: 0.5, Strip: e.Optional, ReasoningTokens: 2000}}
	for f := correction.Tools; f <= correction.Realtime; f <<= 1 {
		if e.Optional&f != 0 {
			changes = append(changes, wire.Change{Temperature: -1, Strip: f})
		}
	}
	for _, name := range e.OptionalTools[:min(len(e.OptionalTools), 8)] {
		changes = append(changes, wire.Change{Temperature: -1, StripTools: []string{name}})
	}
	for _, c := range changes {
		out, err := wire.Rewrite(nil, body, e, &c)
		if errors.Is(err, wire.ErrKept) {
			continue
		}
		if err != nil {
			t.Fatalf("%s: %+v in %s", rt.API, err, body)
		}
		checkTakenOut(t, w, rt, out, e, &c)
	}
}
