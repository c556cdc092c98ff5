package incident

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// What an attachment is, is read off its content. Two things are kept: formats
// that are known, by their magic bytes or by being well-formed text; and what
// the sender itself calls opaque (application/octet-stream), which is only ever
// downloaded. A sender who claims a format that the content does not have is
// refused, and so is content that a browser or a system could run, under
// whatever name it comes.

// Opaque is the media type of what is kept without being looked at.
const Opaque = "application/octet-stream"

// textual are media types without magic bytes: the content has to be text.
var textual = []string{"text/plain", "text/csv", "text/markdown", "application/json", "application/x-ndjson", "message/rfc822"}

// magic are the formats that are known by their first bytes.
var magic = []struct {
	media string
	at    int
	bytes string
}{
	{"application/pdf", 0, "%PDF-"}, {"image/png", 0, "\x89PNG\r\n\x1a\n"}, {"image/jpeg", 0, "\xff\xd8\xff"}, {"image/gif", 0, "GIF87a"}, {"image/gif", 0, "GIF89a"},
	{"image/webp", 8, "WEBP"}, {"audio/wav", 8, "WAVE"}, {"audio/flac", 0, "fLaC"}, {"audio/ogg", 0, "OggS"}, {"audio/mpeg", 0, "ID3"},
	{"video/mp4", 4, "ftyp"}, {"video/webm", 0, "\x1aE\xdf\xa3"}, {"application/gzip", 0, "\x1f\x8b\x08"}, {"application/zstd", 0, "\x28\xb5\x2f\xfd"},
	{"application/zip", 0, "PK\x03\x04"}, {"application/zip", 0, "PK\x05\x06"}, {"application/vnd.tcpdump.pcap", 0, "\xd4\xc3\xb2\xa1"}, {"application/vnd.tcpdump.pcap", 0, "\xa1\xb2\xc3\xd4"},
}

// runs are formats that are run or interpreted. They are kept under no name.
var runs = []struct{ what, bytes string }{
	{"a Windows program", "MZ"}, {"a Linux program", "\x7fELF"}, {"a macOS program", "\xfe\xed\xfa\xce"}, {"a macOS program", "\xfe\xed\xfa\xcf"},
	{"a macOS program", "\xcf\xfa\xed\xfe"}, {"a macOS program", "\xce\xfa\xed\xfe"}, {"a macOS program or a Java class", "\xca\xfe\xba\xbe"},
	{"a WebAssembly program", "\x00asm"}, {"a script", "#!"}, {"a Windows shortcut", "L\x00\x00\x00\x01\x14\x02\x00"}, {"a Windows installer or an old Office file", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"},
	{"an Android program", "dex\n"},
}

// active are the beginnings of texts that a browser runs or renders.
var active = []string{"<!doctype", "<html", "<head", "<body", "<script", "<svg", "<iframe", "<object", "<embed", "<?xml", "<xsl", "<math", "<style", "<link", "<meta", "<img", "<a ", "<form", "<table", "<div", "<h1", "<p>", "<br", "<title", "<font", "<b>", "<!--"}

// MediaTypes are those that are taken.
func MediaTypes() []string {
	out := append(slices.Clone(textual), Opaque)
	for _, m := range magic {
		if !slices.Contains(out, m.media) {
			out = append(out, m.media)
		}
	}
	slices.Sort(out)
	return out
}

// Keeps says whether files of a media type are taken.
func Keeps(media string) bool { return slices.Contains(MediaTypes(), media) }

// Sniff says what content is: a media type of MediaTypes, or Opaque for bytes
// of no known format; and what it would run as, which forbids it.
func Sniff(content []byte) (media, running string) {
	for _, r := range runs {
		if bytes.HasPrefix(content, []byte(r.bytes)) {
			return Opaque, r.what
		}
	}
	for _, m := range magic {
		if len(content) >= m.at+len(m.bytes) && string(content[m.at:m.at+len(m.bytes)]) == m.bytes {
			switch {
			case m.at == 8 && !bytes.HasPrefix(content, []byte("RIFF")):
				continue
			case m.media == "application/zip":
				return zipped(content)
			}
			return m.media, ""
		}
	}
	if bytes.HasPrefix(content, []byte{0xff, 0xfe}) || bytes.HasPrefix(content, []byte{0xfe, 0xff}) {
		if t := wide(content); markup(t) {
			return Opaque, "HTML, SVG or XML"
		}
		return Opaque, ""
	}
	if markup(content) {
		return Opaque, "HTML, SVG or XML"
	}
	if plain(content) {
		if jsontext.Value(content).IsValid() {
			return "application/json", ""
		}
		return "text/plain", ""
	}
	return Opaque, ""
}

// Media decides on an attachment: under which media type it is kept, or why it
// is refused. claimed is what the sender calls it; "" is "look yourself".
func Media(claimed string, content []byte) (string, error) {
	is, running := Sniff(content)
	if running != "" {
		return "", wrong("content", "is "+running+", which is not kept under any name; put it into an encrypted archive elsewhere and note its SHA-256", MediaTypes()...)
	}
	if claimed == "" {
		return is, nil
	}
	name, _, err := mime.ParseMediaType(claimed)
	if err != nil {
		return "", wrong("content_type", quote(claimed)+" is no media type", MediaTypes()...)
	}
	switch {
	case name == Opaque:
		return Opaque, nil // the sender asks for nothing but to be kept
	case !Keeps(name):
		return "", wrong("content_type", quote(name)+" is not taken; the content is "+is, MediaTypes()...)
	case name == is:
		return is, nil
	case slices.Contains(textual, name):
		if ok := name == "application/json" && is == "application/json" ||
			name == "application/x-ndjson" && (is == "application/json" || is == "text/plain") && ndjson(content) ||
			name != "application/json" && name != "application/x-ndjson" && (is == "text/plain" || is == "application/json"); ok {
			return name, nil
		}
	}
	return "", wrong("content_type", fmt.Sprintf("says %s, and the content is %s", name, is), is)
}

// plain says whether content is text: UTF-8 without control characters but
// those of lines.
func plain(content []byte) bool {
	if !utf8.Valid(content) {
		return false
	}
	for _, c := range content {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' || c == 0x7f {
			return false
		}
	}
	return true
}

