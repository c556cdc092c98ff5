package wire

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"unicode/utf8"
)

// inputText is the running text of a message.
var inputText = Name("input")

// AppendInputs is the wires' reader of request texts: all of them put messages,
// their parts and tools in the same way, as far as texts go. The names of the
// members below are all that the APIs have for lists of messages, instructions,
// and texts in them; a string under any other name is a text of its own.
//
// Base64 of a text type is decoded. Prompts of token numbers cannot be judged,
// and make the body unreadable.
func AppendInputs(dst []Piece, body []byte, scratch *[]byte) []Piece {
	if len(bytes.TrimSpace(body)) == 0 {
		return dst
	}
	r := ReadPieces(dst, body, scratch)
	s := r.S
	if s.Kind() != '{' {
		r.Unreadable()
		return r.Done(scratch)
	}
	r.body(0)
	return r.Done(scratch)
}

// body reads a request's body, or the part of an event of a realtime session
// that is like one.
func (r *PieceReader) body(depth int) {
	s := r.S
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		ch := Channel{Group: Name(name), Text: inputText}
		switch string(name) {
		case "session", "response", "item":
			switch {
			case s.Kind() != '{':
				r.Walk(PieceOther, Channel{}, Fixed)
			case string(name) == "item":
				r.input(ch, false)
			case depth > 0:
				r.Walk(PieceOther, Channel{}, Fixed)
			default:
				r.body(depth + 1)
			}
		case "type", "event_id", "previous_item_id", "item_id", "response_id":
			if s.Kind() == '"' {
				s.Skip()
			} else {
				r.Walk(PieceOther, Channel{}, Fixed)
			}
		case "messages", "contents", "requests", "prompt", "input", "texts", "items", "events", "instances", "additional_messages":
			if s.Kind() != '[' {
				r.input(ch, false)
				continue
			}
			s.Array()
			for n := uint32(0); s.Element(); n++ {
				if k := s.Kind(); k == 0 || k == '[' {
					r.Unreadable()
				}
				r.input(Channel{Group: ch.Group + Nth(n), Text: inputText}, false)
			}
		case "system", "instructions", "systemInstruction", "system_instruction", "content", "suffix", "prediction", "thread":
			r.input(ch, false)
		case "chat_template_kwargs", "documents", "extra_body":
			r.Walk(PieceOther, Channel{}, Fixed|Every)
		case "model", "user", "safety_identifier", "prompt_cache_key", "previous_response_id", "cachedContent", "cached_content", "service_tier":
			s.Skip()
		case "tools", "functions", "response_format", "text", "output_format", "output_config", "generationConfig", "generation_config", "mcp_servers":
			r.Walk(PieceOther, Channel{}, Fixed|Every|Schema)
		default:
			r.Walk(PieceOther, Channel{}, Fixed)
		}
	}
}

// input reads a message, a part of one, or what is below. fixed says that its
// strings must stay.
func (r *PieceReader) input(ch Channel, fixed bool) {
	s := r.S
	mode := Running
	if fixed {
		mode |= Fixed
	}
	switch s.Kind() {
	case '"':
		r.String(PieceText, ch, mode)
		return
	case '[':
		s.Array()
		for s.Element() {
			r.input(ch, fixed)
		}
		return
	case '{':
		s.Object()
	default:
		s.Skip()
		return
	}
	data, media, sealed, sound := "", "", false, false // data is Base64 or text; which of the two, its object says
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		text := s.Kind() == '"'
		switch string(name) {
		case "text", "content", "parts", "thinking", "reasoning", "reasoning_content", "refusal", "transcript", "output", "summary", "source":
			r.input(ch, fixed)
		case "response": // of a function, which names its members as it likes
			r.Walk(PieceOther, Channel{}, Fixed|Every)
		case "variables":
			r.variables(ch)
		case "arguments", "args", "input", "action", "operation":
			if text {
				r.String(PieceToolArguments, Channel{}, Fixed)
			} else {
				r.Walk(PieceToolArguments, Channel{}, Fixed|Every)
			}
		case "type":
			typ := r.Token()
			sealed = Sealed(typ) || sealed
			sound = sound || sealed && typ != "base64"
		case "format":
			sealed, sound = true, true
			s.Skip()
		case "mime_type", "mimeType", "media_type":
			media = r.Token()
		case "data":
			if text {
				data = r.Token()
				continue
			}
			r.input(ch, fixed)
		case "file_data", "url", "image_url", "file_url":
			if text {
				r.url(ch)
			} else {
				r.input(ch, fixed)
			}
		case "role", "id", "call_id", "item_id", "tool_call_id", "tool_use_id", "file_id", "signature", "thoughtSignature", "thought_signature",
			"encrypted_content", "encrypted_index", "fingerprint", "detail", "ttl", "status", "custom_id", "model":
			if text {
				s.Skip()
			} else {
				r.input(ch, fixed)
			}
		default:
			if text {
				r.String(PieceOther, Channel{}, Fixed)
			} else {
				r.input(ch, fixed)
			}
		}
	}
	switch {
	case data == "", sound:
	case sealed || media != "":
		r.encoded(ch, data)
		if !sealed && textual(media) {
			r.plain(ch, data)
		}
	default:
		r.encoded(ch, data)
		r.plain(ch, data)
	}
}

