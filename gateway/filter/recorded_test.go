package filter

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

	"andon/correction"
	"andon/detect"
	"andon/wire"
	"andon/wire/wires"
)

// recordings holds exchanges with real providers. It lies beside the
// repository, not in it.
const recordings = "../../../shared/data"

// recorded is one recorded stream, or whole answer, cut into events.
type recorded struct {
	name   string
	w      wire.Wire
	rt     wire.Route
	events []string
}

func (r recorded) body() string { return strings.Join(r.events, "") }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func target(t testing.TB, where string) (wire.Wire, wire.Route) {
	path, query, _ := strings.Cut(where, "?")
	w, rt, ok := wires.Match("POST", path, query, nil)
	if !ok {
		t.Fatalf("%s is not known", where)
	}
	return w, rt
}

func routeOf(file string) string {
	switch {
	case strings.Contains(file, "anthropic"):
		return "/v1/messages"
	case strings.Contains(file, "google"):
		return "/v1beta/models/m:streamGenerateContent"
	case strings.Contains(file, "responses"), strings.Contains(file, "azure"):
		return "/v1/responses"
	case strings.Contains(file, "completion/"):
		return "/v1/completions"
	}
	return "/v1/chat/completions"
}

// streams are the recorded streams, each framed as its provider does. Those of
// Gemini come as an array, too.
func streams(t testing.TB) (all []recorded) {
	t.Helper()
	if _, err := os.Stat(recordings); err != nil {
		t.Skipf("NOT RUN: the recorded exchanges are not at %s", recordings)
	}
	for _, pattern := range []string{"vercel-ai-fixtures/*/*.chunks.txt", "vercel-ai-fixtures/*/*/*.chunks.txt"} {
		for _, file := range must(filepath.Glob(recordings + "/" + pattern)) {
			if strings.Contains(file, "interactions") {
				continue // an API that no route leads to
			}
			raw := string(must(os.ReadFile(file)))
			name := filepath.Base(file)
			lines := strings.Split(strings.TrimSpace(raw), "\n")
			lines = slices.DeleteFunc(lines, func(l string) bool { return !json.Valid([]byte(l)) && l != "[DONE]" })
			where := routeOf(file)
			var events []string
			if strings.Contains(file, "google") {
				w, rt := target(t, where)
				var array []string
				for i, l := range lines {
					array = append(array, map[bool]string{true: "[", false: ",\r\n"}[i == 0]+l)
					events = append(events, "data: "+l+"\r\n\r\n")
				}
				all = append(all, recorded{name + " as an array", w, rt, append(array, "\r\n]")})
				where += "?alt=sse"
			} else {
				for i, l := range lines {
					e := "data: " + l + "\n\n"
					switch i % 7 {
					case 2:
						e = "event: x\r\ndata:" + l + "\r\n\r\n"
					case 4:
						e = ": keep-alive\n\nid: 1\n" + e
					}
					events = append(events, e)
				}
			}
			w, rt := target(t, where)
			all = append(all, recorded{name, w, rt, events})
		}
	}
	for _, pattern := range []string{"envoy-ai-gateway-cassettes/*.yaml", "anthropic-sdk-cassettes/*.yaml"} {
		for _, file := range must(filepath.Glob(recordings + "/" + pattern)) {
			var c struct {
				Interactions []struct {
					Request  struct{ Body, URL string }
					Response struct{ Body string }
				}
			}
			if err := yaml.Unmarshal(must(os.ReadFile(file)), &c); err != nil {
				t.Fatal(err)
			}
			for i, x := range c.Interactions {
				at := strings.Index(x.Request.URL, "/v1/")
				if at < 0 || !strings.HasPrefix(strings.TrimSpace(x.Response.Body), "event:") && !strings.HasPrefix(x.Response.Body, "data:") {
					continue
				}
				path, _, _ := strings.Cut(x.Request.URL[at:], "?")
				w, rt, ok := wires.Match("POST", path, "", nil)
				if !ok {
					continue
				}
				all = append(all, recorded{fmt.Sprint(filepath.Base(file), " ", i), w, rt, strings.SplitAfter(x.Response.Body, "\n\n")})
			}
		}
	}
	if len(all) < 60 {
		t.Fatalf("only %d recorded streams", len(all))
	}
	return all
}

