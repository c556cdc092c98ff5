package correction

import (
	"math"
	"strings"
)

// The wires, by the names of their packages.
const (
	wireOpenAI    = "openai"
	wireAnthropic = "anthropic"
	wireGemini    = "gemini"
)

var (
	everyWire    = []string{wireOpenAI, wireAnthropic, wireGemini}
	openaiGemini = []string{wireOpenAI, wireGemini}
)

// What happens to a request that uses a disabled feature, or goes beyond a clamp.
const (
	removed   = "removed"   // taken out, where the request keeps its meaning without it
	refused   = "refused"   // a typed refusal
	rewritten = "rewritten" // the provider gets the clamped value
	cut       = "cut"       // running work is ended
)

// feature binds a name of the registry to its bit.
type feature struct {
	ValueInfo
	bit Features
}

// features are the registry, in the order of their bits.
var features = []feature{
	{ValueInfo{Name: "tools", Summary: "offering tools to the model, of any type", Wires: everyWire, Effects: []string{refused}}, Tools},
	{ValueInfo{Name: "streaming", Summary: "answers that arrive as a stream", Wires: everyWire, Effects: []string{refused}}, Streaming},
	{ValueInfo{Name: "function_tools", Summary: "functions that the caller runs", Wires: everyWire, Effects: []string{removed, refused}}, FunctionTools},
	{ValueInfo{Name: "web_search", Summary: "the provider searches or fetches from the web", Wires: everyWire, Effects: []string{removed, refused}}, WebSearch},
	{ValueInfo{Name: "code_execution", Summary: "the provider, or a container of its, runs code or a shell", Wires: everyWire, Effects: []string{removed, refused}}, CodeExecution},
	{ValueInfo{Name: "computer_use", Summary: "a screen, browser or editor is operated", Wires: everyWire, Effects: []string{removed, refused}}, ComputerUse},
	{ValueInfo{Name: "file_search", Summary: "the provider searches in stored files", Wires: openaiGemini, Effects: []string{removed, refused}}, FileSearch},
	{ValueInfo{Name: "mcp", Summary: "a Model Context Protocol server, connector or app", Wires: everyWire, Effects: []string{removed, refused}}, MCP},
	{ValueInfo{Name: "parallel_tool_calls", Summary: "several tool calls in one turn", Wires: everyWire, Effects: []string{removed, refused}}, ParallelToolCalls},
	{ValueInfo{Name: "image_input", Summary: "pictures or video in the request", Wires: everyWire, Effects: []string{refused}}, ImageInput},
	{ValueInfo{Name: "audio_input", Summary: "audio in the request", Wires: openaiGemini, Effects: []string{refused}}, AudioInput},
	{ValueInfo{Name: "file_input", Summary: "documents in the request, inline or by id", Wires: everyWire, Effects: []string{refused}}, FileInput},
	{ValueInfo{Name: "image_output", Summary: "pictures or video asked for, by modality, tool or route", Wires: openaiGemini, Effects: []string{removed, refused}}, ImageOutput},
	{ValueInfo{Name: "audio_output", Summary: "audio asked for", Wires: openaiGemini, Effects: []string{refused}}, AudioOutput},
	{ValueInfo{Name: "system_prompt", Summary: "instructions above the user's: system or developer", Wires: everyWire, Effects: []string{refused}}, SystemPrompt},
	{ValueInfo{Name: "stored_conversations", Summary: "the provider keeps, or goes on with, the conversation", Wires: everyWire, Effects: []string{removed, refused}}, StoredConversations},
	{ValueInfo{Name: "batch", Summary: "batches", Wires: everyWire, Effects: []string{refused}}, Batch},
	{ValueInfo{Name: "files", Summary: "files kept at the provider", Wires: everyWire, Effects: []string{refused}}, Files},
	{ValueInfo{Name: "fine_tune_create", Summary: "fine-tuning jobs are made", Wires: openaiGemini, Effects: []string{refused}}, FineTuneCreate},
	{ValueInfo{Name: "fine_tune_serve", Summary: "a fine-tuned derivative is called", Wires: openaiGemini, Effects: []string{refused}}, FineTuneServe},
	{ValueInfo{Name: "embeddings", Summary: "embeddings", Wires: openaiGemini, Effects: []string{refused}}, Embeddings},
	{ValueInfo{Name: "logprobs", Summary: "probabilities of tokens asked for", Wires: openaiGemini, Effects: []string{refused}}, Logprobs},
	{ValueInfo{Name: "reasoning_effort", Summary: "reasoning (thinking) asked for, or its amount set", Wires: everyWire, Effects: []string{refused}}, ReasoningEffort},
	{ValueInfo{Name: "structured_output", Summary: "the answer's form prescribed (JSON mode, schema)", Wires: everyWire, Effects: []string{refused}}, StructuredOutput},
	{ValueInfo{Name: "realtime", Summary: "a session over WebSocket", Wires: openaiGemini, Effects: []string{refused}}, Realtime},
}

