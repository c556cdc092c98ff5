package wire

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf8"
)

// IsForm says whether a content type is multipart/form-data. What it says of a
// malformed one does not matter: ReadForm refuses it.
func IsForm(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(kind), "multipart/form-data")
}

// ReadForm reads what is decided on in a multipart form (RFC 7578): model,
// purpose, stream, a realtime session, and where the first file lies. It resets
// e first, which then aliases body; the error is a *Problem.
//
// It takes only what every reader takes in one way. The boundary is given once;
// the body begins with it, and wherever it occurs it delimits. Lines of a part's
// head end with CRLF. Each part has one Content-Disposition with one name, no
// Content-Transfer-Encoding and no parts of its own. A field that is decided on
// may be given once, exactly so spelt, and without a file name.
func ReadForm(rt Route, contentType string, body []byte, e *Envelope) error {
	e.Reset()
	e.Model, e.Stream, e.Form = rt.Model, rt.Stream, true
	if rt.Body != BodyForm && rt.Body != BodyEither {
		return &Problem{Status: 415, Code: "content_type", Title: "Unsupported content type", Param: "content-type", Detail: "this request takes no form"}
	}
	if rt.Op == OpRealtime && contentType == "application/sdp" {
		return nil // what it asks for was said when its secret was made
	}
	boundary, p := boundaryOf(contentType)
	if p != nil {
		return p
	}
	f := form{rt: rt, e: e, body: body}
	if p := f.read(boundary); p != nil {
		return p
	}
	if rt.Named && rt.ModelIn == ModelInBody && !f.seen[fieldModel] {
		return missingModel()
	}
	return nil
}

func boundaryOf(contentType string) (string, *Problem) {
	kind, params, err := mime.ParseMediaType(contentType)
	b := params["boundary"]
	if err != nil || kind != "multipart/form-data" || len(params) != 1 || len(b) == 0 || len(b) > 70 {
		return "", &Problem{Status: 415, Code: "content_type", Title: "Unsupported content type", Param: "content-type",
			Detail: "this request takes multipart/form-data with one boundary of 1 to 70 characters and no other parameter"}
	}
	for i := range len(b) {
		if c := b[i]; !alnum(c) && strings.IndexByte("'()+_,-./:=?", c) < 0 {
			return "", &Problem{Status: 415, Code: "content_type", Title: "Unsupported content type", Param: "content-type",
				Detail: "the boundary may hold letters, digits and '()+_,-./:=? (RFC 2046)"}
		}
	}
	return b, nil
}

func alnum(c byte) bool { return c|0x20-'a' <= 25 || c-'0' <= 9 }

// The fields that something is decided on.
const (
	fieldModel = iota
	fieldPurpose
	fieldStream
	fieldFile
	fieldSession
	fieldUser
)

var fields = [...]string{fieldModel: "model", fieldPurpose: "purpose", fieldStream: "stream", fieldFile: "file", fieldSession: "session", fieldUser: "user"}

type form struct {
	rt   Route
	e    *Envelope
	body []byte
	seen [len(fields)]bool
}

// bad is a form that cannot be used.
func (f *form) bad(param, detail string) *Problem {
	return &Problem{Status: 400, Code: "invalid_form", Title: "The request body cannot be used", Param: param, Detail: detail}
}

var crlf = []byte("\r\n")

func (f *form) read(boundary string) *Problem {
	b := f.body
	delimiter := []byte("--" + boundary)
	if !bytes.HasPrefix(b, delimiter) {
		return f.bad("", "the form must begin with its boundary")
	}
	for at := len(delimiter); ; {
		rest := b[at:]
		if bytes.HasPrefix(rest, []byte("--")) {
			if rest = rest[2:]; len(rest) > 0 && string(rest) != "\r\n" {
				return f.bad("", "something follows the end of the form")
			}
			return nil
		}
		if !bytes.HasPrefix(rest, crlf) {
			return f.bad("", "a boundary must be followed by the end of its line, or by -- at the end of the form; it may occur nowhere else")
		}
		at += 2
		n := bytes.Index(b[at:], delimiter)
		if n < 0 {
			return f.bad("", "the form does not end with its boundary")
		}
		end := at + n
		if n < 2 || !bytes.HasSuffix(b[at:end], crlf) {
			return f.bad("", "the boundary may occur only at the beginning of a line")
		}
		if p := f.read1(at, end-2); p != nil {
			return p
		}
		at = end + len(delimiter)
	}
}

// read1 reads the part from at to end.
func (f *form) read1(at, end int) *Problem {
	head, _, found := bytes.Cut(f.body[at:end], []byte("\r\n\r\n"))
	if !found {
		return f.bad("", "a part has no empty line between its head and its content")
	}
	start := at + len(head) + 4
	var name, disposition, kind string
	var file, typed bool
	for line := range bytes.SplitSeq(head, crlf) {
		key, value, ok := strings.Cut(string(line), ":")
		if !ok || key == "" || strings.IndexFunc(key, func(r rune) bool { return r > 0x7e || !alnum(byte(r)) && r != '-' }) >= 0 {
			return f.bad("", "a line in the head of a part is malformed, or goes on from the one before")
		}
		for i := range len(value) {
			if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
				return f.bad("", "the head of a part has a control character")
			}
		}
		value = strings.Trim(value, " \t")
		switch strings.ToLower(key) {
		case "content-disposition":
			if disposition != "" {
				return f.bad("", "a part has two Content-Dispositions")
			}
			disposition = value
			var ok bool
			if name, file, ok = dispositionOf(value); !ok {
				return f.bad("", `a part's Content-Disposition must be form-data; name="…", and may have a filename; names are plain`)
			}
		case "content-type":
			if typed {
				return f.bad("", "a part has two Content-Types")
			}
			if kind, typed = value, true; strings.HasPrefix(strings.ToLower(kind), "multipart/") {
				return f.bad("", "a part has parts of its own, which are not read")
			}
		case "content-transfer-encoding":
			return f.bad("", "a part has a Content-Transfer-Encoding, which is not read: send its bytes as they are")
		case "content-length":
		default:
			return f.bad("", "the head of a part may have Content-Disposition, Content-Type and Content-Length, and nothing else")
		}
	}
	if disposition == "" {
		return f.bad("", "a part has no Content-Disposition")
	}
	return f.field(name, kind, file, Region{Start: start, End: end})
}