// answers are the recorded whole answers, as one event each.
func answers(t testing.TB) (all []recorded) {
	t.Helper()
	if _, err := os.Stat(recordings); err != nil {
		t.Skipf("NOT RUN: the recorded exchanges are not at %s", recordings)
	}
	for _, pattern := range []string{"vercel-ai-fixtures/*/*.json", "vercel-ai-fixtures/*/*/*.json"} {
		for _, file := range must(filepath.Glob(recordings + "/" + pattern)) {
			if strings.Contains(file, "interactions") || strings.Contains(file, "skills") || strings.Contains(file, "embedding") {
				continue
			}
			w, rt := target(t, strings.Replace(routeOf(file), "streamGenerate", "generate", 1))
			all = append(all, recorded{filepath.Base(file), w, rt, []string{string(must(os.ReadFile(file)))}})
		}
	}
	return all
}

// filter sends a body through s, in reads of random sizes, as a gateway does.
func filter(s *Stream, rt wire.Route, body string, rnd *rand.Rand) (out string, hit *Hit) {
	framer := wire.NewFramer(rt)
	var event, sent []byte
	take := func(b []byte, h *Hit) bool {
		sent = append(sent, b...)
		hit = h
		return h == nil
	}
	for rest := []byte(body); len(rest) > 0; {
		chunk := rest[:min(len(rest), 1+rnd.IntN(300))]
		rest = rest[len(chunk):]
		for len(chunk) > 0 {
			n := framer.Frame(chunk)
			if n == 0 {
				event = append(event, chunk...)
				break
			}
			event = append(event, chunk[:n]...)
			if !take(s.Write(event)) {
				return string(sent), hit
			}
			event, chunk = event[:0], chunk[n:]
		}
	}
	if len(event) > 0 && !take(s.Write(event)) {
		return string(sent), hit
	}
	take(s.End())
	return string(sent), hit
}

