package wire

import (
	"bytes"
	"slices"
	"strings"
	"unsafe"

	"andon/correction"
	"andon/wire/scan"
)

// PieceKind says what a piece is.
type PieceKind uint8

// The kinds of pieces. The last three carry no text to be looked at.
const (
	PieceOther         PieceKind = iota + 1 // titles, quotations, results of tools, and whatever is not known
	PieceText                               // what the model says
	PieceReasoning                          // what it thinks
	PieceRefusal                            // why it does not say it
	PieceToolArguments                      // what it hands to a tool, code and queries included
	PieceToolName                           // a tool that it calls, by name; Tool has its features
	PieceTool                               // a tool call, or its result: Text is its type, Tool its features
	PieceEnd                                // nothing more comes for Channel
	PieceUnreadable                         // the data is not what a wire can read; what it holds cannot be judged
)

// Channel is a running text of a stream or a body. Group is the choice, block,
// output item, candidate or message that it belongs to, and Text which of its
// texts. The zero Text is none: a piece without one is whole, a text of its own.
// In a PieceEnd, it stands for every text of the group.
type Channel struct{ Group, Text uint32 }

// EveryGroup is the Group of a PieceEnd that ends everything.
const EveryGroup = 1<<32 - 1

// Besides marks the groups of texts that only repeat another one, such as its
// tokens with their probabilities.
const Besides = 1 << 31

// Piece is a text, or a part of one, that an answer or a request carries.
type Piece struct {
	Kind    PieceKind
	Fixed   bool                // must not be rewritten: JSON in a string, a member's name, tokens beside their text
	Spelled bool                // repeats another text token by token, in other forms too
	Channel Channel             // which running text it continues
	At      Region              // the JSON string in the data, quotes included; zero if it is none of its own
	Text    []byte              // decoded; of the data, or of scratch
	Tool    correction.Features // PieceTool, PieceToolName: what is called
}

// Whole says whether the piece is a text of its own.
func (p *Piece) Whole() bool { return p.Channel.Text == 0 }

// Texts is what a wire knows of the texts in answers and requests.
type Texts interface {
	// AppendPieces appends every text that a model produced in the data of one
	// stream event, or in a whole plain answer, in order; the tool calls that it
	// begins or goes on with; and the ends of running texts. A string in a place
	// that the wire does not know is a piece, too. Left out are ids, types, roles,
	// signatures, what is encrypted or Base64, and what repeats the request.
	//
	// Data that is not strict JSON gives one PieceUnreadable and nothing else.
	// scratch is memory for texts with escapes, good until it is used again.
	AppendPieces(dst []Piece, rt Route, data []byte, scratch *[]byte) []Piece

	// AppendInputs appends the texts of a request body: the running text of each
	// message, in order, so that a phrase is found that is spread over its parts,
	// and every other string on its own, but names, ids and types.
	AppendInputs(dst []Piece, rt Route, body []byte, scratch *[]byte) []Piece
}

// AllTools is every feature that is a tool.
const AllTools = correction.Tools | correction.FunctionTools | correction.WebSearch | correction.CodeExecution |
	correction.ComputerUse | correction.FileSearch | correction.MCP

// Mode says how Walk takes what it finds.
type Mode uint8

// The modes; they can be combined.
const (
	Running Mode = 1 << iota // strings continue, each by its place; else they are whole
	Fixed                    // strings must not be rewritten
	Every                    // no string is left out for its name, and names of members are pieces, too
	Schema                   // JSON Schema's own words are left out, as names and as strings
	within                   // a schema: what is named like a credential there is none
)

// PieceReader reads pieces; the wires' packages use it.
type PieceReader struct {
	S       *scan.Scanner
	Dst     []Piece
	from    int
	scratch []byte
}

// ReadPieces begins to read data. Done ends it.
func ReadPieces(dst []Piece, data []byte, scratch *[]byte) PieceReader {
	return PieceReader{S: scan.New(data), Dst: dst, from: len(dst), scratch: (*scratch)[:0]}
}

// Done returns the pieces, or one that says that the data cannot be read.
func (r *PieceReader) Done(scratch *[]byte) []Piece {
	if r.S.End() != nil {
		r.Dst = append(r.Dst[:r.from], Piece{Kind: PieceUnreadable, Fixed: true})
	}
	for i := r.from; i < len(r.Dst); i++ {
		if r.Dst[i].Kind == 0 {
			r.Dst[i].Kind = PieceOther
		}
	}
	*scratch = r.scratch
	r.S.Free()
	return r.Dst
}

// Unreadable says that the data holds what cannot be judged.
func (r *PieceReader) Unreadable() { r.S.Fail(scan.CodeType, r.S.Offset(), "cannot be judged") }

