package wire

import (
	"bytes"
	"io"
	"mime/multipart"
	"strings"
	"testing"
)

var (
	formRoute   = Route{API: "openai.audio.transcriptions", Op: OpTranscribe, Body: BodyForm, ModelIn: ModelInBody, Named: true, SSE: true}
	uploadRoute = Route{API: "openai.files", Op: OpFile, Body: BodyForm}
)

const formType = "multipart/form-data; boundary=xYz"

// field writes one part as most clients do.
func field(disposition, content string, more ...string) string {
	head := "--xYz\r\nContent-Disposition: form-data; " + disposition + "\r\n"
	for _, m := range more {
		head += m + "\r\n"
	}
	return head + "\r\n" + content + "\r\n"
}

const formEnd = "--xYz--\r\n"

func TestForm(t *testing.T) {
	file := field(`name="file"; filename="a \\ b.wav"`, "RIFF\r\n--xY", "Content-Type: audio/wav")
	body := file + field(`name="model"`, "whisper-1") + field(`name="stream"`, "true") + field(`name="include[]"`, "logprobs") + field(`name="include[]"`, "x") + formEnd
	var e Envelope
	if err := ReadForm(formRoute, formType, []byte(body), &e); err != nil {
		t.Fatal(err)
	}
	if e.Model != "whisper-1" || !e.Stream || !e.Form || body[e.FileAt.Start:e.FileAt.End] != "RIFF\r\n--xY" || body[e.ModelAt.Start:e.ModelAt.End] != "whisper-1" {
		t.Errorf("%+v", e)
	}
	for _, model := range []string{"w", "whisper-large"} {
		out, err := Rewrite(nil, []byte(body), &e, &Change{Model: model})
		if want := strings.Replace(body, "whisper-1", model, 1); err != nil || string(out) != want {
			t.Errorf("rewritten: %v\n%s", err, out)
		}
	}
	upload := field(`name="purpose"`, "batch") + field(`name="file"; filename="b.jsonl"`, "{}\n") + "--xYz--"
	if err := ReadForm(uploadRoute, formType, []byte(upload), &e); err != nil || e.Purpose != "batch" || upload[e.FileAt.Start:e.FileAt.End] != "{}\n" || e.Model != "" {
		t.Errorf("%v %+v", err, e)
	}
	empty := field(`name="model"`, "m") + field(`name="prompt"`, "") + formEnd
	if err := ReadForm(formRoute, formType, []byte(empty), &e); err != nil {
		t.Error(err)
	}
}

func TestFormSession(t *testing.T) {
	rt := Route{Op: OpRealtime, Body: BodyForm}
	body := field(`name="sdp"`, "v=0\r\n", "Content-Type: application/sdp") +
		field(`name="session"`, `{"type":"realtime","model":"r-1","audio":{"input":{"transcription":{"model":"w-1"}}}}`, "Content-Type: application/json") + formEnd
	var e Envelope
	if err := ReadForm(rt, formType, []byte(body), &e); err != nil || e.Model != "r-1" || len(e.Others) != 1 || e.Others[0] != "w-1" {
		t.Errorf("%v %+v", err, e)
	}
	if err := ReadForm(rt, "application/sdp", []byte("v=0\r\n"), &e); err != nil || e.Model != "" {
		t.Errorf("%v %+v", err, e)
	}
	body = field(`name="session"`, `{"model":"r-1","model":"r-2"}`) + formEnd
	if err := ReadForm(rt, formType, []byte(body), &e); err == nil {
		t.Error("two models in one session")
	}
}