func guard(t testing.TB, rules ...Rule) *Guard {
	t.Helper()
	g, err := New(rules)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func literals(t testing.TB, list ...string) *detect.Set {
	t.Helper()
	set, err := detect.Compile(detect.Spec{Literals: list})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// near has much that begins and nothing that ends in ordinary text.
func near(t testing.TB) *detect.Set {
	set, err := detect.Compile(detect.Spec{
		Literals: []string{"the \x01", "e \x01", " \x01", "{\"\x01", "a\x01", "s\x01", "you\x01", "ing the\x01", "1\x01"},
		Regexps:  []string{`[a-z]{1,9}\x01`, `\.\s{0,3}\x01`},
	})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestNothingIsChangedWhereNothingIsFound(t *testing.T) {
	g := guard(t, Rule{ID: "near", Set: near(t)}, Rule{ID: "other", Set: near(t), Action: Redact}, Rule{ID: "tool", ToolNames: []string{"weather\x01", "no"}})
	n := 0
	for k, r := range streams(t) {
		for seed := range uint64(3) {
			out, hit := filter(g.Stream(r.w, r.rt), r.rt, r.body(), rand.New(rand.NewPCG(uint64(k), seed)))
			if hit != nil || out != r.body() {
				t.Errorf("%s: %d bytes of %d came through; hit %+v", r.name, len(out), len(r.body()), hit)
			}
		}
		n += len(r.events)
	}
	t.Logf("%d events", n)
}

// texts are what a client makes of events: the texts that it joins, and every
// string that comes by itself. It is written with the standard library and
// knows no more than the APIs' references say.
type texts struct {
	running map[string]string
	where   map[string][]int // for each byte, its event
	single  map[string]int   // the event of a string that comes whole
}

func decode(event string) (v map[string]any) {
	var data []string
	for line := range strings.FieldsFuncSeq(event, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if d, ok := strings.CutPrefix(line, "data:"); ok {
			data = append(data, d)
		}
	}
	text := strings.Join(data, "\n")
	if data == nil {
		text = strings.TrimLeft(event, "[, \r\n")
	}
	json.Unmarshal([]byte(text), &v)
	return v
}

func client(events []string) *texts {
	x := &texts{map[string]string{}, map[string][]int{}, map[string]int{}}
	answer := 0 // some recordings have several, one after the other
	for i, e := range events {
		add := func(key string, v any) {
			s, _ := v.(string)
			key = fmt.Sprint(answer, " ", key)
			x.running[key] += s
			for range len(s) {
				x.where[key] = append(x.where[key], i)
			}
		}
		v := decode(e)
		for _, c := range list(v["choices"]) {
			n := fmt.Sprint(c["index"])
			add("text "+n, c["text"])
			d := object(c["delta"])
			for _, name := range []string{"content", "reasoning", "reasoning_content", "refusal"} {
				add(name+n, d[name])
			}
			for _, call := range list(d["tool_calls"]) {
				add(fmt.Sprint("arguments ", n, call["index"]), object(call["function"])["arguments"])
			}
		}
		for k, c := range list(v["candidates"]) {
			for _, p := range list(object(c["content"])["parts"]) {
				add(fmt.Sprint("candidate ", k, p["thought"]), p["text"])
			}
		}
		typ, _ := v["type"].(string)
		if typ == "message_start" || typ == "response.created" {
			answer++
		}
		if strings.HasSuffix(typ, ".delta") {
			add(fmt.Sprint(typ, v["output_index"], v["content_index"], v["summary_index"], v["command_index"]), v["delta"])
		}
		if d := object(v["delta"]); typ == "content_block_delta" {
			add("message", d["text"])
			add(fmt.Sprint("thinking ", v["index"]), d["thinking"])
			add(fmt.Sprint("input ", v["index"]), d["partial_json"])
		}
		strs(v, func(name, s string) {
			if _, ok := x.single[s]; !ok {
				x.single[s] = i
			}
		})
	}
	return x
}

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }

func list(v any) (all []map[string]any) {
	l, _ := v.([]any)
	for _, e := range l {
		all = append(all, object(e))
	}
	return all
}

// strs calls fn for every string, and every name, in v.
func strs(v any, fn func(name, s string)) {
	switch v := v.(type) {
	case map[string]any:
		for name, e := range v {
			if s, ok := e.(string); ok {
				fn(name, s)
			} else {
				fn("", name)
				strs(e, fn)
			}
		}
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				fn("", s)
			} else {
				strs(e, fn)
			}
		}
	}
}

// first is the first event in which a byte of word stands: in a text that is
// joined, and in any string at all.
func (x *texts) first(word string) (joined, any int) {
	joined = 1 << 30
	for key, s := range x.running {
		if at := strings.Index(s, word); at >= 0 {
			joined = min(joined, x.where[key][at])
		}
	}
	any = joined
	for s, i := range x.single {
		if strings.Contains(s, word) {
			any = min(any, i)
		}
	}
	return joined, any
}

