package openc2

import (
	"strconv"
	"time"

	"andon/correction"
)

// Namespace is the actuator profile under which Andon's targets and arguments stand.
const Namespace = "x-andon"

// ContentType is the media type of a message's content.
const ContentType = "application/openc2"

// Message is one request or response, in the elements of section 3.2.
type Message struct {
	Content     any    `json:"content"` // Command or Response
	ContentType string `json:"content_type"`
	MsgType     string `json:"msg_type"` // request or response
	Status      int    `json:"status,omitzero"`
	RequestID   string `json:"request_id"`
	Created     int64  `json:"created"` // milliseconds since 1970
	From        string `json:"from"`
}

// Command is one command (section 3.3.1). Target holds exactly one member.
type Command struct {
	Action    string         `json:"action"`
	Target    map[string]any `json:"target"`
	Args      Args           `json:"args,omitzero"`
	Actuator  map[string]any `json:"actuator,omitempty"`
	CommandID string         `json:"command_id,omitempty"`
}

// Args are a command's arguments. At most two of the three times are given.
type Args struct {
	StartTime         int64  `json:"start_time,omitzero"` // milliseconds since 1970
	StopTime          int64  `json:"stop_time,omitzero"`
	Duration          int64  `json:"duration,omitzero"` // milliseconds
	ResponseRequested string `json:"response_requested,omitempty"`
	Andon             *Own   `json:"x-andon,omitempty"`
}

// Own is what OpenC2 has no word for.
type Own struct {
	ReviewBy int64  `json:"review_by,omitzero"` // milliseconds since 1970
	Reason   string `json:"reason,omitempty"`
	Entry    uint64 `json:"entry"` // of the ledger
}

// Response is what an actuator answered (section 3.3.2).
type Response struct {
	Status     int            `json:"status"` // 102 accepted, 200 enforced, 500 refused
	StatusText string         `json:"status_text,omitempty"`
	Results    map[string]any `json:"results,omitempty"`
}

// Millis is a time as OpenC2 writes it; 0 for the zero time.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Action is the action that says what a correction does: deny and allow for access,
// set for rates, clamps and filters, deny for features and uses, restore for a pin, and
// for a stop contain while something is left running, stop, and delete for what
// is destroyed.
func Action(c *correction.Correction) string {
	switch c.Kind {
	case correction.Access:
		if c.Params.Mode == "allow_only" {
			return "allow"
		}
		return "deny"
	case correction.Rate:
		return "set"
	case correction.Use:
		return "deny"
	case correction.Capability:
		switch {
		case c.Params.Pin != "":
			return "restore"
		case len(c.Params.Disable) > 0:
			return "deny"
		}
		return "set"
	}
	switch level := c.Level(); {
	case level <= 2, level == 5: // frozen, drained or sealed: it is not gone
		return "contain"
	case level >= 6:
		return "delete"
	}
	return "stop"
}

// Apply is the command that puts a correction in force.
func Apply(c *correction.Correction, entry uint64) Command {
	cmd := Command{
		Action:    Action(c),
		Target:    map[string]any{Namespace + ":correction": c},
		CommandID: c.ID,
		Args: Args{StartTime: Millis(c.StartsAt), StopTime: Millis(c.ExpiresAt), ResponseRequested: "complete",
			Andon: &Own{Reason: c.Reason, Entry: entry}},
		Actuator: map[string]any{Namespace: map[string]any{}},
	}
	if cmd.Args.StartTime == 0 {
		cmd.Args.StartTime = Millis(c.AppliedAt)
	}
	return cmd
}

// Cancel is the command that takes another one back.
func Cancel(id, reason string, entry uint64) Command {
	return Command{Action: "cancel", Target: map[string]any{"command": id}, CommandID: Derived(id, "cancel", entry),
		Args: Args{ResponseRequested: "complete", Andon: &Own{Reason: reason, Entry: entry}}, Actuator: map[string]any{Namespace: map[string]any{}}}
}

// Raise is the command that takes a stop to a level that custody alone reaches:
// contain for weights that are sealed, delete for those that are destroyed.
func Raise(id, level, reason string, entry uint64) Command {
	c := correction.Correction{Kind: correction.Stop, Params: correction.Params{Level: level}}
	return Command{Action: Action(&c), Target: map[string]any{Namespace + ":correction": map[string]any{"id": id, "params": c.Params}}, CommandID: Derived(id, "raise", entry),
		Args: Args{ResponseRequested: "complete", Andon: &Own{Reason: reason, Entry: entry}}, Actuator: map[string]any{Namespace: map[string]any{}}}
}

// Update is the command that changes when another one ends.
func Update(id, reason string, stop, review time.Time, entry uint64) Command {
	return Command{Action: "update", Target: map[string]any{"command": id}, CommandID: Derived(id, "update", entry),
		Args: Args{StopTime: Millis(stop), ResponseRequested: "complete", Andon: &Own{ReviewBy: Millis(review), Reason: reason, Entry: entry}}, Actuator: map[string]any{Namespace: map[string]any{}}}
}

// Derived names a command that is about another one.
func Derived(id, what string, entry uint64) string {
	return id + "." + what + "." + strconv.FormatUint(entry, 10)
}

// Request is a command as a message.
func Request(cmd Command, at time.Time, from string) Message {
	return Message{Content: cmd, ContentType: ContentType, MsgType: "request", RequestID: cmd.CommandID, Created: Millis(at), From: from}
}

// Acknowledge is a response as a message.
func Acknowledge(id string, status int, text string, at time.Time, from string, results map[string]any) Message {
	return Message{Content: Response{Status: status, StatusText: text, Results: results}, ContentType: ContentType, MsgType: "response", Status: status, RequestID: id, Created: Millis(at), From: from}
}
