package wires

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"andon/wire"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The oracle decodes bodies with go-json-experiment into plain structs, the way
// a provider's server would, and takes from them what an envelope should say.

type named struct {
	Name string `json:"name"`
}

type tool struct {
	Type     string  `json:"type"`
	Name     string  `json:"name"`
	Label    string  `json:"server_label"`
	Function *named  `json:"function"`
	Custom   *named  `json:"custom"`
	Model    *string `json:"model"`
	Max      *int64  `json:"max_tokens"`
	Tools    []*tool `json:"tools"`
}

type item struct {
	Role  string  `json:"role"`
	Type  string  `json:"type"`
	ID    string  `json:"id"`
	Tools []*tool `json:"tools"`
}

type openaiBody struct {
	Model     *string        `json:"model"`
	Models    []*string      `json:"models"`
	Stream    jsontext.Value `json:"stream"`
	Messages  jsontext.Value `json:"messages"`
	Input     jsontext.Value `json:"input"`
	Tools     jsontext.Value `json:"tools"`
	Functions jsontext.Value `json:"functions"`
	Call      jsontext.Value `json:"function_call"`
	Web       jsontext.Value `json:"web_search_options"`
	Max       jsontext.Value `json:"max_tokens"`
	MaxChat   jsontext.Value `json:"max_completion_tokens"`
	MaxOut    jsontext.Value `json:"max_output_tokens"`
	Safety    string         `json:"safety_identifier"`
	User      string         `json:"user"`
	Previous  jsontext.Value `json:"previous_response_id"`
	Conv      jsontext.Value `json:"conversation"`
	Prompt    jsontext.Value `json:"prompt"`
}

// said is what an envelope says, in a form that can be compared.
type said struct {
	Model                      string
	Stream, HasTools           bool
	Tools, Users, Others, Maxs []string
	Max                        int64
	Continues, Prior           bool
}

func (s said) String() string {
	type plain said
	return fmt.Sprintf("%+v", plain(s))
}