// words picks stretches of what is said, at random.
func (x *texts) words(rnd *rand.Rand, n int) (all []string) {
	var keys []string
	for key, s := range x.running {
		if len(s) > 8 {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for range n {
		if len(keys) == 0 {
			return nil
		}
		s := x.running[keys[rnd.IntN(len(keys))]]
		from := rnd.IntN(len(s) - 6)
		to := min(len(s), from+6+rnd.IntN(30))
		for !utf8.RuneStart(s[from]) {
			from--
		}
		for to < len(s) && !utf8.RuneStart(s[to]) {
			to++
		}
		all = append(all, s[from:to])
	}
	return all
}

func TestWhatIsForbiddenNeverComes(t *testing.T) {
	exact, tried := 0, 0
	for k, r := range streams(t) {
		rnd := rand.New(rand.NewPCG(uint64(k), 7))
		all := client(r.events)
		for _, word := range all.words(rnd, 6) {
			g := guard(t, Rule{ID: "near", Set: near(t)}, Rule{ID: "word", Set: literals(t, word), Action: Cut})
			out, hit := filter(g.Stream(r.w, r.rt), r.rt, r.body(), rnd)
			joined, any := all.first(word)
			tried++
			if hit == nil || hit.Rule != 1 || hit.Cause != Pattern {
				t.Errorf("%s: %q: hit %+v", r.name, word, hit)
				continue
			}
			// Whole events, up to the one where it begins.
			n, size := 0, 0
			for n < len(r.events) && size+len(r.events[n]) <= len(out) {
				size += len(r.events[n])
				n++
			}
			if out != strings.Join(r.events[:n], "") && !strings.HasSuffix(out, ": keep-alive\n\n") {
				t.Errorf("%s: %q: what came out is not the beginning of the stream", r.name, word)
			}
			got := client(r.events[:n])
			for key, s := range got.running {
				if strings.Contains(s, word) {
					t.Errorf("%s: %q came through in %s", r.name, word, key)
				}
			}
			if n > joined || n < any {
				t.Errorf("%s: %q: %d events came out; it begins in event %d, and it stands in event %d", r.name, word, n, joined, any)
			}
			if n == joined {
				exact++
			}
		}
	}
	t.Logf("%d words, %d of them cut exactly where they begin", tried, exact)
	if exact < tried*9/10 {
		t.Error("too many were cut early")
	}
}

// redacted is s with each stretch that some word covers replaced.
func redacted(s string, words []string) string {
	cover := make([]bool, len(s))
	for _, w := range words {
		for at := 0; at+len(w) <= len(s); at++ {
			if s[at:at+len(w)] == w {
				for i := range len(w) {
					cover[at+i] = true
				}
			}
		}
	}
	var b strings.Builder
	for i := range len(s) {
		switch {
		case !cover[i]:
			b.WriteByte(s[i])
		case i == 0 || !cover[i-1]:
			b.WriteString(Marker)
		}
	}
	return b.String()
}

func TestRedactedTextIsThatOfTheWhole(t *testing.T) {
	whole, ended := 0, 0
	for k, r := range streams(t) {
		rnd := rand.New(rand.NewPCG(uint64(k), 9))
		all := client(r.events)
		for range 4 {
			words := all.words(rnd, 3)
			if words == nil {
				continue
			}
			g := guard(t, Rule{ID: "a", Set: literals(t, words[0], words[1]), Action: Redact}, Rule{ID: "b", Set: literals(t, words[2]), Action: Redact}, Rule{ID: "near", Set: near(t)})
			out, hit := filter(g.Stream(r.w, r.rt), r.rt, r.body(), rnd)
			got := client(frame(r.rt, out))
			for key, s := range got.running {
				for _, w := range words {
					if strings.Contains(s, w) {
						t.Errorf("%s: %q came through in %s", r.name, w, key)
					}
				}
				want := redacted(all.running[key], words)
				if hit == nil && s != want || hit != nil && !strings.HasPrefix(want, s) {
					t.Errorf("%s: %s of %q, hit %+v:\ngot  %q\nwant %q", r.name, key, words, hit, s, want)
				}
			}
			if hit == nil {
				whole++
			} else if ended++; strings.Contains(r.body(), `"logprobs":[{`) {
				// Beside tokens, nothing is redacted.
			} else if hit.Kind != wire.PieceToolArguments && hit.Kind != wire.PieceOther && hit.Kind != wire.PieceToolName {
				t.Errorf("%s: %q: hit %+v", r.name, words, hit)
			}
		}
	}
	t.Logf("%d streams redacted to their end, %d ended at what cannot be redacted", whole, ended)
	if whole < 100 || ended < 10 {
		t.Error("too few")
	}
}

func frame(rt wire.Route, body string) (events []string) {
	f := wire.NewFramer(rt)
	for rest := []byte(body); len(rest) > 0; {
		n := f.Frame(rest)
		if n == 0 {
			n = len(rest)
		}
		events = append(events, string(rest[:n]))
		rest = rest[n:]
	}
	return events
}

// calls are the names of tools that an event calls, by a naive reading: a
// member "name" beside arguments, wherever that is.
func calls(v any, name string) bool {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if k == "name" && e == name {
				return true
			}
			if k != "tools" && calls(e, name) {
				return true
			}
		}
	case []any:
		for _, e := range v {
			if calls(e, name) {
				return true
			}
		}
	}
	return false
}

