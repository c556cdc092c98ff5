package sim

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A session is counted while it is open; a response comes at its pace, can be
// cancelled, and tells its usage; what the client sends is journalled.
func TestRealtime(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, s.URL()+"/v1/realtime?model=sim-large", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	want := func(typ string) string {
		t.Helper()
		for {
			_, data, err := conn.Read(ctx)
			if err != nil {
				t.Fatalf("before %s: %v", typ, err)
			}
			if strings.Contains(string(data), `"type":"`+typ+`","event_id"`) {
				return string(data)
			}
		}
	}
	send := func(events ...string) {
		t.Helper()
		for _, e := range events {
			if err := conn.Write(ctx, websocket.MessageText, []byte(e)); err != nil {
				t.Fatal(err)
			}
		}
	}
	want("session.created")
	if n, _ := s.Active(); n != 1 {
		t.Errorf("%d sessions are open", n)
	}
	item := func(text string) string {
		return `{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":"` + text + `"}]}}`
	}
	send(item("sim: tokens=3"), `{"type":"response.create"}`)
	want("response.output_audio_transcript.delta")
	if e := want("response.done"); !strings.Contains(e, `"status":"completed"`) || !strings.Contains(e, `"output_tokens":3`) {
		t.Errorf("%s", e)
	}
	send(item("sim: tool=weather"), `{"type":"response.create","response":{"output_modalities":["text"]}}`)
	if e := want("response.function_call_arguments.done"); !strings.Contains(e, `"name":"weather"`) {
		t.Errorf("%s", e)
	}
	want("response.done")
	send(item("sim: tokens=1000 interval=1h"), `{"type":"response.create"}`, `{"type":"response.create"}`)
	want("error") // one is being said
	send(`{"type":"response.cancel"}`)
	if e := want("response.done"); !strings.Contains(e, `"status":"cancelled"`) {
		t.Errorf("%s", e)
	}
	events := 0
	for _, r := range s.Requests() {
		if r.Method == "EVENT" {
			events++
		}
	}
	if events != 8 {
		t.Errorf("%d events are journalled", events)
	}
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	if n, _ := s.Active(); n != 0 {
		t.Errorf("%d sessions are open after the stop", n)
	}
}