// Each of these is read differently by some reader, or hides what is decided on.
func TestHostileForms(t *testing.T) {
	model := field(`name="model"`, "m")
	good := model + formEnd
	for name, c := range map[string]struct{ kind, body string }{
		"no boundary":          {"multipart/form-data", good},
		"two boundaries":       {formType + "; boundary=abc", good},
		"another parameter":    {formType + "; charset=utf-16", good},
		"boundary too long":    {"multipart/form-data; boundary=" + strings.Repeat("a", 71), good},
		"odd boundary":         {`multipart/form-data; boundary="x z"`, strings.ReplaceAll(good, "xYz", "x z")},
		"another type":         {"multipart/mixed; boundary=xYz", good},
		"urlencoded":           {"application/x-www-form-urlencoded", "model=m"},
		"JSON":                 {"application/json", `{"model":"m"}`},
		"sdp":                  {"application/sdp", "v=0"},
		"preamble":             {formType, "x\r\n" + good},
		"line before":          {formType, "\r\n" + good},
		"epilogue":             {formType, good + "x"},
		"parts after the end":  {formType, good + good},
		"no end":               {formType, model},
		"no parts":             {formType, "--xYz--\r\n"},
		"bare LF":              {formType, strings.ReplaceAll(good, "\r\n", "\n")},
		"LF before boundary":   {formType, strings.Replace(good, "m\r\n--", "m\n--", 1)},
		"padded boundary":      {formType, strings.Replace(good, "--xYz\r\n", "--xYz \r\n", 1)},
		"longer boundary":      {formType, field(`name="prompt"`, "a\r\n--xYzz\r\nb") + good},
		"boundary in content":  {formType, field(`name="prompt"`, "a--xYz") + good},
		"boundary as content":  {formType, "--xYz\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n--xYz\r\n" + good[7:]},
		"two models":           {formType, model + field(`name="model"`, "n") + formEnd},
		"case":                 {formType, model + field(`name="Model"`, "n") + formEnd},
		"index":                {formType, model + field(`name="model[]"`, "n") + formEnd},
		"case and index":       {formType, model + field(`name="MODEL[0]"`, "n") + formEnd},
		"missing":              {formType, field(`name="prompt"`, "n") + formEnd},
		"empty model":          {formType, field(`name="model"`, "") + formEnd},
		"blanks around":        {formType, field(`name="model"`, " m") + formEnd},
		"two lines":            {formType, field(`name="model"`, "m\r\nn") + formEnd},
		"not UTF-8":            {formType, field(`name="model"`, "m\xff") + formEnd},
		"model as a file":      {formType, field(`name="model"; filename="m"`, "m") + formEnd},
		"model in UTF-16":      {formType, field(`name="model"`, "m", "Content-Type: text/plain; charset=utf-16") + formEnd},
		"model as JSON":        {formType, field(`name="model"`, "m", "Content-Type: application/json") + formEnd},
		"_charset_":            {formType, field(`name="_charset_"`, "utf-7") + good},
		"encoding":             {formType, field(`name="model"`, "bQ==", "Content-Transfer-Encoding: base64") + formEnd},
		"nested":               {formType, field(`name="x"`, "", "Content-Type: multipart/mixed; boundary=b") + good},
		"another header":       {formType, field(`name="model"`, "m", "X-Name: other") + formEnd},
		"two dispositions":     {formType, field(`name="model"`, "m", `Content-Disposition: form-data; name="x"`) + formEnd},
		"two types":            {formType, field(`name="model"`, "m", "Content-Type: text/plain", "Content-Type: text/plain") + formEnd},
		"folded":               {formType, field(`name="x"`, "m", ` ; name="model"`) + formEnd},
		"two names":            {formType, field(`name="x"; name="model"`, "m") + formEnd},
		"extended name":        {formType, field(`name="x"; name*=UTF-8''model`, "m") + formEnd},
		"no name":              {formType, field(`filename="x"`, "m") + good},
		"escaped name":         {formType, field(`name="mod\el"`, "m") + good},
		"percent in name":      {formType, field(`name="mod%65l"`, "m") + good},
		"blank in name":        {formType, field(`name="model "`, "n") + good},
		"quote in file name":   {formType, field(`name="file"; filename="a\"; name=\"model"`, "n") + good},
		"attachment":           {formType, strings.ReplaceAll(good, "form-data", "attachment")},
		"no disposition":       {formType, "--xYz\r\nContent-Type: text/plain\r\n\r\nm\r\n" + good},
		"no head":              {formType, "--xYz\r\nmodel\r\n" + good},
		"control in head":      {formType, field("name=\"model\"\x00", "m") + formEnd},
		"stream":               {formType, model + field(`name="stream"`, "1") + formEnd},
		"two streams":          {formType, model + field(`name="stream"`, "true") + field(`name="stream"`, "false") + formEnd},
		"two files":            {formType, model + field(`name="file"; filename="a"`, "1") + field(`name="file"; filename="b"`, "2") + formEnd},
		"two purposes":         {formType, model + field(`name="purpose"`, "vision") + field(`name="purpose"`, "batch") + formEnd},
		"purpose in one case":  {formType, model + field(`name="Purpose"`, "batch") + formEnd},
		"too long":             {formType, field(`name="model"`, strings.Repeat("m", 513)) + formEnd},
		"space before a colon": {formType, strings.Replace(good, "Disposition:", "Disposition :", 1)},
	} {
		var e Envelope
		err := ReadForm(formRoute, c.kind, []byte(c.body), &e)
		if p := AsProblem(err); p == nil || p.Status != 400 && p.Status != 415 || p.Detail == "" {
			t.Errorf("%s is taken, as %q (%v)", name, e.Model, err)
		}
	}
	var e Envelope
	if err := ReadForm(formRoute, formType, []byte(good), &e); err != nil {
		t.Errorf("what the hostile ones differ from: %v", err)
	}
	deployed := formRoute
	deployed.ModelIn, deployed.Model, deployed.Named = ModelInPath, "dep", false
	if err := ReadForm(deployed, formType, []byte(good), &e); AsProblem(err) == nil {
		t.Error("the form names another model than the path")
	}
	if err := ReadForm(Route{Body: BodyJSON}, formType, []byte(good), &e); AsProblem(err) == nil {
		t.Error("a form where none is taken")
	}
}

// What is taken is what the standard library's reader reads.
func FuzzForm(f *testing.F) {
	f.Add(field(`name="model"`, "m") + formEnd)
	f.Add(field(`name="file"; filename="a\\"`, "x", "Content-Type: text/plain") + field(`name="model"`, "m") + "--xYz--")
	f.Add(field(`name=model`, "m\r\n--xYz") + formEnd)
	f.Fuzz(func(t *testing.T, body string) {
		var e Envelope
		if ReadForm(formRoute, formType, []byte(body), &e) != nil {
			return
		}
		fields := map[string][]string{}
		r := multipart.NewReader(strings.NewReader(body), "xYz")
		for {
			p, err := r.NextRawPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%q: %v", body, err)
			}
			content, err := io.ReadAll(p)
			if err != nil {
				t.Fatalf("%q: %v", body, err)
			}
			fields[p.FormName()] = append(fields[p.FormName()], string(content))
		}
		if m := fields["model"]; len(m) != 1 || m[0] != e.Model || body[e.ModelAt.Start:e.ModelAt.End] != e.Model {
			t.Errorf("%q: model %q, the library has %q", body, e.Model, m)
		}
		if s := fields["stream"]; (len(s) == 1 && s[0] == "true") != e.Stream {
			t.Errorf("%q: stream %v, the library has %q", body, e.Stream, s)
		}
		if !bytes.Contains([]byte(body), []byte("--xYz--")) {
			t.Errorf("%q has no end", body)
		}
	})
}
