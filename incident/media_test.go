package incident

import (
	"archive/zip"
	"bytes"
	"slices"
	"strings"
	"testing"

	"andon/authority"
)

func setOf(roles ...authority.Role) authority.Set { return authority.SetOf(roles...) }

func zipOf(t testing.TB, files ...string) string {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		if _, err := w.Create(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestMedia(t *testing.T) {
	png := "\x89PNG\r\n\x1a\nxxxx"
	for _, tc := range []struct{ claimed, content, is, says string }{
		{"", "plain words\n", "text/plain", ""},
		{"", `{"a":1}`, "application/json", ""},
		{"", "a,b\n1,2\n", "text/plain", ""},
		{"", "\x00\x01\x02", Opaque, ""},
		{"", png, "image/png", ""},
		{"image/png", png, "image/png", ""},
		{"text/csv; charset=utf-8", "a,b\n1,2\n", "text/csv", ""},
		{"application/x-ndjson", "{}\n{}\n", "application/x-ndjson", ""},
		{"application/x-ndjson", "{}\nno\n", "", "says application/x-ndjson"},
		{"application/json", "{", "", "says application/json, and the content is text/plain"},
		{"application/pdf", png, "", "says application/pdf, and the content is image/png"},
		{"image/png", "%PDF-1.7", "", "says image/png, and the content is application/pdf"},
		{"text/plain", "\x00\x01", "", "says text/plain, and the content is application/octet-stream"},
		{Opaque, png, Opaque, ""},
		{"text/html", "plain", "", "text/html"},
		{"image/svg+xml", "plain", "", "not taken"},
		{"nonsense", "plain", "", "not taken"},
		{"a b/", "plain", "", "no media type"},
		{"text/plain", " \n <!DOCTYPE html><p>", "", "HTML"},
		{"text/plain", "\xef\xbb\xbf<svg/onload=1>", "", "HTML"},
		{Opaque, "<?xml version='1.0'?><x/>", "", "HTML, SVG or XML"},
		{Opaque, "\xff\xfe<\x00s\x00c\x00r\x00i\x00p\x00t\x00>\x00", "", "HTML"},
		{Opaque, "MZ\x90\x00", "", "Windows program"},
		{Opaque, "\x7fELF\x02", "", "Linux program"},
		{"text/plain", "#!/bin/sh\nexit", "", "a script"},
		{"", "\x00asm\x01", "", "WebAssembly"},
		{"application/zip", zipOf(t, "a.txt"), "application/zip", ""},
		{"application/zip", zipOf(t, "META-INF/MANIFEST.MF"), "", "Java"},
		{"application/zip", zipOf(t, "word/vbaProject.bin"), "", "macros"},
		{"application/zip", "PK\x03\x04rubbish", "", "damaged"},
		{"audio/wav", "RIFFxxxxWAVE", "audio/wav", ""},
		{"", "xxxxxxxxWAVE", "text/plain", ""},
	} {
		is, err := Media(tc.claimed, []byte(tc.content))
		if (err == nil) != (tc.says == "") || is != tc.is || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%q as %q: %q %v", tc.content[:min(len(tc.content), 20)], tc.claimed, is, err)
		}
	}
}

// FuzzMedia: whatever the bytes, what is kept has a type that is taken, never one
// that a browser shows as a page; the claim alone never decides; and what is
// opaque to us is kept as opaque.
func FuzzMedia(f *testing.F) {
	for _, s := range []string{"", "plain", "<svg>", "PK\x03\x04", "RIFFxxxxWAVE", "\xff\xfe<\x00", "\xfe\xff", "{}", "#!", "%PDF-", "GIF89a", zipOf(f, "a")} {
		f.Add("text/plain", []byte(s))
		f.Add("", []byte(s))
		f.Add(Opaque, []byte(s))
	}
	f.Fuzz(func(t *testing.T, claimed string, content []byte) {
		is, err := Media(claimed, content)
		if err != nil {
			if is != "" {
				t.Fatal("refused and kept")
			}
			return
		}
		if !slices.Contains(MediaTypes(), is) || strings.Contains(is, "html") || strings.Contains(is, "xml") || strings.Contains(is, "svg") {
			t.Fatalf("kept as %q", is)
		}
		seen, running := Sniff(content)
		if running != "" {
			t.Fatalf("kept %s as %q", running, is)
		}
		if is != seen && is != Opaque && !slices.Contains(textual, is) {
			t.Fatalf("kept %q as %q", seen, is)
		}
		low := bytes.ToLower(bytes.TrimLeft(content, " \t\r\n\f\v\x00"))
		if bytes.HasPrefix(low, []byte("<script")) || bytes.HasPrefix(low, []byte("<svg")) || bytes.HasPrefix(low, []byte("<!doctype")) {
			t.Fatal("kept what a browser runs")
		}
	})
}
