package wires

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"andon/wire"
	"andon/wire/anthropic"
	"andon/wire/openai"
)

// operation is one method and path of a provider's documentation.
type operation struct {
	body     []string // content types
	model    bool     // a member or field at the top
	required bool
	stream   bool
	detailed bool // of an OpenAPI document; the others are known by their path alone
}

type object = map[string]any

// spec is an OpenAPI document.
type spec struct{ doc object }

func readSpec(t *testing.T, name string) spec {
	t.Helper()
	needRecorded(t)
	f, err := os.Open(filepath.Join(recorded, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var s spec
	if err := json.Unmarshal(data, &s.doc); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s spec) resolve(v any) object {
	o, _ := v.(object)
	for o != nil && o["$ref"] != nil {
		var at any = s.doc
		for part := range strings.SplitSeq(strings.TrimPrefix(o["$ref"].(string), "#/"), "/") {
			at = at.(object)[part]
		}
		o, _ = at.(object)
	}
	return o
}

// members collects the properties of a schema, and whether each is required.
func (s spec) members(v any, into map[string]bool, depth int) {
	o := s.resolve(v)
	if o == nil || depth > 8 {
		return
	}
	need, _ := o["required"].([]any)
	props, _ := o["properties"].(object)
	for name := range props {
		into[name] = into[name] || slices.Contains(need, any(name))
	}
	for _, all := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := o[all].([]any)
		for _, part := range list {
			s.members(part, into, depth+1)
		}
	}
}

var ids = regexp.MustCompile(`\{[^}]*\}`)

// operations are the documented ones by method and path, each id as {}.
func (s spec) operations(root string) map[string]operation {
	out := map[string]operation{}
	for path, item := range s.doc["paths"].(object) {
		path, _, _ = strings.Cut(path, "?")
		for method, v := range item.(object) {
			o, isOp := v.(object)
			if !isOp || !slices.Contains([]string{"get", "post", "put", "patch", "delete"}, method) {
				continue
			}
			key := strings.ToUpper(method) + " " + ids.ReplaceAllString(strings.TrimPrefix(path, root), "{}")
			op := out[key]
			op.detailed = true
			content, _ := s.resolve(o["requestBody"])["content"].(object)
			for kind, c := range content {
				if !slices.Contains(op.body, kind) {
					op.body = append(op.body, kind)
				}
				members := map[string]bool{}
				s.members(c.(object)["schema"], members, 0)
				need, is := members["model"]
				op.model, op.required = op.model || is, op.required || need
				if _, is = members["stream"]; is {
					op.stream = true
				}
			}
			slices.Sort(op.body)
			responses, _ := o["responses"].(object)
			answers, _ := s.resolve(responses["200"])["content"].(object)
			if answers["text/event-stream"] != nil {
				op.stream = true
			}
			out[key] = op
		}
	}
	return out
}

// reference adds what the API reference of a Go SDK lists.
func reference(t *testing.T, module, root string, into map[string]operation) {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatalf("find the module %s: %v", module, err)
	}
	n := 0
	title := regexp.MustCompile(`<code title="([a-z]+) ([^"?]+)[^"]*"`)
	err = filepath.WalkDir(strings.TrimSpace(string(dir)), func(name string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "api.md" {
			return err
		}
		data, err := os.ReadFile(name)
		for _, m := range title.FindAllStringSubmatch(string(data), -1) {
			path := regexp.MustCompile(`\{[^}]*\}?`).ReplaceAllString(strings.TrimPrefix(m[2], root), "{}")
			key := strings.ToUpper(m[1]) + " " + path
			into[key] = into[key]
			n++
		}
		return err
	})
	if err != nil || n < 100 {
		t.Fatalf("%s lists %d operations: %v", module, n, err)
	}
}

// sockets are opened by a GET that no document of paths lists.
var sockets = []string{"GET /responses", "GET /realtime", "GET /realtime/translations", "GET /live/sessions", "GET /live/sessions/{}/attach", "GET /live/sessions/{}/fork"}

// odd are routes of which the table says something else than the documents, on
// purpose.
var odd = map[string]string{
	"POST /responses":         "the model may be left out beside a stored prompt, whose model cannot be judged",
	"POST /realtime/sessions": "the document leaves the model out",
}

func TestRoutesAreTheDocumentedOnes(t *testing.T) {
	for _, c := range []struct {
		wire, file, module, root string
		header                   func(string) string
		rows                     []string
		beyond                   []string
	}{
		{"openai", "openai-openapi/openapi.json.gz", "github.com/openai/openai-go/v3", "", headers(), openai.Routes(), sockets},
		{"anthropic", "anthropic-openapi/mock-spec.json.gz", "github.com/anthropics/anthropic-sdk-go", "/v1", headers("anthropic-version", "2023-06-01"), anthropic.Routes(), nil},
	} {
		documented := readSpec(t, c.file).operations(c.root)
		fromSpec := len(documented)
		reference(t, c.module, c.root, documented)
		t.Logf("%s: %d operations in the OpenAPI document, %d with the SDK's reference, %d rows", c.wire, fromSpec, len(documented), len(c.rows))
		known := map[string]bool{}
		for _, row := range c.rows {
			key := ids.ReplaceAllString(row, "{}")
			if known[key] {
				t.Errorf("%s: %s stands in the table twice", c.wire, row)
			}
			known[key] = true
			if _, is := documented[key]; !is && !slices.Contains(c.beyond, key) {
				t.Errorf("%s: %s is in the table and in no document", c.wire, row)
			}
		}
		for key, op := range documented {
			if !known[key] {
				t.Errorf("%s: %s is documented and not in the table", c.wire, key)
				continue
			}
			method, path, _ := strings.Cut(key, " ")
			w, rt, ok := Match(method, "/v1"+strings.ReplaceAll(path, "{}", "id-1"), "", c.header)
			if !ok || w.Name() != c.wire {
				t.Errorf("%s: %s is not matched", c.wire, key)
				continue
			}
			if op.detailed {
				checkRoute(t, c.wire+": "+key, key, method, op, rt)
			}
		}
	}
}

func checkRoute(t *testing.T, title, key, method string, op operation, rt wire.Route) {
	body := wire.BodyNone
	switch fmt.Sprint(op.body) {
	case "[]":
	case "[application/json]":
		body = wire.BodyJSON
	case "[multipart/form-data]", "[application/sdp multipart/form-data]":
		body = wire.BodyForm
	case "[application/json multipart/form-data]":
		body = wire.BodyEither
	default:
		t.Errorf("%s takes %v", title, op.body)
	}
	if rt.Body != body {
		t.Errorf("%s: the table's body is %d, the document has %v", title, rt.Body, op.body)
	}
	if _, is := odd[key]; is {
		return
	}
	if model := rt.ModelIn == wire.ModelInBody; model != op.model {
		t.Errorf("%s: the table's model in the body is %v, the document's %v", title, model, op.model)
	}
	if rt.Named != op.required {
		t.Errorf("%s: the table's model is required: %v, the document's %v", title, rt.Named, op.required)
	}
	if op.stream && !rt.SSE {
		t.Errorf("%s may stream by the document, and not by the table", title)
	}
	if method == "DELETE" && rt.Features != 0 {
		t.Errorf("%s: removing uses a feature", title)
	}
}
