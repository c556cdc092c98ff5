package sim

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// OpenAI's realtime sessions, https://platform.openai.com/docs/guides/realtime,
// over a WebSocket. Directives stand in the text of the last user message. Spoken
// answers are a transcript, with as many bytes of silence for sound as it has. A
// commit of the audio buffer is a user's turn, and makes a response unless turn
// detection is off. Each event of the client is journalled as a request of its own,
// of the method EVENT.

// realtime is one session.
type realtime struct {
	c    *call
	conn *websocket.Conn
	ctx  context.Context

	mu      sync.Mutex
	session map[string]jsontext.Value
	p       prompt
	n       uint64             // identifiers given out
	stop    context.CancelFunc // of the response that is said; nil: none is
	said    chan struct{}      // closed when it has ended
}

func (c *call) realtime() {
	model := c.r.URL.Query().Get("model")
	if model == "" {
		if c.r.URL.Query().Get("intent") != "transcription" {
			c.refuse(http.StatusBadRequest, "You must provide a model parameter")
			return
		}
		model = c.sim.cfg.Models[0]
	}
	c.sim.sockets.Add(1)
	defer c.sim.sockets.Done()
	c.begun(http.StatusSwitchingProtocols)
	conn, err := websocket.Accept(c.w, c.r, &websocket.AcceptOptions{Subprotocols: []string{"realtime"}, InsecureSkipVerify: true})
	if err != nil {
		c.begun(http.StatusBadRequest)
		c.ended(endComplete)
		return
	}
	conn.SetReadLimit(16 << 20)
	c.sim.served.Add(1)
	c.open(&c.sim.streams)
	ctx, cancel := context.WithCancel(c.r.Context())
	r := &realtime{c: c, conn: conn, ctx: ctx, p: prompt{model: model, n: 1}}
	r.session = map[string]jsontext.Value{"type": jsontext.Value(`"realtime"`), "object": jsontext.Value(`"realtime.session"`),
		"id": quote(nil, string(r.id("sess_"))), "model": quote(nil, model), "output_modalities": jsontext.Value(`["audio"]`),
		"tools": jsontext.Value(`[]`), "max_output_tokens": jsontext.Value(`"inf"`)}
	// A stop of the simulation has to end the session, too.
	stopped := context.AfterFunc(c.r.Context(), func() { conn.CloseNow() })
	r.send("session.created", `"session":`+r.shown())
	for {
		kind, data, err := conn.Read(context.Background())
		if err != nil {
			break
		}
		c.heard(data)
		if kind != websocket.MessageText {
			conn.Close(websocket.StatusUnsupportedData, "events are text")
			break
		}
		r.take(data)
	}
	cancel()
	r.quiet()
	stopped()
	conn.CloseNow()
	c.ended(endGone)
}

// heard journals an event of the client's like a request of its own.
func (c *call) heard(data []byte) {
	e := &entry{at: c.sim.cfg.Now(), method: "EVENT", path: c.r.URL.Path, query: c.r.URL.RawQuery, proto: "websocket", header: c.r.Header, body: data}
	e.status.Store(http.StatusSwitchingProtocols)
	e.end.Store(endComplete)
	c.sim.journal.add(e)
}

// id makes the next identifier.
func (r *realtime) id(prefix string) []byte {
	r.n++
	return appendID(nil, prefix, r.c.seq<<20|r.n)
}

// shown is the session as a JSON object.
func (r *realtime) shown() string {
	b, err := json.Marshal(r.session, json.Deterministic(true))
	if err != nil {
		return "{}"
	}
	return string(b)
}

// send sends an event; rest is its further members.
func (r *realtime) send(typ, rest string) bool {
	b := append([]byte(`{"type":"`), typ...)
	b = append(b, `","event_id":"`...)
	r.mu.Lock()
	b = append(b, r.id("event_")...)
	r.mu.Unlock()
	b = append(b, '"')
	if rest != "" {
		b = append(append(b, ','), rest...)
	}
	return r.conn.Write(context.Background(), websocket.MessageText, append(b, '}')) == nil
}

func (r *realtime) fault(event, message string) {
	rest := append([]byte(`"error":{"type":"invalid_request_error","code":"invalid_value","message":`), quote(nil, message)...)
	rest = append(append(rest, `,"param":null,"event_id":`...), quote(nil, event)...)
	r.send("error", string(append(rest, '}')))
}

