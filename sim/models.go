package sim

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// released is when the simulated models came out: 2026-01-01.
const released = 1767225600

// listModels answers the model listing of each wire, all on one page.
func (c *call) listModels() {
	var b []byte
	names := c.sim.cfg.Models
	switch c.wire {
	case anthropic:
		b = append(b, `{"data":[`...)
	case gemini:
		b = append(b, `{"models":[`...)
	default:
		b = append(b, `{"object":"list","data":[`...)
	}
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = c.wire.appendModel(b, name)
	}
	b = append(b, ']')
	if c.wire == anthropic {
		b = append(b, `,"has_more":false,"first_id":`...)
		if len(names) == 0 {
			b = append(b, `null,"last_id":null`...)
		} else {
			b = append(quote(b, names[0]), `,"last_id":`...)
			b = quote(b, names[len(names)-1])
		}
	}
	c.ended(endComplete)
	c.send(http.StatusOK, typeJSON, append(b, '}'))
}

func (c *call) getModel(name string) {
	name = strings.TrimPrefix(name, "models/")
	if !slices.Contains(c.sim.cfg.Models, name) {
		c.refuse(http.StatusNotFound, "The model `"+name+"` does not exist or you do not have access to it.")
		return
	}
	c.ended(endComplete)
	c.send(http.StatusOK, typeJSON, c.wire.appendModel(nil, name))
}

func (w wire) appendModel(b []byte, name string) []byte {
	switch w {
	case anthropic:
		b = append(b, `{"type":"model","id":`...)
		b = quote(b, name)
		b = append(b, `,"display_name":`...)
		b = quote(b, "Simulated "+name)
		return append(b, `,"created_at":"2026-01-01T00:00:00Z","max_input_tokens":200000,"max_tokens":64000,"capabilities":null,"lifecycle":"active","line":null,"deprecated_at":null,"retires_at":null}`...)
	case gemini:
		b = append(b, `{"name":`...)
		b = quote(b, "models/"+name)
		b = append(b, `,"version":"1","displayName":`...)
		b = quote(b, "Simulated "+name)
		return append(b, `,"description":"A simulated model.","inputTokenLimit":200000,"outputTokenLimit":64000,"supportedGenerationMethods":["generateContent","streamGenerateContent","countTokens","embedContent","batchEmbedContents"],"temperature":1,"topP":0.95,"topK":64}`...)
	}
	b = append(b, `{"id":`...)
	b = quote(b, name)
	b = append(b, `,"object":"model","created":`...)
	b = strconv.AppendInt(b, released, 10)
	return append(b, `,"owned_by":"andon-sim"}`...)
}
