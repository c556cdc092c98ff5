package route

import (
	"net/url"
	"testing"
)

func TestSegment(t *testing.T) {
	for in, want := range map[string]string{
		"/sim-large": "sim-large", "/ft:gpt-4o:acme::id": "ft:gpt-4o:acme::id", "/meta%2FLlama-3": "meta/Llama-3", "/%67pt": "gpt", "/g%C3%A9": "gé",
		"": "", "/": "", "sim": "", "/a/b": "", "/.": "", "/..": "", "/%2e%2E": "", "/a%2F..%2Fb": "", "/a%2F": "", "/%2Fa": "", "/a%2F%2Fb": "",
		"/%2567pt": "", "/%": "", "/%4": "", "/%zz": "", "/%00": "", "/a%0Ab": "", "/a%20b": "", "/a%5Cb": "", "/%FF": "", "/a%3Fb": "", "/a%23b": "",
	} {
		got, ok := Segment(in)
		if got != want || ok != (want != "") {
			t.Errorf("Segment(%q) = %q, %v; want %q", in, got, ok, want)
		}
	}
}

// What is understood is understood as net/url has it.
func FuzzSegment(f *testing.F) {
	f.Add("/sim%2Dlarge")
	f.Add("/%25")
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := Segment(s)
		if !ok {
			return
		}
		if want, err := url.PathUnescape(s[1:]); err != nil || want != got {
			t.Errorf("Segment(%q) = %q, url has %q, %v", s, got, want, err)
		}
	})
}

func FuzzParams(f *testing.F) {
	f.Add("alt=sse&key=a%20b+c")
	f.Add("a;b=1&&=&x")
	f.Fuzz(func(t *testing.T, raw string) {
		got := url.Values{}
		if !Params(raw, func(name, value string) bool { got.Add(name, value); return true }) {
			return
		}
		want, err := url.ParseQuery(raw)
		if err != nil || want.Encode() != got.Encode() {
			t.Errorf("Params(%q) = %v, url has %v, %v", raw, got, want, err)
		}
	})
}