type realtimeEvent struct {
	Type    string                    `json:"type"`
	EventID string                    `json:"event_id"`
	Session map[string]jsontext.Value `json:"session"`
	Item    jsontext.Value            `json:"item"`
	Audio   string                    `json:"audio"`

	Response struct {
		Modalities      []string       `json:"output_modalities"`
		Tools           jsontext.Value `json:"tools"`
		ToolChoice      jsontext.Value `json:"tool_choice"`
		MaxOutputTokens jsontext.Value `json:"max_output_tokens"`
	} `json:"response"`
}

type realtimeItem struct {
	Type    string `json:"type"`
	Role    string `json:"role"`
	Content text   `json:"content"`
	Output  string `json:"output"`
}

// take obeys one event.
func (r *realtime) take(data []byte) {
	var e realtimeEvent
	if err := json.Unmarshal(data, &e, reading); err != nil {
		r.fault("", "the event cannot be read: "+strings.ToValidUTF8(err.Error(), "\uFFFD"))
		return
	}
	switch e.Type {
	case "session.update":
		r.mu.Lock()
		if m, ok := e.Session["model"]; ok && string(m) != string(r.session["model"]) {
			r.mu.Unlock()
			r.fault(e.EventID, "Cannot update a session's model")
			return
		}
		for name, v := range e.Session {
			r.session[name] = v
		}
		shown := r.shown()
		r.mu.Unlock()
		r.send("session.updated", `"session":`+shown)
	case "conversation.item.create":
		r.add(e.Item)
	case "input_audio_buffer.append":
		if _, err := base64.StdEncoding.DecodeString(e.Audio); err != nil {
			r.fault(e.EventID, "Invalid 'audio': it is not Base64")
		}
	case "input_audio_buffer.commit":
		r.send("input_audio_buffer.committed", `"item_id":"item_audio"`)
		r.mu.Lock()
		off := strings.Contains(string(r.session["audio"]), `"turn_detection":null`) || string(r.session["turn_detection"]) == "null"
		r.mu.Unlock()
		if !off {
			r.respond(&e)
		}
	case "response.create":
		r.respond(&e)
	case "response.cancel":
		r.quiet()
	case "input_audio_buffer.clear", "conversation.item.delete", "conversation.item.truncate", "conversation.item.retrieve", "output_audio_buffer.clear":
	default:
		r.fault(e.EventID, "Invalid value: '"+shorten(e.Type)+"'")
	}
}

// add adds an item to the conversation, and repeats it as providers do.
func (r *realtime) add(raw jsontext.Value) {
	var it realtimeItem
	if err := json.Unmarshal(raw, &it, reading); err != nil {
		r.fault("", "Invalid 'item': "+err.Error())
		return
	}
	r.mu.Lock()
	if it.Type == "function_call_output" {
		r.p.take("tool", &text{s: it.Output})
	} else {
		it.Content.some = it.Content.s != ""
		r.p.take(it.Role, &it.Content)
	}
	id := r.id("item_")
	r.mu.Unlock()
	members := map[string]jsontext.Value{}
	json.Unmarshal(raw, &members, reading)
	if members["id"] == nil {
		members["id"] = quote(nil, string(id))
	}
	members["object"], members["status"] = jsontext.Value(`"realtime.item"`), jsontext.Value(`"completed"`)
	shown, err := json.Marshal(members, json.Deterministic(true))
	if err != nil {
		r.fault("", "Invalid 'item': "+err.Error())
		return
	}
	item := `"item":` + string(shown)
	r.send("conversation.item.added", `"previous_item_id":null,`+item)
	r.send("conversation.item.done", `"previous_item_id":null,`+item)
}