// set sorts and drops repetitions: an envelope may name a type once or often.
func set(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

func fromEnvelope(body []byte, e *wire.Envelope) said {
	s := said{Model: e.Model, Stream: e.Stream, HasTools: e.HasTools, Tools: set(e.Tools), Users: e.Users, Others: set(e.Others), Max: e.MaxTokens, Continues: e.Continues, Prior: e.Prior}
	for _, at := range e.MaxAt {
		s.Maxs = append(s.Maxs, string(body[at.Start:at.End]))
	}
	slices.Sort(s.Maxs)
	return s
}

func decode[T any](v jsontext.Value) (out T, err error) {
	if len(v) > 0 {
		err = json.Unmarshal(v, &out)
	}
	return out, err
}

func isNull(v jsontext.Value) bool { return len(v) == 0 || v.Kind() == 'n' }

func (s *said) max(v *int64) {
	if v != nil {
		s.Max = max(s.Max, *v)
		s.Maxs = append(s.Maxs, fmt.Sprint(*v))
	}
}

func (s *said) tool(list []*tool) {
	for _, t := range list {
		s.HasTools = true
		if t == nil {
			continue
		}
		for _, n := range []*named{{t.Type}, {t.Name}, {t.Label}, t.Function, t.Custom} {
			if n != nil && n.Name != "" {
				s.Tools = append(s.Tools, n.Name)
			}
		}
		if t.Model != nil {
			s.Others = append(s.Others, *t.Model)
		}
		s.tool(t.Tools)
	}
}

func oracleOpenAI(rt wire.Route, body []byte) (s said, err error) {
	in, err := decode[openaiBody](body)
	if err != nil {
		return s, err
	}
	var errs []error
	try := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if in.Model == nil {
		return s, fmt.Errorf("no model")
	}
	s.Model = *in.Model
	for _, m := range in.Models {
		if m != nil {
			s.Others = append(s.Others, *m)
		}
	}
	if rt.Op == wire.OpGenerate {
		s.Stream, err = decode[bool](in.Stream)
		try(err)
	}
	bounds := map[string][]jsontext.Value{"openai.chat": {in.Max, in.MaxChat}, "openai.completions": {in.Max}, "openai.responses": {in.MaxOut}}[rt.API]
	for _, b := range bounds {
		v, err := decode[*int64](b)
		try(err)
		s.max(v)
	}
	var items []*item
	if rt.API == "openai.chat" || rt.API == "openai.responses" {
		list, err := decode[[]*tool](in.Tools)
		try(err)
		s.tool(list)
	}
	switch rt.API {
	case "openai.chat":
		functions, err := decode[[]*named](in.Functions)
		try(err)
		for _, f := range functions {
			s.tool([]*tool{{Type: "function", Function: f}})
		}
		if !isNull(in.Web) {
			s.tool([]*tool{{Type: "web_search"}})
		}
		s.HasTools = s.HasTools || !isNull(in.Call)
		items, err = decode[[]*item](in.Messages)
		try(err)
		for _, m := range items {
			s.Prior = s.Prior || m != nil && m.Role == "assistant"
		}
	case "openai.responses":
		if in.Input.Kind() == '[' {
			items, err = decode[[]*item](in.Input)
			try(err)
		}
		for _, m := range items {
			if m == nil {
				continue
			}
			s.tool(m.Tools)
			ref := m.Type == "item_reference" || m.Type == "" && m.Role == "" && m.ID != ""
			s.Continues = s.Continues || ref
			s.Prior = s.Prior || ref || m.Role == "assistant" || m.Role == "" && m.Type != "" && m.Type != "message"
		}
		prev, err := decode[string](in.Previous)
		try(err)
		s.Continues = s.Continues || prev != "" || !isNull(in.Conv)
		s.HasTools = s.HasTools || !isNull(in.Prompt) // which may hold some
	}
	for _, u := range []string{in.Safety, in.User} {
		if u != "" {
			s.Users = append(s.Users, u)
		}
	}
	if len(errs) > 0 {
		err = errs[0]
	}
	return s, err
}

type anthropicBody struct {
	Model     *string        `json:"model"`
	Stream    bool           `json:"stream"`
	Messages  []*item        `json:"messages"`
	Tools     []*tool        `json:"tools"`
	Servers   []*named       `json:"mcp_servers"`
	Max       *int64         `json:"max_tokens"`
	Container jsontext.Value `json:"container"`
	Fallbacks jsontext.Value `json:"fallbacks"`
	Metadata  struct {
		UserID string `json:"user_id"`
	} `json:"metadata"`
}

func oracleAnthropic(_ wire.Route, body []byte) (s said, err error) {
	// Roles alone are read of a message; its other members are not decoded.
	in, err := decode[anthropicBody](body)
	if err != nil {
		return s, err
	}
	if in.Model == nil {
		return s, fmt.Errorf("no model")
	}
	s.Model, s.Stream = *in.Model, in.Stream
	s.max(in.Max)
	for _, t := range in.Tools {
		if t != nil {
			s.max(t.Max)
			t.Label, t.Function, t.Custom, t.Tools = "", nil, nil, nil
			t.Type = cmp.Or(t.Type, "custom")
		}
	}
	s.tool(in.Tools)
	for _, v := range in.Servers {
		s.tool([]*tool{{Type: "mcp", Function: v}})
	}
	for _, m := range in.Messages {
		s.Prior = s.Prior || m != nil && m.Role == "assistant"
	}
	if in.Metadata.UserID != "" {
		s.Users = []string{in.Metadata.UserID}
	}
	if in.Container.Kind() == '{' {
		v, err := decode[item](in.Container)
		if err != nil {
			return s, err
		}
		s.Continues = v.ID != ""
	} else {
		v, err := decode[string](in.Container)
		if err != nil {
			return s, err
		}
		s.Continues = v != ""
	}
	if in.Fallbacks.Kind() == '"' {
		v, err := decode[string](in.Fallbacks)
		s.Others = append(s.Others, v)
		return s, err
	}
	list, err := decode[[]*tool](in.Fallbacks)
	for _, f := range list {
		if f != nil {
			s.max(f.Max)
			if f.Model != nil {
				s.Others = append(s.Others, *f.Model)
			}
		}
	}
	return s, err
}

// spelt takes a member in either of its two spellings.
func spelt(m map[string]jsontext.Value, camel, snake string) jsontext.Value {
	if v, ok := m[camel]; ok {
		return v
	}
	return m[snake]
}

func oracleGemini(rt wire.Route, body []byte) (s said, err error) {
	s = said{Model: rt.Model, Stream: rt.Stream}
	in, err := decode[map[string]jsontext.Value](body)
	if err != nil {
		return s, err
	}
	same := func(v jsontext.Value) error {
		m, err := decode[*string](v)
		if err == nil && m != nil && strings.TrimPrefix(*m, "models/") != rt.Model {
			err = fmt.Errorf("model %q", *m)
		}
		return err
	}
	if err := same(in["model"]); err != nil {
		return s, err
	}
	if rt.API == "gemini.embedContent" {
		return s, nil
	}
	if rt.API == "gemini.batchEmbedContents" {
		list, err := decode[[]map[string]jsontext.Value](in["requests"])
		for _, r := range list {
			if err := same(r["model"]); err != nil {
				return s, err
			}
		}
		return s, err
	}
	if v := spelt(in, "generateContentRequest", "generate_content_request"); rt.API == "gemini.countTokens" && !isNull(v) {
		return s, errSkip // the parts of two requests are not told apart here
	}
	cached, err := decode[string](spelt(in, "cachedContent", "cached_content"))
	if err != nil {
		return s, err
	}
	s.HasTools = cached != "" // which may hold some
	config, err := decode[map[string]jsontext.Value](spelt(in, "generationConfig", "generation_config"))
	if err != nil {
		return s, err
	}
	bound, err := decode[*int64](spelt(config, "maxOutputTokens", "max_output_tokens"))
	if err != nil {
		return s, err
	}
	s.max(bound)
	contents, err := decode[[]*item](in["contents"])
	if err != nil {
		return s, err
	}
	for _, c := range contents {
		s.Prior = s.Prior || c != nil && c.Role == "model"
	}
	tools, err := decode[[]map[string]jsontext.Value](in["tools"])
	for _, t := range tools {
		s.HasTools = true
		for kind, v := range t {
			if isNull(v) || kind == "" {
				continue
			}
			switch kind {
			case "functionDeclarations", "function_declarations", "mcpServers", "mcp_servers":
				list, err := decode[[]*named](v)
				if err != nil {
					return s, err
				}
				s.Tools = append(s.Tools, map[byte]string{'f': "function", 'm': "mcp"}[kind[0]])
				for _, f := range list {
					s.tool([]*tool{{Function: f}})
				}
			default:
				s.Tools = append(s.Tools, snakeCase(kind))
			}
		}
	}
	return s, err
}

func snakeCase(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			b.WriteByte(c + 'a' - 'A')
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

var errSkip = fmt.Errorf("beyond the oracle")

// oracle takes from a body what its envelope should say.
func oracle(w wire.Wire, rt wire.Route, body []byte) (said, error) {
	var s said
	var err error
	switch w.Name() {
	case "openai":
		s, err = oracleOpenAI(rt, body)
	case "anthropic":
		s, err = oracleAnthropic(rt, body)
	default:
		s, err = oracleGemini(rt, body)
	}
	s.Tools, s.Others = set(s.Tools), set(s.Others)
	slices.Sort(s.Maxs)
	if w.Name() != "anthropic" && slices.Contains(s.Maxs, "0") {
		s.Max = 0 // to some this is no bound at all
	}
	return s, err
}
