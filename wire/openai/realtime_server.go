package openai

import (
	"strings"

	"andon/wire"
	"andon/wire/scan"
)

// ServerEvent is what matters of an event that a provider sends in a realtime
// session. Its strings alias the event.
type ServerEvent struct {
	Type     string
	Response string // id of the response that it belongs to
	Item     string // id of the item
	Sound    bool   // it carries sound that the model made
	Input    bool   // it repeats what the client sent
	Usage    wire.Usage
	Used     bool // it has a usage
	Calls    int64
}

// ReadServerEvent reads an event that a provider sends. It returns false for
// what is not strict JSON.
func ReadServerEvent(data []byte, e *ServerEvent) bool {
	*e = ServerEvent{}
	s := scan.New(data)
	defer s.Free()
	if s.Kind() != '{' {
		return false
	}
	sound := false
	content := func() {
		s.Elements(func() {
			s.Members(func(name []byte) {
				if string(name) == "audio" {
					sound = s.Word() != "" || sound
				} else {
					s.Skip()
				}
			})
		})
	}
	kind, role := "", ""
	s.Members(func(name []byte) {
		switch string(name) {
		case "type":
			e.Type = s.Word()
		case "response_id":
			e.Response = s.Word()
		case "item_id":
			e.Item = s.Word()
		case "usage":
			e.usage(s)
		case "item":
			s.Members(func(name []byte) {
				switch string(name) {
				case "id":
					e.Item = s.Word()
				case "type":
					kind = s.Word()
				case "role":
					role = s.Word()
				case "content":
					content()
				default:
					s.Skip()
				}
			})
		case "response":
			s.Members(func(name []byte) {
				switch string(name) {
				case "id":
					e.Response = s.Word()
				case "usage":
					e.usage(s)
				case "output":
					s.Elements(func() {
						s.Members(func(name []byte) {
							switch string(name) {
							case "type":
								if strings.HasSuffix(s.Word(), "_call") {
									e.Calls++
								}
							case "content":
								content()
							default:
								s.Skip()
							}
						})
					})
				default:
					s.Skip()
				}
			})
		default:
			s.Skip()
		}
	})
	if s.End() != nil {
		return false
	}
	switch e.Type {
	case "response.output_audio.delta", "response.audio.delta", "session.output_audio.delta":
		e.Sound = true
	case "session.created", "session.updated", "transcription_session.created", "transcription_session.updated":
		e.Input = true
	case "conversation.item.created", "conversation.item.added", "conversation.item.done", "conversation.item.retrieved":
		switch kind {
		case "message":
			e.Input = role == "user" || role == "system" || role == "developer"
		case "function_call_output", "mcp_approval_response":
			e.Input = true
		}
	}
	e.Sound = e.Sound || sound && !e.Input
	return true
}

func (e *ServerEvent) usage(s *scan.Scanner) {
	s.Members(func(name []byte) {
		switch string(name) {
		case "input_tokens":
			e.Usage.Input, e.Used = s.Number(), true
		case "output_tokens":
			e.Usage.Output, e.Used = s.Number(), true
		default:
			s.Skip()
		}
	})
}

// appendRealtime reads the texts of an event of a realtime session. Responses
// may come at the same time, and are told apart by their ids: the texts of one are one
// group.
func (api) appendRealtime(dst []wire.Piece, data []byte, scratch *[]byte) []wire.Piece {
	var e ServerEvent
	if !ReadServerEvent(data, &e) {
		return append(dst, wire.Piece{Kind: wire.PieceUnreadable, Fixed: true})
	}
	if e.Input {
		return dst
	}
	from := len(dst)
	r := pieces{wire.ReadPieces(dst, data, scratch)}
	r.object(answer)
	dst = r.Done(scratch)
	id := e.Response
	if id == "" {
		id = e.Item
	}
	group := wire.Name(id) &^ wire.Besides
	kept := dst[:from]
	for _, p := range dst[from:] {
		if p.Kind == wire.PieceEnd && p.Channel.Text == 0 {
			continue // of an item, whose texts have ended
		}
		if !p.Whole() {
			p.Channel.Text += wire.Nth(p.Channel.Group &^ wire.Besides)
			if p.Channel.Text == 0 {
				p.Channel.Text = 1
			}
			p.Channel.Group = group | p.Channel.Group&wire.Besides
		}
		kept = append(kept, p)
	}
	if e.Type == "response.done" || e.Type == "conversation.item.input_audio_transcription.completed" {
		for _, g := range [...]uint32{group, group | wire.Besides} {
			kept = append(kept, wire.Piece{Kind: wire.PieceEnd, Channel: wire.Channel{Group: g}})
		}
	}
	return kept
}