func TestDeniedToolsAreNeverCalled(t *testing.T) {
	kinds := map[string]correction.Features{
		`"type":"function_call"`: correction.FunctionTools, `"tool_calls":[{`: correction.FunctionTools, `"functionCall":`: correction.FunctionTools, `"type":"tool_use"`: correction.FunctionTools,
		`"type":"mcp_call"`: correction.MCP, `"type":"mcp_tool_use"`: correction.MCP, `"type":"web_search_call"`: correction.WebSearch, `"type":"code_interpreter_call"`: correction.CodeExecution,
		`"type":"shell_call"`: correction.CodeExecution, `"type":"file_search_call"`: correction.FileSearch, `"type":"server_tool_use"`: correction.Tools, `"type":"local_shell_call"`: correction.CodeExecution,
		`"type":"apply_patch_call"`: correction.ComputerUse, `"type":"custom_tool_call"`: correction.FunctionTools,
	}
	named, typed := 0, map[string]int{}
	for k, r := range streams(t) {
		rnd := rand.New(rand.NewPCG(uint64(k), 11))
		names := map[string]bool{}
		for _, e := range r.events {
			v := decode(e)
			strs(v, func(name, s string) {
				if name == "name" && calls(v, s) {
					names[s] = true
				}
			})
		}
		for name := range names {
			out, hit := filter(guard(t, Rule{ID: "deny", ToolNames: []string{name}}).Stream(r.w, r.rt), r.rt, r.body(), rnd)
			for _, e := range frame(r.rt, out) {
				if calls(decode(e), name) {
					t.Errorf("%s: a call of %s came through", r.name, name)
				}
			}
			if !strings.HasPrefix(r.body(), out) || hit == nil || hit.Cause != Tool {
				t.Errorf("%s: %s: hit %+v", r.name, name, hit)
			}
			named++
		}
		for mark, f := range kinds {
			compact := strings.ReplaceAll(r.body(), `": "`, `":"`)
			if !strings.Contains(compact, mark) {
				continue
			}
			out, hit := filter(guard(t, Rule{ID: "deny", Tools: f}).Stream(r.w, r.rt), r.rt, r.body(), rnd)
			if hit == nil || strings.Contains(strings.ReplaceAll(out, `": "`, `":"`), mark) {
				t.Errorf("%s: %s: hit %+v", r.name, mark, hit)
			}
			typed[mark]++
		}
		// Another tool than those that are called.
		out, hit := filter(guard(t, Rule{ID: "deny", ToolNames: []string{"another"}}).Stream(r.w, r.rt), r.rt, r.body(), rnd)
		if hit != nil || out != r.body() {
			t.Errorf("%s: another tool is denied: hit %+v", r.name, hit)
		}
	}
	t.Logf("%d by name, by kind %v", named, typed)
	if named < 25 || len(typed) < 12 {
		t.Error("too few tools were tried")
	}
}
