package wire_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"andon/wire"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

func TestMessageSaysEverything(t *testing.T) {
	p := &wire.Problem{
		Status: 503, Code: "andon_correction", CorrectionID: "c-12", Kind: "stop", Scope: "model sim-large, org acme",
		Reason: "It gives unsafe dosage advice", ReviewBy: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC), Fallback: "sim-small",
		AppealURL: "https://acme.example/appeal", RetryAfter: 1500 * time.Millisecond, Retry: true,
	}
	want := "Refused by correction c-12 (stop: model sim-large, org acme). Reason: It gives unsafe dosage advice. It will be reviewed by 2027-01-02T03:04:05Z. " +
		"The model sim-small may serve instead. Retry after 2 s. Appeal: https://acme.example/appeal"
	if got := p.Message(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	plain := &wire.Problem{Status: 400, Code: "wrong_type", Title: "The request body cannot be used", Param: "stream", Detail: `"stream" must be true or false`}
	if got, want := plain.Message(), `stream: "stream" must be true or false.`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	long := strings.Repeat("ä<", 1<<16)
	p := &wire.Problem{Status: 403, Code: long, Title: long, Detail: long, Param: long, CorrectionID: long, Kind: long, Scope: long, Reason: long,
		Fallback: long, NoticeURL: long, AppealURL: long, RequestID: long}
	for range 1000 {
		p.Corrections = append(p.Corrections, long)
	}
	m := p.AppendMembers(nil, "code", true)
	if len(m) > 64<<10 || len(p.Message()) > 16<<10 {
		t.Errorf("members of %d bytes, message of %d", len(m), len(p.Message()))
	}
	if !jsontext.Value("{" + string(m[1:]) + "}").IsValid() {
		t.Error("the members are not JSON")
	}
}

func TestStrings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "s"))
		limit := rapid.IntRange(0, len(s)+3).Draw(t, "limit")
		q := wire.AppendBounded(nil, s, limit)
		got, err := jsontext.AppendUnquote(nil, q)
		if err != nil {
			t.Fatalf("%q is not a JSON string: %v", q, err)
		}
		if strings.ContainsAny(string(q), "<>&\n\r\u2028\u2029") {
			t.Fatalf("%q holds what should be escaped", q)
		}
		switch {
		case len(s) <= limit && utf8.ValidString(s):
			if string(got) != s {
				t.Fatalf("%q became %q", s, got)
			}
		case len(s) > limit:
			cut, ok := strings.CutSuffix(string(got), "…")
			if !ok || utf8.ValidString(s) && !strings.HasPrefix(s, cut) || len(cut) > 3*limit {
				t.Fatalf("%q cut to %d became %q", s, limit, got)
			}
		}
	})
}