// field takes one part in.
func (f *form) field(name, kind string, file bool, at Region) *Problem {
	if strings.EqualFold(name, "_charset_") {
		return f.bad(name, "a form that declares its own charset is not read; send UTF-8")
	}
	which := -1
	base, _, indexed := strings.Cut(name, "[")
	for i, known := range fields {
		if !strings.EqualFold(base, known) {
			continue
		}
		if name != known && (indexed || base != known) {
			return f.bad(known, "a field's name differs from this one only in case or by an index; write it exactly")
		}
		which = i
	}
	if which == fieldFile && !f.seen[which] || file && f.e.FileAt.End == 0 {
		f.e.FileAt = at
	}
	if which < 0 {
		return nil
	}
	if f.seen[which] {
		return f.bad(name, "this field is given twice; give it once")
	}
	f.seen[which] = true
	if which == fieldFile {
		return nil
	}
	if file {
		return f.bad(name, "this field must not be a file")
	}
	if which == fieldSession {
		return f.session(at)
	}
	text := f.body[at.Start:at.End]
	if kind = strings.ToLower(strings.ReplaceAll(kind, " ", "")); kind != "" && kind != "text/plain" && kind != "text/plain;charset=utf-8" {
		return f.bad(name, "this field must be plain text in UTF-8")
	}
	if len(text) > 512 || !utf8.Valid(text) || bytes.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		return f.bad(name, "this field must be at most 512 bytes of UTF-8 without control characters")
	}
	switch v := string(text); which {
	case fieldModel:
		if v == "" || strings.TrimSpace(v) != v {
			return f.bad(name, "the model must not be empty, or have blanks around it")
		}
		switch f.rt.ModelIn {
		case ModelInBody:
			f.e.Model, f.e.ModelAt = v, at
		case ModelInPath:
			if v != f.rt.Model {
				return &Problem{Status: 400, Code: "model_mismatch", Title: "The request body cannot be used", Param: "model",
					Detail: "the model must be the deployment that the path names, or be left out"}
			}
			f.e.ModelAt = at
		}
	case fieldPurpose:
		f.e.Purpose = v
	case fieldStream:
		if v != "true" && v != "false" {
			return f.bad(name, "must be true or false")
		}
		f.e.Stream = f.e.Stream || v == "true" && f.rt.SSE
	case fieldUser:
		if v != "" && f.rt.ModelIn != ModelNowhere {
			f.e.Users = append(f.e.Users, v)
		}
	}
	return nil
}

// session reads the description of a realtime session, which is JSON.
func (f *form) session(at Region) *Problem {
	if f.rt.Op != OpRealtime {
		return nil
	}
	var e Envelope
	rt, text := f.rt, f.body[at.Start:at.End]
	rt.Body, rt.ModelIn = BodyJSON, ModelInBody
	if err := ReadAccount(rt, text, &e); err != nil {
		p := AsProblem(err)
		p.Param = "session"
		return p
	}
	f.e.Model, f.e.Others = e.Model, append(f.e.Others, e.Others...)
	// Within the quotes, as long as nothing there is escaped.
	if in := (Region{Start: e.ModelAt.Start + 1, End: e.ModelAt.End - 1}); e.Model != "" && string(text[in.Start:in.End]) == e.Model {
		f.e.ModelAt = Region{Start: at.Start + in.Start, End: at.Start + in.End}
	}
	return nil
}

// dispositionOf reads a Content-Disposition. A name holds no quote, escape,
// percent sign or control character, since readers undo those differently.
func dispositionOf(v string) (name string, file, ok bool) {
	rest, ok := strings.CutPrefix(v, "form-data")
	if !ok {
		return "", false, false
	}
	named := false
	for rest != "" {
		if rest, ok = strings.CutPrefix(rest, ";"); !ok {
			return "", false, false
		}
		rest = strings.TrimLeft(rest, " \t")
		key, after, ok := strings.Cut(rest, "=")
		if !ok {
			return "", false, false
		}
		var value string
		if value, rest, ok = parameter(after); !ok {
			return "", false, false
		}
		switch key {
		case "name":
			if named || value == "" || len(value) > 256 || strings.ContainsAny(value, `"\%`) {
				return "", false, false
			}
			for i := range len(value) {
				if c := value[i]; c <= ' ' || c > 0x7e {
					return "", false, false
				}
			}
			name, named = value, true
		case "filename":
			if file {
				return "", false, false
			}
			file = true
		case "filename*":
			file = true
		default:
			return "", false, false
		}
	}
	return name, file, named
}

// parameter reads a parameter's value, quoted or not, up to the next semicolon.
// Some readers take \" for a quote inside, and others for the end: it is refused.
func parameter(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexByte(s, ';')
		if i < 0 {
			i = len(s)
		}
		return s[:i], s[i:], i > 0 && !strings.ContainsAny(s[:i], " \t\"\\")
	}
	value, rest, ok = strings.Cut(s[1:], `"`)
	escapes := len(value) - len(strings.TrimRight(value, `\`))
	return value, rest, ok && escapes%2 == 0
}