// Token reads a string that is no piece: "" if the value is another. It aliases
// the data, or scratch.
func (r *PieceReader) Token() string {
	if r.S.Kind() != '"' {
		r.S.Skip()
		return ""
	}
	b := r.decode(r.S.Skip())
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func (r *PieceReader) decode(at Region) []byte {
	if at.End-at.Start < 2 {
		return nil
	}
	quoted := r.S.Bytes(at)
	if inside := quoted[1 : len(quoted)-1]; bytes.IndexByte(inside, '\\') < 0 {
		return inside
	}
	n := len(r.scratch)
	r.scratch = scan.AppendText(r.scratch, quoted)
	return r.scratch[n:len(r.scratch):len(r.scratch)]
}

// Index reads a number as a group or a part of one; 0 if it is none.
func (r *PieceReader) Index() uint32 { return uint32(r.S.Number()) &^ Besides }

// String reads a string into a piece, if it is not empty. It leaves any other
// value alone and returns false.
func (r *PieceReader) String(kind PieceKind, ch Channel, mode Mode) bool {
	if r.S.Kind() != '"' {
		return false
	}
	at := r.S.Skip()
	if text := r.decode(at); len(text) > 0 {
		r.Dst = append(r.Dst, Piece{Kind: kind, Fixed: mode&Fixed != 0, Channel: ch, At: at, Text: text})
	}
	return true
}

// Tool appends a tool call of this type.
func (r *PieceReader) Tool(typ string, f correction.Features) {
	text := unsafe.Slice(unsafe.StringData(typ), len(typ)) // nobody writes to a piece
	r.Dst = append(r.Dst, Piece{Kind: PieceTool, Fixed: true, Text: text, Tool: f | correction.Tools})
}

// End appends the end of a channel.
func (r *PieceReader) End(ch Channel) { r.Dst = append(r.Dst, Piece{Kind: PieceEnd, Channel: ch}) }

// Name is the Text of a channel, by what it is called.
func Name[T string | []byte](s T) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

// Nth tells the channels of one name apart by a number.
func Nth(n uint32) uint32 { return (n + 1) * 0x9E3779B1 }

// Walk reads any value: every string in it becomes a piece. A whole piece's
// Group tells its place, for callers that find out late that it is running.
func (r *PieceReader) Walk(kind PieceKind, ch Channel, mode Mode) {
	r.walk(kind, ch, mode)
}

// walk returns the index that an object gives itself.
func (r *PieceReader) walk(kind PieceKind, ch Channel, mode Mode) (index uint32, indexed bool) {
	s := r.S
	switch s.Kind() {
	case '"':
		if mode&Running == 0 {
			ch.Text = 0
		}
		from := len(r.Dst)
		if r.String(kind, ch, mode); mode&Schema != 0 && len(r.Dst) > from && schemaWord(r.Dst[from].Text) {
			r.Dst = r.Dst[:from]
		}
	case '[':
		s.Array()
		for n := uint32(0); s.Element(); n++ {
			from := len(r.Dst)
			k, ok := r.walk(kind, ch, mode)
			if !ok {
				k = n
			}
			r.Shift(from, Channel{Text: Nth(k)})
		}
	case '{':
		s.Object()
		var data, dataEnd int // the pieces of a member data
		sealed := false
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			inner := ch
			inner.Text += Name(name)
			if mode&Running == 0 {
				inner.Group += Name(name)
			}
			if mode&Every != 0 {
				hides := mode&Schema != 0 && mode&within == 0 && secret(name)
				if hides {
					s.Skip()
					continue
				}
				if mode&Schema == 0 || !schemaWord(name) {
					r.key(kind, name)
				}
				if mode&within != 0 || describes(name) {
					r.walk(kind, inner, mode|within)
				} else {
					r.walk(kind, inner, mode)
				}
				continue
			}
			switch k := s.Kind(); {
			case string(name) == "index" && k == 0:
				index, indexed = r.Index(), true
			case k == '{' && string(name) == "env": // of a command, whose variables the model names
				r.walk(kind, inner, mode|Every)
			case k != '"':
				r.walk(kind, inner, mode)
			case string(name) == "type":
				sealed = sealed || Sealed(r.Token())
			case strings.HasPrefix(string(name), "mime") || string(name) == "media_type":
				sealed = sealed || !strings.HasPrefix(r.Token(), "text/")
			case string(name) == "data":
				data = len(r.Dst)
				r.walk(kind, inner, mode)
				dataEnd = len(r.Dst)
			case Unsaid(name):
				s.Skip()
			default:
				r.walk(kind, inner, mode)
			}
		}
		if sealed {
			r.Dst = slices.Delete(r.Dst, data, dataEnd)
		}
	default:
		s.Skip()
	}
	return index, indexed
}

// schemaWord says whether a text is a word of JSON Schema, or of the APIs' lists
// of tools around it, which every request with tools has.
func schemaWord(text []byte) bool {
	switch string(text) {
	case "type", "properties", "items", "required", "description", "name", "parameters", "function", "strict", "enum", "title", "default", "anyOf", "allOf", "oneOf",
		"additionalProperties", "format", "json_schema", "json_object", "schema", "input_schema", "inputSchema", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern",
		"const", "$defs", "$ref", "$schema", "definitions", "nullable", "cache_control", "ephemeral", "ttl", "functionDeclarations", "function_declarations",
		"responseSchema", "response_schema", "responseJsonSchema", "responseMimeType", "response_mime_type", "application/json", "propertyOrdering",
		"object", "string", "number", "integer", "boolean", "null", "array", "custom", "text", "OBJECT", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "verbosity", "low", "medium", "high":
		return true
	}
	return false
}

