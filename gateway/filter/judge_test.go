package filter

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// asked is a classifier that finds "forbidden", and notes what it was asked.
type asked struct {
	texts []string
	err   error
	stop  context.CancelFunc
}

func (a *asked) Score(_ context.Context, text string) (float64, error) {
	a.texts = append(a.texts, text)
	if a.stop != nil {
		a.stop()
	}
	if a.err != nil {
		return 0, a.err
	}
	if strings.Contains(text, "forbidden") {
		return 0.9, nil
	}
	return 0.1, nil
}

// judged writes events one by one, asks the classifiers where they have to be
// asked, and says what came out.
func judged(t *testing.T, s *Stream, events []string) (out []string, hit *Hit) {
	t.Helper()
	var all strings.Builder
	step := func(b []byte, h *Hit) bool {
		all.Write(b)
		if h == nil && s.Waiting() {
			b, h = s.Await(context.Background())
			all.Write(b)
			if h == nil && s.Waiting() {
				t.Fatal("still waiting")
			}
		}
		hit = h
		return h == nil
	}
	for _, e := range events {
		if !step(s.Write([]byte(e))) {
			return frame(s.rt, all.String()), hit
		}
	}
	step(s.End())
	return frame(s.rt, all.String()), hit
}

func TestClassifiersJudgeSentences(t *testing.T) {
	w, rt := target(t, "/v1/chat/completions")
	a := &asked{}
	g := guard(t, Rule{ID: "c", Classifier: a})
	s := g.Stream(w, rt)
	events := chat("One sen", "tence. And", " another", " one.", " Rest")
	for i, want := range []bool{false, true, false, true, false} {
		out, hit := s.Write([]byte(events[i]))
		if len(out) > 0 || hit != nil || s.Waiting() != want {
			t.Fatalf("event %d: %q, hit %+v, waiting %v", i, out, hit, s.Waiting())
		}
		if want {
			if out, hit = s.Await(context.Background()); hit != nil || i == 1 && string(out) != events[0] || i == 3 && string(out) != events[1]+events[2]+events[3] {
				t.Errorf("event %d: %q came out, hit %+v", i, out, hit)
			}
		}
	}
	out, _ := s.End()
	if len(out) > 0 || !s.Waiting() {
		t.Errorf("%q came out before it was judged", out)
	}
	if out, hit := s.Await(context.Background()); hit != nil || string(out) != events[4] {
		t.Errorf("%q, hit %+v", out, hit)
	}
	if want := "One sentence. |One sentence. And another one.|One sentence. And another one. Rest"; strings.Join(a.texts, "|") != want {
		t.Errorf("asked %q", a.texts)
	}
}

func TestClassifiersHoldBack(t *testing.T) {
	w, rt := target(t, "/v1/chat/completions")
	events := chat("All well. ", "Now some", "thing forb", "idden comes. ", "And more.")
	for _, c := range []struct {
		name string
		rule Rule
		came int
		hit  Cause
	}{
		{"found", Rule{Classifier: &asked{}}, 1, Score},
		{"below its threshold", Rule{Classifier: &asked{}, Threshold: 0.95}, 5, ""},
		{"at its threshold", Rule{Classifier: &asked{}, Threshold: 0.9}, 1, Score},
		{"failed", Rule{Classifier: &asked{err: errors.New("down")}}, 0, Failed},
		{"failed, and may", Rule{Classifier: &asked{err: errors.New("down")}, FailOpen: true}, 5, ""},
		{"no number", Rule{Classifier: scorer(func(string) (float64, error) { return math.NaN(), nil })}, 0, Score},
	} {
		out, hit := judged(t, guard(t, c.rule).Stream(w, rt), events)
		if len(out) != c.came || (hit == nil) != (c.hit == "") || hit != nil && hit.Cause != c.hit {
			t.Errorf("%s: %d events came out, hit %+v; want %d, %q", c.name, len(out), hit, c.came, c.hit)
		}
	}
	// Patterns beside a classifier: what was not judged stays.
	g := guard(t, Rule{Classifier: &asked{}}, Rule{Set: literals(t, "thing")})
	if out, hit := judged(t, g.Stream(w, rt), events); len(out) != 1 || hit == nil || hit.Cause != Pattern {
		t.Errorf("%d events, hit %+v", len(out), hit)
	}
	s := g.Stream(w, rt)
	s.Write([]byte(chat("not judged yet ")[0]))
	if out, hit := s.Write([]byte(chat("a thing")[0])); len(out) > 0 || hit == nil {
		t.Errorf("%q came out", out)
	}
}