// textual says whether a media type is one of texts.
func textual(media string) bool {
	media = strings.ToLower(media)
	return strings.HasPrefix(media, "text/") || strings.Contains(media, "json")
}

// variables reads what is put into a stored prompt, by names of the prompt's own.
func (r *PieceReader) variables(ch Channel) {
	s := r.S
	if s.Kind() != '{' {
		r.input(ch, true)
		return
	}
	s.Object()
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		r.key(PieceOther, name)
		if !r.String(PieceOther, Channel{}, 0) {
			r.input(Channel{Group: ch.Group + Name(name), Text: inputText}, false)
		}
	}
}

// url reads a URL: one that holds a text is that text.
func (r *PieceReader) url(ch Channel) {
	u := r.Token()
	media, rest, ok := dataURL(u)
	if !ok {
		r.plain(Channel{}, u)
		r.encoded(ch, u) // some take a file so
		return
	}
	r.encoded(ch, rest)
	if textual(media) || !strings.Contains(strings.ToLower(media), ";base64") {
		r.plain(ch, rest)
		if text, err := url.PathUnescape(rest); err == nil && text != rest {
			r.plain(ch, text)
		}
	}
}

// plain makes a piece of text that has no string of its own to be rewritten.
func (r *PieceReader) plain(ch Channel, text string) {
	r.Dst = append(r.Dst, Piece{Kind: PieceOther, Fixed: true, Channel: Channel{Group: ch.Group}, Text: []byte(text)})
}

var standard = strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "")

// encoded is plain for what text says in Base64, if that is a text.
func (r *PieceReader) encoded(ch Channel, text string) {
	const some = 64 // of which most pictures, sounds and archives show that they are none
	if b, ok := decoded(text[:min(len(text), some)]); !ok || !beginsText(b) {
		return
	}
	if b, ok := decoded(text); ok && len(b) > 0 && utf8.Valid(b) {
		r.plain(ch, string(b))
	}
}

func decoded(text string) ([]byte, bool) {
	text = strings.TrimRight(standard.Replace(text), "=")
	if len(text)%4 == 1 {
		text = text[:len(text)-1] // in the middle of a group
	}
	b, err := base64.RawStdEncoding.DecodeString(text)
	return b, err == nil
}

// beginsText says whether b may be the beginning of a text.
func beginsText(b []byte) bool {
	for cut := 0; cut < utf8.UTFMax && cut <= len(b); cut++ {
		if utf8.Valid(b[:len(b)-cut]) {
			return true
		}
	}
	return false
}

// dataURL takes a data URL apart. ok is false for any other URL.
func dataURL(s string) (media, rest string, ok bool) {
	if len(s) < 5 || !strings.EqualFold(s[:5], "data:") {
		return "", "", false
	}
	media, rest, ok = strings.Cut(s[5:], ",")
	return media, rest, ok
}