// respond begins a response, unless one is being said.
func (r *realtime) respond(e *realtimeEvent) {
	r.mu.Lock()
	if r.said != nil {
		select {
		case <-r.said:
		default:
			r.mu.Unlock()
			r.fault(e.EventID, "Conversation already has an active response in progress")
			return
		}
	}
	p := r.p
	p.tools, p.must, p.never = nil, "", false
	tools, choice, most := r.session["tools"], r.session["tool_choice"], r.session["max_output_tokens"]
	if e.Response.Tools != nil {
		tools = e.Response.Tools
	}
	if e.Response.ToolChoice != nil {
		choice = e.Response.ToolChoice
	}
	if e.Response.MaxOutputTokens != nil {
		most = e.Response.MaxOutputTokens
	}
	modalities := e.Response.Modalities
	if modalities == nil {
		json.Unmarshal(r.session["output_modalities"], &modalities, reading)
	}
	r.n++
	seq := r.c.seq<<20 | r.n
	r.mu.Unlock()
	var offered []struct {
		Name       string         `json:"name"`
		Parameters jsontext.Value `json:"parameters"`
	}
	json.Unmarshal(tools, &offered, reading)
	for _, t := range offered {
		p.offer(t.Name, t.Parameters)
	}
	p.insist(choice)
	if n, err := strconv.ParseInt(string(most), 10, 64); err == nil {
		p.most = n
	}
	a, err := plan(&p, &call{seq: seq, at: r.c.at})
	if err != nil {
		r.fault(e.EventID, err.Error())
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	said := make(chan struct{})
	r.mu.Lock()
	r.stop, r.said = cancel, said
	r.mu.Unlock()
	// The session goes on listening while it speaks.
	go func() {
		defer close(said)
		defer cancel()
		r.speak(ctx, a, slices.Contains(modalities, "audio"))
	}()
}

// quiet ends the response that is being said, and waits for it.
func (r *realtime) quiet() {
	r.mu.Lock()
	stop, said := r.stop, r.said
	r.mu.Unlock()
	if stop != nil {
		stop()
		<-said
	}
}

// speak says a response.
func (r *realtime) speak(ctx context.Context, a *answer, aloud bool) {
	id, item := string(appendID(nil, "resp_", a.seq)), string(appendID(nil, "item_", a.seq))
	response := func(status, output string, out int) string {
		usage := "null"
		if status != "in_progress" {
			usage = `{"total_tokens":` + strconv.FormatInt(a.input+int64(out), 10) + `,"input_tokens":` + strconv.FormatInt(a.input, 10) + `,"output_tokens":` + strconv.Itoa(out) + `}`
		}
		return `"response":{"object":"realtime.response","id":"` + id + `","status":"` + status + `","status_details":null,"output":[` + output + `],"usage":` + usage + `}`
	}
	said := []byte{}
	shown := func(status string) string {
		if a.tool != "" {
			return `{"id":"` + item + `","object":"realtime.item","type":"function_call","status":"` + status + `","name":` + string(quote(nil, a.tool)) +
				`,"call_id":"call_` + item + `","arguments":"` + string(said) + `"}`
		}
		part := `{"type":"output_text","text":"`
		if aloud {
			part = `{"type":"output_audio","transcript":"`
		}
		return `{"id":"` + item + `","object":"realtime.item","type":"message","status":"` + status + `","role":"assistant","content":[` + part + string(said) + `"}]}`
	}
	place := `"response_id":"` + id + `","item_id":"` + item + `","output_index":0,`
	kind, done, whole := "response.output_text.delta", "response.output_text.done", "text"
	switch {
	case a.tool != "":
		kind, done, whole = "response.function_call_arguments.delta", "response.function_call_arguments.done", "arguments"
	case aloud:
		kind, done, whole = "response.output_audio_transcript.delta", "response.output_audio_transcript.done", "transcript"
	}
	if a.tool == "" {
		place += `"content_index":0,`
	}
	r.send("response.created", response("in_progress", "", 0))
	r.send("response.output_item.added", `"response_id":"`+id+`","output_index":0,"item":`+shown("in_progress"))
	status, n := "completed", a.says[0].n
	if a.why == finishLength {
		status = "incomplete"
	}
	pause := a.dir.First
	for i := range n {
		if i == a.dir.Cut {
			r.conn.CloseNow()
			return
		}
		if pause += a.dir.Interval; pause > 0 {
			t := time.NewTimer(pause)
			select {
			case <-t.C:
			case <-ctx.Done():
			}
			t.Stop()
		}
		if pause = 0; ctx.Err() != nil {
			status, n = "cancelled", i
			break
		}
		piece := a.says[0].appendPiece(nil, i)
		said = append(said, piece...)
		if !r.send(kind, place+`"delta":"`+string(piece)+`"`) {
			return
		}
		r.c.tokens(1)
		if aloud && a.tool == "" {
			r.send("response.output_audio.delta", place+`"delta":"`+base64.StdEncoding.EncodeToString(make([]byte, len(piece)))+`"`)
		}
	}
	if r.ctx.Err() != nil {
		return
	}
	named := ""
	if a.tool != "" {
		named = `"name":` + string(quote(nil, a.tool)) + `,"call_id":"call_` + item + `",`
	}
	r.send(done, place+named+`"`+whole+`":"`+string(said)+`"`)
	r.send("response.output_item.done", `"response_id":"`+id+`","output_index":0,"item":`+shown(status))
	r.send("response.done", response(status, shown(status), n))
}
