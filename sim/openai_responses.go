package sim

import (
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// OpenAI's responses, https://platform.openai.com/docs/api-reference/responses.
// Responses are kept (see kept), but previous_response_id and conversation are
// taken and repeated, not followed.

type responsesRequest struct {
	Model           string         `json:"model"`
	Stream          bool           `json:"stream"`
	Input           jsontext.Value `json:"input"`
	MaxOutputTokens *int64         `json:"max_output_tokens"`
	Background      bool           `json:"background"`
	ToolChoice      jsontext.Value `json:"tool_choice"`
	Tools           jsontext.Value `json:"tools"`

	// Repeated in the answer as they came.
	Instructions       jsontext.Value `json:"instructions"`
	Metadata           jsontext.Value `json:"metadata"`
	ParallelToolCalls  jsontext.Value `json:"parallel_tool_calls"`
	PreviousResponseID jsontext.Value `json:"previous_response_id"`
	PromptCacheKey     jsontext.Value `json:"prompt_cache_key"`
	SafetyIdentifier   jsontext.Value `json:"safety_identifier"`
	Store              jsontext.Value `json:"store"`
	Temperature        jsontext.Value `json:"temperature"`
	TopP               jsontext.Value `json:"top_p"`
	Truncation         jsontext.Value `json:"truncation"`
	User               jsontext.Value `json:"user"`
}

type responseItem struct {
	Type    string `json:"type"`
	Role    string `json:"role"`
	Content text   `json:"content"`
	Output  text   `json:"output"`
}

func (q *responsesRequest) prompt() (*prompt, error) {
	p := &prompt{model: q.Model, stream: q.Stream, n: 1}
	if q.Model == "" {
		return nil, errNoModel
	}
	switch {
	case q.Input.Kind() == '"':
		var t text
		json.Unmarshal(q.Input, &t, reading)
		p.take("user", &t)
	case q.Input.Kind() == '[':
		var items []responseItem
		if err := json.Unmarshal(q.Input, &items, reading); err != nil {
			return nil, errors.New("Invalid 'input': " + err.Error())
		}
		for i := range items {
			if it := &items[i]; it.Type == "function_call_output" || it.Type == "custom_tool_call_output" {
				p.take("tool", &it.Output)
			} else {
				p.take(it.Role, &it.Content)
			}
		}
	default:
		return nil, errors.New("Invalid 'input': want a text or a list of items")
	}
	var says text
	if len(q.Instructions) > 0 && json.Unmarshal(q.Instructions, &says, reading) == nil && says.some {
		p.input += tokensIn(says.s)
	}
	if len(q.Tools) > 0 {
		var tools []struct {
			Name       string         `json:"name"`
			Parameters jsontext.Value `json:"parameters"`
		}
		if err := json.Unmarshal(q.Tools, &tools, reading); err != nil {
			return nil, errors.New("Invalid 'tools': " + err.Error())
		}
		for _, t := range tools {
			p.offer(t.Name, t.Parameters)
		}
	}
	p.insist(q.ToolChoice)
	return p, p.bound("max_output_tokens", q.MaxOutputTokens)
}

func (c *call) responses() {
	var q responsesRequest
	if !c.read(&q) {
		return
	}
	p, err := q.prompt()
	if c.bad(err) {
		return
	}
	a, err := plan(p, c)
	if c.bad(err) {
		return
	}
	if k := c.keep(&q, a); q.Background && !p.stream && (a.dir.Status == 0 || a.dir.After >= 0) {
		c.sim.served.Add(1)
		c.reply(k.show(k, standing{running: true}))
		return
	}
	c.speak(a, &responseVoice{a: a, q: &q, c: c}, p.stream)
}