// toolFeatures are the features of which an answer can make use although the
// request does not show them: its tool calls are looked at.
const toolFeatures = Tools | FunctionTools | WebSearch | CodeExecution | ComputerUse | FileSearch | MCP

// toolPrefix stands in disable before the name, or the type, of one tool.
const toolPrefix = "tool:"

// The names of the clamps.
const (
	clampContextTokens   = "context_tokens"
	clampOutputTokens    = "output_tokens"
	clampMessages        = "messages"
	clampChoices         = "choices"
	clampTemperature     = "temperature"
	clampReasoningTokens = "reasoning_tokens"
	clampSteps           = "session_steps"
	clampToolCalls       = "session_tool_calls"
	clampSeconds         = "session_seconds"
	clampSpend           = "session_spend"
	clampParallel        = "session_parallel"
)

// clamp is one name of the registry of clamps, with its bounds.
type clamp struct {
	ValueInfo
	min, max float64
	whole    bool // a fraction is refused
	open     bool // min itself is refused
}

// maxWhole is the largest whole number that JSON numbers carry without loss.
const maxWhole = 1 << 53

var clamps = []clamp{
	{ValueInfo{Name: clampContextTokens, Summary: "tokens of input, by estimate", Wires: everyWire, Effects: []string{refused}}, 1, maxWhole, true, false},
	{ValueInfo{Name: clampOutputTokens, Summary: "the largest number of tokens that an answer may have", Wires: everyWire, Effects: []string{rewritten}}, 1, maxWhole, true, false},
	{ValueInfo{Name: clampMessages, Summary: "turns of the conversation that the request shows", Wires: everyWire, Effects: []string{refused}}, 1, maxWhole, true, false},
	{ValueInfo{Name: clampChoices, Summary: "answers to one request", Wires: openaiGemini, Effects: []string{rewritten}}, 1, maxWhole, true, false},
	{ValueInfo{Name: clampTemperature, Summary: "temperature; what a request does not say counts as 1", Wires: everyWire, Effects: []string{rewritten}}, 0, 2, false, false},
	{ValueInfo{Name: clampReasoningTokens, Summary: "tokens of reasoning; a request that asks for reasoning in words is refused", Wires: everyWire, Effects: []string{rewritten, refused}}, 0, maxWhole, true, false},
	{ValueInfo{Name: clampSteps, Summary: "calls in one session", Wires: everyWire, Effects: []string{refused}}, 1, maxWhole, true, false},
	{ValueInfo{Name: clampToolCalls, Summary: "tool calls in one session", Wires: everyWire, Effects: []string{refused}}, 1, maxWhole, true, false},
	{ValueInfo{Name: clampSeconds, Summary: "seconds from a session's first call on", Wires: everyWire, Effects: []string{refused, cut}}, 1, maxWhole, true, false},
	{ValueInfo{Name: clampSpend, Summary: "US dollars that one session costs, by the configured prices", Wires: everyWire, Effects: []string{refused}}, 0, maxWhole, false, true},
	{ValueInfo{Name: clampParallel, Summary: "calls of one session at the same time", Wires: everyWire, Effects: []string{refused}}, 1, maxWhole, true, false},
}

// sessionClamp says whether a clamp is over a session and not over one request.
func sessionClamp(name string) bool { return strings.HasPrefix(name, "session_") }

// holds says whether a number is one that the clamp can have.
func (c *clamp) holds(n float64) bool {
	return n >= c.min && n <= c.max && !(c.open && n == c.min) && !(c.whole && n != math.Trunc(n))
}

// bounds says in words what numbers the clamp can have.
func (c *clamp) bounds() string {
	switch {
	case c.whole && c.min == 0:
		return "a whole number of at least 0"
	case c.whole:
		return "a whole number of at least 1"
	case c.open:
		return "a number above 0"
	}
	return "a number of 0 to 2"
}

func featureInfos() []ValueInfo {
	infos := make([]ValueInfo, len(features))
	for i, f := range features {
		infos[i] = f.ValueInfo
	}
	return infos
}

func clampInfos() []ValueInfo {
	infos := make([]ValueInfo, len(clamps))
	for i, c := range clamps {
		infos[i] = c.ValueInfo
		infos[i].Bounds = c.bounds()
	}
	return infos
}

// The names alone, as errors list them; nobody changes them.
var (
	featureNames = valueNames(featureInfos())
	clampNames   = valueNames(clampInfos())
	disableNames = append(featureNames[:len(featureNames):len(featureNames)], toolPrefix+"NAME")
)

func valueNames(vs []ValueInfo) []string {
	names := make([]string, len(vs))
	for i, v := range vs {
		names[i] = v.Name
	}
	return names
}

// Names are the registry's names of the features in a set, in its order.
func (f Features) Names() []string {
	var names []string
	for i := range features {
		if f&features[i].bit != 0 {
			names = append(names, features[i].Name)
		}
	}
	return names
}

// FeatureOf is the feature of a name of the registry; 0 if there is none.
func FeatureOf(name string) Features {
	for i := range features {
		if features[i].Name == name {
			return features[i].bit
		}
	}
	return 0
}