// wide reads the ASCII out of UTF-16, as far as markup looks.
func wide(content []byte) []byte {
	order := binary.ByteOrder(binary.LittleEndian)
	if content[0] == 0xfe {
		order = binary.BigEndian
	}
	var out []byte
	for i := 2; i+1 < len(content) && len(out) < markupWindow; i += 2 {
		if u := order.Uint16(content[i:]); u < 0x80 {
			out = append(out, byte(u))
		} else {
			out = append(out, '?')
		}
	}
	return out
}

// markupWindow is how far browsers look for markup, and we with them, in bytes.
const markupWindow = 4096

// markup says whether a browser might take content for HTML, SVG or XML: a tag
// that it knows at the beginning, after blanks; or a script or an SVG within its
// window.
func markup(content []byte) bool {
	b := bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	b = bytes.TrimLeft(b[:min(len(b), 1<<20)], " \t\r\n\f\x00\v")
	b = bytes.ToLower(b[:min(len(b), markupWindow)])
	for _, a := range active {
		if bytes.HasPrefix(b, []byte(a)) {
			return true
		}
	}
	return bytes.Contains(b, []byte("<svg")) && bytes.HasPrefix(b, []byte("<"))
}

// ndjson says whether every line is a JSON value.
func ndjson(content []byte) bool {
	for l := range bytes.Lines(content) {
		if l = bytes.TrimSpace(l); len(l) > 0 && !jsontext.Value(l).IsValid() {
			return false
		}
	}
	return true
}

// zipped tells archives apart: programs that are archives run, and Office files
// may hold macros.
func zipped(content []byte) (media, running string) {
	r, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return Opaque, "a damaged ZIP archive"
	}
	const most = 10_000
	if len(r.File) > most {
		return Opaque, "a ZIP archive of more than 10,000 files"
	}
	for _, f := range r.File {
		name := strings.ToLower(f.Name)
		switch {
		case name == "androidmanifest.xml", name == "meta-inf/manifest.mf":
			return Opaque, "a Java or Android program"
		case strings.HasSuffix(name, "vbaproject.bin"):
			return Opaque, "an Office file with macros"
		}
	}
	return "application/zip", ""
}

// ReadAttachment reads at most MaxAttachment bytes; one more is an error.
func ReadAttachment(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxAttachment+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxAttachment {
		return nil, wrong("content", fmt.Sprintf("has more than %d bytes", MaxAttachment))
	}
	if len(data) == 0 {
		return nil, wrong("content", "is empty")
	}
	return data, nil
}