func TestAClassifierIsAskedLongTextsInPieces(t *testing.T) {
	w, rt := target(t, "/v1/messages")
	a := &asked{}
	var events []string
	for range 400 {
		events = append(events, "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"wörter ohne ende \"}}\n\n")
	}
	out, hit := judged(t, guard(t, Rule{Classifier: a}).Stream(w, rt), events)
	if hit != nil || len(out) != len(events) {
		t.Fatalf("%d events, %+v", len(out), hit)
	}
	if n := 400 * len("wörter ohne ende ") / segment; len(a.texts) < n-2 || len(a.texts) > n+2 {
		t.Errorf("asked %d times", len(a.texts))
	}
	for _, text := range a.texts {
		if len(text) > shown+2*segment || strings.ContainsRune(text, '\uFFFD') {
			t.Errorf("asked about %d bytes: %.40q", len(text), text)
		}
	}
}

func TestWhatWasJudgedIsNotJudgedAgain(t *testing.T) {
	for _, r := range streams(t) {
		if !strings.Contains(r.name, "openai-text") && !strings.Contains(r.name, "lmstudio-basic") && !strings.Contains(r.name, "code-interpreter") && !strings.Contains(r.name, "azure-text") {
			continue
		}
		a := &asked{}
		out, hit := judged(t, guard(t, Rule{Classifier: a}).Stream(r.w, r.rt), r.events)
		if hit != nil || strings.Join(out, "") != r.body() {
			t.Errorf("%s: hit %+v", r.name, hit)
		}
		all := client(r.events)
		total := 0
		for _, s := range all.running {
			total += len(s)
		}
		// Sentences and segments, each once; and a few short texts beside them.
		if n := len(a.texts); n > total/20+20 {
			t.Errorf("%s: asked %d times for %d bytes", r.name, n, total)
		}
		t.Logf("%s: asked %d times for %d bytes", r.name, len(a.texts), total)
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	w, rt := target(t, "/v1/chat/completions")
	ctx, cancel := context.WithCancel(context.Background())
	a := &asked{err: context.Canceled, stop: cancel}
	s := guard(t, Rule{Classifier: a, FailOpen: true}).Stream(w, rt)
	s.Write([]byte(chat("A sentence.")[0]))
	if out, hit := s.Await(ctx); out != nil || hit != nil || !s.Waiting() {
		t.Errorf("%q, %+v", out, hit)
	}
	a.err, a.stop = nil, nil
	if out, hit := s.Await(context.Background()); len(out) == 0 || hit != nil || s.Waiting() {
		t.Errorf("%q, %+v", out, hit)
	}
	if _, hit := guard(t, Rule{Classifier: &asked{err: context.Canceled}, FailOpen: true}).Plain(ctx, w, rt, []byte(`{"choices":[{"message":{"content":"hi"}}]}`)); hit == nil || hit.Cause != Failed {
		t.Errorf("a whole answer, not judged: %+v", hit)
	}
}

func TestAWholeAnswerIsJudgedOnce(t *testing.T) {
	w, rt := target(t, "/v1/messages")
	a := &asked{}
	body := `{"content":[{"type":"text","text":"One. "},{"type":"text","text":"Two."},{"type":"tool_use","name":"n","input":{"a":"three"}}]}`
	out, hit := guard(t, Rule{Classifier: a}).Plain(context.Background(), w, rt, []byte(body))
	if hit != nil || string(out) != body || len(a.texts) != 1 || !strings.Contains(a.texts[0], "One. Two.") || !strings.Contains(a.texts[0], "three") {
		t.Errorf("%s, %+v, asked %q", out, hit, a.texts)
	}
}

func TestUpdate(t *testing.T) {
	w, rt := target(t, "/v1/chat/completions")
	early, late := literals(t, "early"), literals(t, "late", "lately found")
	a := guard(t, Rule{ID: "early", Set: early})
	both := guard(t, Rule{ID: "early", Set: early}, Rule{ID: "late", Set: late})
	for _, c := range []struct {
		name   string
		first  *Guard
		before []string
		second *Guard
		after  []string
		came   string
		hit    string
	}{
		{"a new rule on what comes", a, chat("is "), both, chat("late"), "is ", "late"},
		{"what has gone out stays", a, chat("is late "), both, chat("now"), "is late now", ""},
		{"a new rule on what is held", a, chat("ear and late ", "e"), both, chat("x"), "ear and late ex", ""},
		{"held together", a, chat("that is late for ear"), both, chat("x"), "", "late"},
		{"a rule that stays goes on", a, chat("that is ear"), both, chat("ly"), "", "early"},
		{"the beginning had gone out", a, chat("that is la"), both, chat("te"), "that is la", "late"},
		{"a rule that goes", both, chat("that is lat"), a, chat("e"), "that is late", ""},
		{"none left", both, chat("that is lat"), nil, chat("e"), "that is late", ""},
		{"none before", nil, chat("that is lat"), both, chat("e and ear", "ly"), "that is late and ", "early"},
		{"a redaction in between", guard(t, Rule{ID: "r", Set: early, Action: Redact}), chat("ear", "ly e"), guard(t, Rule{ID: "r", Set: early, Action: Redact}, Rule{ID: "late", Set: late}), chat("arly!"), Marker + " " + Marker + "!", ""},
	} {
		s := c.first.Stream(w, rt)
		var sent strings.Builder
		var hit *Hit
		step := func(out []byte, h *Hit) {
			sent.Write(out)
			hit = h
		}
		for _, e := range c.before {
			step(s.Write([]byte(e)))
		}
		if hit == nil {
			step(s.Update(c.second))
		}
		for _, e := range c.after {
			if hit == nil {
				step(s.Write([]byte(e)))
			}
		}
		if hit == nil {
			step(s.End())
		}
		id := ""
		if hit != nil {
			id = hit.ID
		}
		if got := client(frame(rt, sent.String())).running["0 content0"]; id != c.hit || hit == nil && got != c.came || hit != nil && !strings.HasPrefix(c.came+"ear and late e", got) {
			t.Errorf("%s: %q came out, hit %q; want %q, %q", c.name, got, id, c.came, c.hit)
		}
	}
}

// A guard that takes over at any place, as often as it likes, changes nothing of
// what the rules that stay find.
func TestUpdatesDoNotLoosen(t *testing.T) {
	n := 0
	for k, r := range streams(t) {
		rnd := rand.New(rand.NewPCG(uint64(k), 13))
		all := client(r.events)
		for _, word := range all.words(rnd, 3) {
			set, other := literals(t, word), near(t)
			guards := []*Guard{guard(t, Rule{ID: "w", Set: set}), guard(t, Rule{ID: "near", Set: other}, Rule{ID: "w", Set: set}), guard(t, Rule{ID: "w", Set: set}, Rule{ID: "n", ToolNames: []string{"no"}})}
			s := guards[0].Stream(r.w, r.rt)
			var sent strings.Builder
			var hit *Hit
			for _, e := range r.events {
				var out []byte
				if out, hit = s.Write([]byte(e)); hit == nil && rnd.IntN(3) == 0 {
					sent.Write(out)
					out, hit = s.Update(guards[rnd.IntN(3)])
				}
				if sent.Write(out); hit != nil {
					break
				}
			}
			if hit == nil {
				var out []byte
				out, hit = s.End()
				sent.Write(out)
			}
			if hit == nil || hit.ID != "w" {
				t.Errorf("%s: %q: hit %+v", r.name, word, hit)
			}
			if !strings.HasPrefix(r.body(), sent.String()) {
				t.Errorf("%s: %q: what came out is not the beginning", r.name, word)
			}
			for key, s := range client(frame(r.rt, sent.String())).running {
				if strings.Contains(s, word) {
					t.Errorf("%s: %q came through in %s", r.name, word, key)
				}
			}
			n++
		}
	}
	t.Logf("%d words", n)
}

func TestOnlyWhatRepeatsIsLeftOut(t *testing.T) {
	w, rt := target(t, "/v1/responses")
	event := func(s string) string { return "data: " + s + "\n\n" }
	repeat := []string{
		event(`{"type":"response.output_text.delta","output_index":0,"delta":"All is well"}`),
		event(`{"type":"response.output_text.done","output_index":0,"text":"All is well"}`),
		event(`{"type":"response.output_item.done","output_index":0,"item":{"type":"message","content":[{"type":"output_text","text":"All is well"}]}}`),
		event(`{"type":"response.output_item.done","output_index":1,"item":{"type":"message","content":[{"type":"output_text","text":"by itself"}]}}`),
		event(`{"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"output_text","text":"All is well"}]},{"type":"message","content":[{"type":"output_text","text":"by itself"}]}]}}`),
	}
	a := &asked{}
	if out, hit := judged(t, guard(t, Rule{Classifier: a}).Stream(w, rt), repeat); hit != nil || len(out) != len(repeat) || strings.Join(a.texts, "|") != "All is well|by itself" {
		t.Errorf("%d events, hit %+v, asked %q", len(out), hit, a.texts)
	}
	other := []string{repeat[0], event(`{"type":"response.output_text.done","output_index":0,"text":"forbidden, and not what was said"}`)}
	if out, hit := judged(t, guard(t, Rule{Classifier: &asked{}}).Stream(w, rt), other); hit == nil || len(out) > 1 {
		t.Errorf("%d events, hit %+v", len(out), hit)
	}
}
