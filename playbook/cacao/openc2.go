package cacao

import (
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/correction"
	"andon/openc2"
)

// targetCorrection is our target: a correction in our own words. The action says
// the same in OpenC2's.
const targetCorrection = openc2.Namespace + ":correction"

// message is an OpenC2 message as HTTP carries it (OpenC2 over HTTPS 1.1).
type message struct {
	Headers jsontext.Value `json:"headers,omitempty"`
	Body    struct {
		OpenC2 struct {
			Request *request `json:"request,omitempty"`
		} `json:"openc2"`
	} `json:"body"`
}

// request is an OpenC2 1.0 command.
type request struct {
	Action    string                    `json:"action"`
	Target    map[string]jsontext.Value `json:"target"`
	Args      *arguments                `json:"args,omitempty"`
	Actuator  map[string]jsontext.Value `json:"actuator,omitempty"`
	CommandID string                    `json:"command_id,omitempty"`
	Profile   string                    `json:"profile,omitempty"`
}

type arguments struct {
	StartTime int64  `json:"start_time,omitzero"` // milliseconds since 1970
	StopTime  int64  `json:"stop_time,omitzero"`
	Duration  int64  `json:"duration,omitzero"` // milliseconds
	Response  string `json:"response_requested,omitempty"`
}

// content is a correction as the content of an openc2-http command.
func content(c *correction.Correction, stands correction.Duration, name string) (string, error) {
	raw, err := json.Marshal(c, json.Deterministic(true))
	if err != nil {
		return "", err
	}
	var m message
	m.Body.OpenC2.Request = &request{Action: openc2.Action(c), Target: map[string]jsontext.Value{targetCorrection: raw},
		Args: &arguments{Duration: time.Duration(stands).Milliseconds(), Response: "complete"}, CommandID: id("command", name)}
	data, err := json.Marshal(&m, json.Deterministic(true))
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(data), nil
}

// errNoCorrection is wrapped by why a command is no correction of ours: it is then
// a task for a person.
var errNoCorrection = errors.New("it is no correction")

// read is the correction that an openc2-http command means.
func (c *Command) read(step string) (*correction.Correction, correction.Duration, error) {
	no := func(format string, args ...any) (*correction.Correction, correction.Duration, error) {
		return nil, 0, fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), errNoCorrection)
	}
	if len(c.ContentB64) > maxContent {
		return no("its content is larger than %d bytes", maxContent)
	}
	data, err := base64.StdEncoding.Strict().DecodeString(c.ContentB64)
	if err != nil {
		return no("its content is not base64")
	}
	if err := bounded(data); err != nil {
		return no("its content is not read: %v", err)
	}
	var m message
	r := &request{}
	if json.Unmarshal(data, &m, json.RejectUnknownMembers(true)) == nil && m.Body.OpenC2.Request != nil {
		r = m.Body.OpenC2.Request
	} else if err := json.Unmarshal(data, r, json.RejectUnknownMembers(true)); err != nil {
		return no("its content is not an OpenC2 command that is known here")
	}
	if len(r.Target) != 1 {
		return no("it has %d targets", len(r.Target))
	}
	var stands correction.Duration
	if a := r.Args; a != nil {
		if a.StartTime != 0 || a.StopTime != 0 {
			return no("it has a time in the calendar")
		}
		if a.Duration < 0 || a.Duration > (90*24*time.Hour).Milliseconds() {
			return no("its duration is out of bounds")
		}
		stands = correction.Duration(a.Duration) * correction.Duration(time.Millisecond)
	}
	for name, raw := range r.Target {
		switch name {
		case targetCorrection:
			cor, err := correction.Parse(raw)
			if err != nil {
				return no("its target is not a correction: %v", err)
			}
			if want := openc2.Action(&cor); r.Action != want {
				return no("its action is %s, and its target asks for %s", short(r.Action), want)
			}
			return &cor, stands, nil
		case "ipv4_net", "ipv6_net":
			var prefix string
			if err := json.Unmarshal(raw, &prefix); err != nil || r.Action != "deny" && r.Action != "contain" {
				return no("%s of %s is not known here", short(r.Action), name)
			}
			return &correction.Correction{Kind: correction.Access, Params: correction.Params{Mode: "block"}, Scope: correction.Scope{IPs: []string{prefix}},
				Reason: "imported step: " + step}, stands, nil
		}
		return no("the target %s is not known here", short(name))
	}
	return no("it has no target")
}
