package sim

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// reading is how providers read: unknown members pass, the last of equal names
// counts, letter case matters.
var reading = json.JoinOptions(jsontext.AllowDuplicateNames(true), json.RejectUnknownMembers(false))

// read decodes the body into v, or refuses with 400 and returns false.
func (c *call) read(v any) bool {
	err := json.Unmarshal(c.body, v, reading)
	if err == nil {
		return true
	}
	detail := err.Error()
	if len(c.body) == 0 {
		detail = "the body is empty"
	}
	c.refuse(http.StatusBadRequest, "We could not parse the JSON body of your request: "+strings.ToValidUTF8(detail, "\uFFFD"))
	return false
}

// bad refuses with 400 if err is not nil.
func (c *call) bad(err error) bool {
	if err == nil {
		return false
	}
	c.refuse(http.StatusBadRequest, err.Error())
	return true
}

// text is content in any of its forms: a string, a list of parts, one part. Parts
// that hold no text (images, files) count for nothing.
type text struct {
	s      string
	some   bool // there was text
	result bool // a part is a tool's result
}

type part struct {
	Type    string `json:"type"`
	Text    string `json:"text"`
	Content text   `json:"content"` // of an Anthropic tool_result
	// Gemini parts have no type.
	FunctionResponse jsontext.Value `json:"functionResponse"`
}

func (t *text) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*t = text{}
	switch dec.PeekKind() {
	case '"':
		tok, err := dec.ReadToken()
		if err != nil {
			return err
		}
		t.s, t.some = tok.String(), true
		return nil
	case '[':
		var parts []part
		if err := json.UnmarshalDecode(dec, &parts, reading); err != nil {
			return err
		}
		for i := range parts {
			t.add(&parts[i])
		}
		return nil
	case '{':
		var p part
		if err := json.UnmarshalDecode(dec, &p, reading); err != nil {
			return err
		}
		t.add(&p)
		return nil
	case 'n':
		return dec.SkipValue()
	}
	if err := dec.SkipValue(); err != nil {
		return err
	}
	return errors.New("content must be a string or a list of parts")
}

func (t *text) add(p *part) {
	if p.Type == "tool_result" || p.FunctionResponse != nil {
		t.result = true
		if p.Content.s != "" {
			t.join(p.Content.s, false)
		}
	}
	if p.Text != "" {
		t.join(p.Text, true)
	}
}

func (t *text) join(s string, some bool) {
	if t.s != "" {
		t.s += "\n"
	}
	t.s += s
	t.some = t.some || some
}

// take adds one turn of the conversation to the prompt.
func (p *prompt) take(role string, t *text) {
	p.input += tokensIn(t.s)
	switch role {
	case "user":
		if t.some {
			p.last, p.asked = t.s, t.result
		} else if t.result {
			p.asked = true
		}
	case "tool", "function":
		p.asked = true
	}
}

// tool is a tool offered.
type tool struct {
	name   string
	schema jsontext.Value // of its arguments; nil if not given
}

// offer adds a tool; a nameless one (built in to the provider) only counts.
func (p *prompt) offer(name string, schema jsontext.Value) {
	p.input += int64(len(schema)+len(name))/4 + 1
	if name != "" {
		p.tools = append(p.tools, tool{name, schema})
	}
}

// bound takes an output bound, the smallest of several.
func (p *prompt) bound(name string, n *int64) error {
	if n == nil {
		return nil
	}
	if *n < 1 {
		return fmt.Errorf("Invalid '%s': integer below minimum value. Expected a value >= 1, but got %d instead.", name, *n)
	}
	if p.most == 0 || *n < p.most {
		p.most = *n
	}
	return nil
}

// choices bounds how many answers a request may want.
const choices = 128

func (p *prompt) want(name string, n *int) error {
	p.n = 1
	if n == nil {
		return nil
	}
	if *n < 1 || *n > choices {
		return fmt.Errorf("Invalid '%s': want a number from 1 to %d, got %d.", name, choices, *n)
	}
	p.n = *n
	return nil
}

// insist reads OpenAI's and Anthropic's tool_choice: a word, or an object that
// may name a tool.
func (p *prompt) insist(choice jsontext.Value) {
	if len(choice) == 0 {
		return
	}
	var word string
	var named struct {
		Type     string `json:"type"`
		Name     string `json:"name"`
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	}
	if choice.Kind() == '"' {
		json.Unmarshal(choice, &word, reading)
	} else if json.Unmarshal(choice, &named, reading) == nil {
		if word = named.Type; named.Function.Name != "" {
			named.Name = named.Function.Name
		}
	}
	switch word {
	case "none":
		p.never = true
	case "required", "any":
		p.must = "*"
	case "function", "tool", "custom":
		p.must = named.Name
	}
}
