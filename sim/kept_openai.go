package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// OpenAI's files, batches and fine-tuning jobs,
// https://platform.openai.com/docs/api-reference/batch. A batch runs for as long as
// its slowest line would take alone; a job for as long as the directive in
// metadata.sim says. Both are over at once without one.

type fileObject struct {
	ID       string `json:"id"`
	Object   string `json:"object"`
	Bytes    int    `json:"bytes"`
	Created  int64  `json:"created_at"`
	Filename string `json:"filename"`
	Purpose  string `json:"purpose"`
	Status   string `json:"status"`
}

func (c *call) upload() {
	_, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		c.refuse(http.StatusBadRequest, "want multipart/form-data")
		return
	}
	purpose, name, found := "", "", false
	var content []byte
	for r := multipart.NewReader(bytes.NewReader(c.body), params["boundary"]); ; {
		p, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if c.bad(err) {
			return
		}
		data, err := io.ReadAll(p)
		if c.bad(err) {
			return
		}
		switch p.FormName() {
		case "purpose":
			purpose = string(data)
		case "file":
			content, name, found = data, p.FileName(), true
		}
	}
	if !found || purpose == "" {
		c.refuse(http.StatusBadRequest, "'file' and 'purpose' are required")
		return
	}
	k := c.file(c.newID("file-"), name, purpose, content)
	c.reply(k.show(k, k.at(c.at)))
}

func (c *call) file(id, name, purpose string, content []byte) *kept {
	k := &kept{id: id, kind: "files", created: c.at, data: content}
	k.show = func(k *kept, _ standing) any {
		return fileObject{k.id, "file", len(k.data), k.created.Unix(), name, purpose, "processed"}
	}
	c.sim.shelf.put(k)
	return k
}

type batchObject struct {
	ID         string         `json:"id"`
	Object     string         `json:"object"`
	Endpoint   string         `json:"endpoint"`
	Errors     jsontext.Value `json:"errors"`
	Input      string         `json:"input_file_id"`
	Window     string         `json:"completion_window"`
	Status     string         `json:"status"`
	Output     jsontext.Value `json:"output_file_id"`
	Created    int64          `json:"created_at"`
	InProgress int64          `json:"in_progress_at"`
	Expires    int64          `json:"expires_at"`
	Completed  jsontext.Value `json:"completed_at"`
	Cancelling jsontext.Value `json:"cancelling_at"`
	Cancelled  jsontext.Value `json:"cancelled_at"`
	Counts     countsObject   `json:"request_counts"`
	Metadata   jsontext.Value `json:"metadata"`
}

type countsObject struct {
	Total     int `json:"total"`
	Completed int `json:"completed"`
	Failed    int `json:"failed"`
}

func (c *call) newBatch() {
	var q struct {
		Input    string         `json:"input_file_id"`
		Endpoint string         `json:"endpoint"`
		Window   string         `json:"completion_window"`
		Metadata jsontext.Value `json:"metadata"`
	}
	if !c.read(&q) {
		return
	}
	in := c.sim.shelf.find("files", q.Input)
	if in == nil || q.Endpoint == "" {
		c.refuse(http.StatusBadRequest, "'input_file_id' must name a file, and 'endpoint' is required")
		return
	}
	n := 0
	var takes time.Duration
	var out []byte
	for line := range bytes.Lines(in.data) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		n++
		said, lasts, err := c.line(n, line, q.Endpoint)
		if c.bad(err) {
			return
		}
		takes = max(takes, lasts)
		out = append(append(out, said...), '\n')
	}
	output := c.newID("file-out-")
	k := &kept{id: c.newID("batch_"), kind: "batches", created: c.at, takes: takes}
	if q.Metadata == nil {
		q.Metadata = jsontext.Value("null")
	}
	k.show = func(k *kept, st standing) any {
		null := jsontext.Value("null")
		b := batchObject{k.id, "batch", q.Endpoint, null, q.Input, q.Window, "in_progress", null, k.created.Unix(), k.created.Unix(),
			k.created.Add(24 * time.Hour).Unix(), null, null, null, countsObject{Total: n}, q.Metadata}
		switch {
		case st.asked:
			b.Status, b.Cancelling = "cancelling", unix(st.ended)
		case st.cancelled:
			b.Status, b.Cancelling, b.Cancelled = "cancelled", unix(st.ended), unix(st.ended)
		case !st.running:
			b.Status, b.Completed, b.Output, b.Counts.Completed = "completed", unix(st.ended), quote(nil, output), n
			if c.sim.shelf.find("files", output) == nil {
				c.file(output, "output.jsonl", "batch_output", out)
			}
		}
		return b
	}
	c.sim.shelf.put(k)
	c.reply(k.show(k, k.at(c.at)))
}

