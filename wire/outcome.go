package wire

import "strings"

// Outcome is what an answer says of itself beside its content and its usage.
type Outcome struct {
	ID           string // the answer's
	Model        string // that the provider says has answered
	Conversation string // id of the conversation that the provider keeps
	Container    string // id of the container that code ran in
	Status       string // of a response that has one ("completed", "queued", …); else why the answer ended
	ToolCalls    int64  // begun: functions, custom tools, and tools that the provider runs
	Refusal      bool   // the model, or the provider's own filter, refused
}

// Keep sets one of o's strings to a copy of v, unless it is empty or the same.
func Keep(to *string, v string) {
	if v != "" && v != *to {
		*to = strings.Clone(v)
	}
}