// secret says whether a tool's member holds a credential, which no model reads
// and no classifier may.
func secret(name []byte) bool {
	switch string(name) {
	case "authorization", "authorization_token", "headers", "http_headers", "httpHeaders":
		return true
	}
	return false
}

// describes says whether a tool's member describes what the model hands to it.
func describes(name []byte) bool {
	switch string(name) {
	case "parameters", "input_schema", "inputSchema", "parametersJsonSchema", "parameters_json_schema", "properties", "schema", "json_schema",
		"responseSchema", "response_schema", "responseJsonSchema", "response_json_schema", "_responseJsonSchema", "_response_json_schema", "response":
		return true
	}
	return false
}

// key makes the name that was just read a piece.
func (r *PieceReader) key(kind PieceKind, name []byte) {
	if len(name) == 0 {
		return
	}
	// The name is good only until its object ends; the body's own bytes stay.
	at := r.S.NameAt()
	text := r.S.Bytes(Region{Start: at, End: r.S.Offset()})
	end := bytes.LastIndexByte(text, '"') + 1
	r.Dst = append(r.Dst, Piece{Kind: kind, Fixed: true, At: Region{Start: at, End: at + end}, Text: r.decode(Region{Start: at, End: at + end})})
}

// Shift moves the running pieces since from to another channel, by adding to it,
// and whole ones to another place.
func (r *PieceReader) Shift(from int, by Channel) {
	for i := from; i < len(r.Dst); i++ {
		p := &r.Dst[i]
		switch {
		case p.Kind == PieceTool:
		case p.Channel.Text != 0:
			p.Channel.Text += by.Text
			p.Channel.Group += by.Group
		default:
			p.Channel.Group += by.Text
		}
	}
}

// Sort gives the pieces since from that have no kind yet this one.
func (r *PieceReader) Sort(from int, kind PieceKind, fixed bool) {
	for i := from; i < len(r.Dst); i++ {
		if p := &r.Dst[i]; p.Kind == 0 {
			p.Kind, p.Fixed = kind, p.Fixed || fixed
		}
	}
}

// Tokens reads the tokens of a text with their probabilities: a list, or an
// object of lists. The chosen ones make one piece that runs beside the text, or
// is whole; their alternatives are whole.
func (r *PieceReader) Tokens(ch Channel) {
	s := r.S
	switch s.Kind() {
	case '{':
		s.Object()
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			inner := ch
			if ch.Text != 0 {
				inner.Text += Name(name)
			}
			if string(name) == "topCandidates" || string(name) == "top_logprobs" {
				r.alternatives()
			} else {
				r.Tokens(inner)
			}
		}
	case '[':
		s.Array()
		var text []byte
		for s.Element() {
			switch s.Kind() {
			case '"':
				text = append(text, r.Token()...)
			case '{':
				s.Object()
				for name, ok := s.Member(); ok; name, ok = s.Member() {
					if string(name) == "token" {
						text = append(text, r.Token()...)
					} else {
						r.alternatives()
					}
				}
			default:
				s.Skip()
			}
		}
		if len(text) > 0 {
			ch.Group |= Besides
			r.Dst = append(r.Dst, Piece{Kind: PieceOther, Fixed: true, Spelled: true, Channel: ch, Text: text})
		}
	default:
		s.Skip()
	}
}

func (r *PieceReader) alternatives() {
	from := len(r.Dst)
	r.Walk(PieceOther, Channel{}, Fixed|Every)
	for i := from; i < len(r.Dst); i++ {
		r.Dst[i].Spelled = true
	}
}

// Sealed says whether data of this type cannot be read as text.
func Sealed(typ string) bool {
	switch typ {
	case "base64", "redacted_thinking", "input_audio", "audio":
		return true
	}
	return false
}

// Unsaid says whether a string of this name is none that a model says: an id,
// a type, a signature, something encrypted or Base64. It is a closed list.
func Unsaid(name []byte) bool {
	switch string(name) {
	case "id", "type", "role", "object", "model", "status", "phase",
		"signature", "thoughtSignature", "thought_signature", "encrypted_content", "encrypted_index", "encrypted_stdout", "fingerprint",
		"call_id", "item_id", "tool_use_id", "tool_call_id", "tool_id", "caller_id", "response_id", "responseId", "container_id", "file_id",
		"approval_request_id", "previous_response_id", "request_id", "message_id", "assistant_id", "thread_id", "run_id", "event_id", "custom_id",
		"modelVersion", "model_version", "createTime", "create_time", "created_at", "expires_at", "page_age", "retrieved_at",
		"finish_reason", "finishReason", "stop_reason", "native_finish_reason", "system_fingerprint", "service_tier", "serviceTier", "provider",
		"obfuscation", "b64_json", "partial_image_b64", "format", "outcome", "detail", "quality", "background", "size",
		"trafficType", "modality", "probability", "severity", "category", "blockReason":
		return true
	}
	return false
}