// line says what one line of a batch asks for, and how long that takes.
func (c *call) line(n int, line []byte, endpoint string) (out []byte, takes time.Duration, err error) {
	var l struct {
		ID   string         `json:"custom_id"`
		URL  string         `json:"url"`
		Body jsontext.Value `json:"body"`
	}
	if err := json.Unmarshal(line, &l, reading); err != nil {
		return nil, 0, fmt.Errorf("line %d: %w", n, err)
	}
	if l.URL != endpoint {
		return nil, 0, fmt.Errorf("line %d: its url is not the batch's endpoint", n)
	}
	sub := *c
	sub.seq = c.seq<<24 | uint64(n)
	body, takes, err := sub.whole(l.URL, l.Body)
	if err != nil {
		return nil, 0, fmt.Errorf("line %d: %w", n, err)
	}
	out, err = json.Marshal(map[string]any{"id": sub.newID("batch_req_"), "custom_id": l.ID, "error": nil,
		"response": map[string]any{"status_code": 200, "request_id": sub.newID("req_"), "body": jsontext.Value(body)}}, json.Deterministic(true))
	return out, takes, err
}

// whole is the plain answer to a request of a batch.
func (c *call) whole(path string, body []byte) ([]byte, time.Duration, error) {
	var p *prompt
	var err error
	var speaks func(*answer) voice
	switch path {
	case "/v1/chat/completions":
		var q chatRequest
		if err = json.Unmarshal(body, &q, reading); err == nil {
			p, err = q.prompt()
		}
		speaks = func(a *answer) voice { return &chatVoice{a: a} }
	case "/v1/responses":
		var q responsesRequest
		if err = json.Unmarshal(body, &q, reading); err == nil {
			p, err = q.prompt()
		}
		speaks = func(a *answer) voice { return &responseVoice{a: a, q: &q, c: c} }
	case "/v1/messages":
		var q messagesRequest
		if err = json.Unmarshal(body, &q, reading); err == nil {
			if p, err = q.prompt(); err == nil {
				err = p.bound("max_tokens", q.MaxTokens)
			}
		}
		speaks = func(a *answer) voice { return &messageVoice{a: a} }
	default:
		err = errors.New("the simulation has no batches of " + shorten(path))
	}
	if err != nil {
		return nil, 0, err
	}
	a, err := plan(p, c)
	if err != nil {
		return nil, 0, err
	}
	return speaks(a).plain(nil), a.dir.lasts(a.says[0].n), nil
}

func (c *call) newJob() {
	var q struct {
		Model    string         `json:"model"`
		Training string         `json:"training_file"`
		Suffix   string         `json:"suffix"`
		Metadata jsontext.Value `json:"metadata"`
	}
	if !c.read(&q) {
		return
	}
	if q.Model == "" || c.sim.shelf.find("files", q.Training) == nil {
		c.refuse(http.StatusBadRequest, "'model' is required, and 'training_file' must name a file")
		return
	}
	var told struct {
		Sim string `json:"sim"`
	}
	if q.Metadata == nil {
		q.Metadata = jsontext.Value("null")
	} else {
		json.Unmarshal(q.Metadata, &told, reading)
	}
	d, err := ParseDirective("sim: " + told.Sim)
	if c.bad(err) {
		return
	}
	k := &kept{id: c.newID("ftjob-"), kind: "fine_tuning/jobs", created: c.at, takes: d.lasts(d.Tokens)}
	k.show = func(k *kept, st standing) any {
		status, tuned := "running", any(nil)
		switch {
		case st.cancelled:
			status = "cancelled"
		case !st.running:
			status, tuned = "succeeded", "ft:"+q.Model+":sim:"+q.Suffix+":"+k.id
		}
		return map[string]any{"id": k.id, "object": "fine_tuning.job", "model": q.Model, "training_file": q.Training, "validation_file": nil,
			"created_at": k.created.Unix(), "finished_at": unix(st.ended), "fine_tuned_model": tuned, "status": status, "error": nil,
			"organization_id": "org-sim", "result_files": []string{}, "seed": 1, "trained_tokens": nil, "hyperparameters": map[string]any{"n_epochs": "auto"},
			"metadata": q.Metadata}
	}
	c.sim.shelf.put(k)
	c.reply(k.show(k, k.at(c.at)))
}

// keep stores a response, unless it is told not to. One in the background is
// answered at once and said later.
func (c *call) keep(q *responsesRequest, a *answer) *kept {
	if string(q.Store) == "false" && !q.Background {
		return nil
	}
	k := &kept{id: string(appendID(nil, "resp_", a.seq)), kind: "responses", created: c.at, takes: a.dir.lasts(a.says[0].n)}
	sim := c.sim
	k.show = func(k *kept, st standing) any {
		v := &responseVoice{a: a, q: q, c: &call{sim: sim}}
		switch {
		case st.cancelled:
			return jsontext.Value(v.response(nil, "cancelled"))
		case st.running:
			return jsontext.Value(v.response(nil, "in_progress"))
		}
		return jsontext.Value(v.plain(nil))
	}
	c.sim.shelf.put(k)
	return k
}
