package control

import (
	"bytes"
	"context"
	"crypto/sha256"

	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"andon/ledger"
	named "andon/list"
	"andon/order"
)

// load puts a list that has to be taken.
func (w *world) load(status int, path, text string) listView {
	w.t.Helper()
	var v listView
	w.ok(status, "PUT", "/lists/"+path, text, &v)
	return v
}

// kept are the files on the shelf.
func (w *world) kept() []string {
	w.t.Helper()
	entries, err := os.ReadDir(filepath.Join(w.dir, "lists"))
	must(w.t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func files(digests ...order.Hash) []string {
	var out []string
	for _, d := range digests {
		out = append(out, d.String(), d.String()+manifestSuffix)
	}
	slices.Sort(out)
	return out
}

// fetch gets a list as a gateway does.
func (g *gate) fetch(digest order.Hash) (*named.Set, order.ListAnswer) {
	g.w.t.Helper()
	ask := func(chunk int) []byte {
		q, _ := json.Marshal(order.ListRequest{Digest: digest, Chunk: chunk})
		ctx, cancel := context.WithTimeout(g.w.t.Context(), 30*time.Second)
		defer cancel()
		data, err := g.bus.Request(ctx, order.SubjectList, q)
		must(g.w.t, err)
		return data
	}
	head := ask(0)
	if order.ListAnswer(head[0]) != order.ListPart {
		return nil, order.ListAnswer(head[0])
	}
	m, err := named.ParseManifest(head[1:], named.Digest(digest))
	must(g.w.t, err)
	var all bytes.Buffer
	for i, c := range m {
		data := ask(i + 1)
		if order.ListAnswer(data[0]) != order.ListPart {
			return nil, order.ListAnswer(data[0])
		}
		if sha256.Sum256(data[1:]) != c.Hash {
			g.w.t.Fatalf("chunk %d is another", i)
		}
		all.Write(data[1:])
	}
	if beyond := ask(len(m) + 1); order.ListAnswer(beyond[0]) != order.ListUnknown {
		g.w.t.Error("there is a chunk after the last")
	}
	set, err := named.Decode(&all)
	must(g.w.t, err)
	return set, order.ListPart
}

func TestListIsLoadedReplacedAndRemoved(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	first := w.load(201, "banned?dimension=users&reason=drill", "# of today\nalice\nbob\nalice\n")
	if g.next() != order.Applied {
		t.Fatal("no order")
	}
	if first.Entries != 2 || first.Dimension != "users" || first.By == "" || first.Reason != "drill" || first.Action != "loaded" || first.Revision != 1 ||
		first.Source != fmt.Sprintf("%x", sha256.Sum256([]byte("# of today\nalice\nbob\nalice\n"))) || len(first.Points) != 1 || first.Points[0].State != listUnknown {
		t.Errorf("%+v", first)
	}
	if refs := g.f.State().Lists; len(refs) != 1 || refs[0] != (order.ListRef{Name: "banned", Dimension: "users", Digest: first.Digest, Entries: 2, Bytes: first.Bytes}) {
		t.Errorf("%+v", refs)
	}
	set, _ := g.fetch(first.Digest)
	if !set.Has("alice") || !set.Has("bob") || set.Has("carol") || set.Len() != 2 {
		t.Error("gateways get another list")
	}
	// The same text again is the same list: no entry, no order.
	size := w.c.cfg.Log.Size()
	if again := w.load(200, "banned?reason=again", "# of today\nalice\nbob\nalice\n"); again.Digest != first.Digest || w.c.cfg.Log.Size() != size {
		t.Error("the same list made a new version")
	}
	second := w.load(200, "banned?dimension=users&reason=appeal", "alice\n")
	if second.Digest == first.Digest || second.Entries != 1 || second.Revision != 2 {
		t.Errorf("%+v", second)
	}
	if _, answer := g.fetch(first.Digest); answer != order.ListUnknown {
		t.Errorf("the old version is answered with %c", answer)
	}
	if got := w.kept(); !slices.Equal(got, files(second.Digest)) {
		t.Error("kept:", got)
	}
	var all listList
	w.ok(200, "GET", "/lists", "", &all)
	if len(all.Lists) != 1 || all.Lists[0].Digest != second.Digest || all.Revision != 2 {
		t.Errorf("%+v", all)
	}
	// It survives a restart, content and all.
	w.restart()
	var back listView
	w.ok(200, "GET", "/lists/banned", "", &back)
	if back.Digest != second.Digest || back.Lost != "" || !back.Since.Equal(second.Since) {
		t.Errorf("%+v", back)
	}
	if set, _ := w.gate("gw-2", true).fetch(second.Digest); !set.Has("alice") || set.Has("bob") {
		t.Error("another list after the restart")
	}
	w.ok(204, "DELETE", "/lists/banned?reason=over", "", nil)
	w.bad(404, "not_found", "GET", "/lists/banned", "")
	w.bad(404, "not_found", "DELETE", "/lists/banned?reason=over", "")
	if got := w.kept(); len(got) != 0 {
		t.Error("kept:", got)
	}
	// The ledger holds digest, count, dimension and reason, and no entry.
	var text strings.Builder
	must(t, w.c.cfg.Log.Read(t.Context(), 0, w.c.cfg.Log.Size(), func(e ledger.Entry) error {
		fmt.Fprintf(&text, "%s %s\n", e.Type, e.Body)
		return nil
	}))
	for _, want := range []string{first.Digest.String(), second.Digest.String(), `"reason":"appeal"`, `"dimension":"users"`, `"entries":2`, `list.removed {"name":"banned","reason":"over"}`} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the ledger lacks %s", want)
		}
	}
	if strings.Contains(text.String(), "alice") {
		t.Error("the ledger holds an entry of a list")
	}
}

func TestListEntriesAreAddedAndRemoved(t *testing.T) {
	w := newWorld(t, nil)
	g := w.gate("gw-1", true)
	first := w.load(201, "banned?dimension=users&reason=drill", "alice\nbob\n")
	var v listView
	w.ok(200, "POST", "/lists/banned/add", `{"entries":["carol","alice","carol"],"reason":"new"}`, &v)
	if *v.Changed != 1 || v.Entries != 3 || v.Action != "added" || v.Source != "" || v.Digest == first.Digest {
		t.Errorf("%+v", v)
	}
	if set, _ := g.fetch(v.Digest); !set.Has("carol") || !set.Has("bob") {
		t.Error("another list")
	}
	size := w.c.cfg.Log.Size()
	w.ok(200, "POST", "/lists/banned/add", `{"entries":["carol"],"reason":"again"}`, &v)
	if *v.Changed != 0 || w.c.cfg.Log.Size() != size {
		t.Error("nothing new was recorded")
	}
	w.ok(200, "POST", "/lists/banned/remove", `{"entries":["bob","dave"],"reason":"appeal"}`, &v)
	set, _ := g.fetch(v.Digest)
	if *v.Changed != 1 || v.Entries != 2 || set.Has("bob") || !set.Has("carol") || set.Has("dave") {
		t.Errorf("%+v", v)
	}
	if got := w.kept(); !slices.Equal(got, files(v.Digest)) {
		t.Error("kept:", got)
	}
	if p := w.bad(422, "invalid_field", "POST", "/lists/banned/remove", `{"entries":["alice","carol"],"reason":"all"}`); !strings.Contains(p.Detail, "last") {
		t.Error(p)
	}
	if p := w.bad(422, "invalid_field", "POST", "/lists/banned/add", `{"entries":["x",""],"reason":"r"}`); p.Field != "entries[1]" {
		t.Error(p)
	}
	w.bad(422, "invalid_field", "POST", "/lists/banned/add", `{"entries":[],"reason":"r"}`)
	w.bad(422, "invalid_field", "POST", "/lists/banned/add", `{"entries":["x"]}`)
	w.bad(400, "unknown_field", "POST", "/lists/banned/add", `{"entry":"x"}`)
	w.bad(404, "not_found", "POST", "/lists/other/add", `{"entries":["x"],"reason":"r"}`)
}

func TestListIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.load(201, "banned?dimension=users&reason=drill", "alice\n")
	before, size := w.kept(), w.c.cfg.Log.Size()
	for _, tc := range []struct {
		status           int
		code, path, body string
		field, says      string
		header           [2]string
	}{
		{422, "invalid_field", "a?dimension=users", "x", "reason", "why", [2]string{}},
		{422, "invalid_field", "a?reason=r", "x", "dimension", "holds", [2]string{}},
		{422, "invalid_field", "a?reason=r&dimension=models", "x", "dimension", "holds", [2]string{}},
		{422, "invalid_field", "banned?reason=r&dimension=ips", "192.0.2.1", "dimension", "users", [2]string{}},
		{422, "invalid_field", "a?reason=r&dimension=ips", "192.0.2.1\n\nx\n", "body", "line 3", [2]string{}},
		{422, "invalid_field", "banned?reason=r", "# nobody\n", "body", "no entry", [2]string{}},
		{422, "invalid_field", "a%20b?reason=r&dimension=users", "x", "name", "letters", [2]string{}},
		{422, "invalid_field", ".a?reason=r&dimension=users", "x", "name", "letters", [2]string{}},
		{422, "invalid_field", strings.Repeat("a", 129) + "?reason=r&dimension=users", "x", "name", "128", [2]string{}},
		{400, "invalid_query", "a?reason=r&dimension=users&x=1", "x", "x", "unknown", [2]string{}},
		{400, "invalid_query", "a?reason=r&dimension=users&dimension=ips", "x", "dimension", "more than once", [2]string{}},
		{400, "invalid_header", "a?reason=r&dimension=users", `["x"]`, "Content-Type", "plain text", [2]string{"Content-Type", "application/json"}},
		{400, "invalid_header", "a?reason=r&dimension=users", "x", "Content-Encoding", "as it is", [2]string{"Content-Encoding", "gzip"}},
	} {
		p := w.bad(tc.status, tc.code, "PUT", "/lists/"+tc.path, tc.body, tc.header[:min(2, 2*len(tc.header[0]))]...)
		if p.Field != tc.field || !strings.Contains(p.Detail, tc.says) && !slices.Contains(p.Allowed, tc.says) {
			t.Errorf("%s: %+v", tc.path, p)
		}
	}
	w.bad(422, "invalid_field", "DELETE", "/lists/banned", "")
	if !slices.Equal(w.kept(), before) || w.c.cfg.Log.Size() != size {
		t.Error("a refusal left something:", w.kept())
	}
	w.load(201, "a?dimension=orgs&reason=r", "acme\n")
}

// An upload that breaks off changes nothing: half a list lets half go.
func TestBrokenUploadChangesNothing(t *testing.T) {
	w := newWorld(t, nil)
	v := w.load(201, "banned?dimension=users&reason=drill", "alice\nbob\n")
	conn, err := net.Dial("tcp", w.c.Addr())
	must(t, err)
	fmt.Fprintf(conn, "PUT /api/v1/lists/banned?reason=r HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\nalice\n", w.token)
	must(t, conn.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(conn)
	conn.Close()
	if err != nil || !bytes.Contains(answer, []byte("ended too early")) {
		t.Errorf("%q: %v", answer, err)
	}
	if now, _ := w.c.listView("banned"); now.Digest != v.Digest {
		t.Error("half a list was taken")
	}
}

// While the ledger refuses, no version is named, and what was written goes.
func TestListWithoutLedger(t *testing.T) {
	w := newWorld(t, nil)
	first := w.load(201, "banned?dimension=users&reason=drill", "alice\n")
	for _, fault := range []error{ledger.ErrFull, ledger.ErrUnsure} {
		w.log.set(fault)
		if resp := w.do("PUT", api+"/lists/banned?reason=r", "bob\n", nil); resp.StatusCode < 500 {
			t.Error(resp.Status)
		}
		w.log.set(nil)
		if now, _ := w.c.listView("banned"); now.Digest != first.Digest || now.Lost != "" {
			t.Errorf("%+v", now)
		}
	}
	// What an unknown outcome left on the shelf goes with the next change.
	second := w.load(200, "banned?reason=r", "carol\n")
	if got := w.kept(); !slices.Equal(got, files(second.Digest)) {
		t.Error("kept:", got)
	}
}

// A process that dies between the file and the entry leaves garbage, which the
// next start removes.
func TestShelfIsTidiedAtStart(t *testing.T) {
	w := newWorld(t, nil)
	v := w.load(201, "banned?dimension=users&reason=drill", "alice\n")
	w.stop()
	dir := filepath.Join(w.dir, "lists")
	for _, name := range []string{strings.Repeat("a", 64), strings.Repeat("a", 64) + manifestSuffix, strings.Repeat("b", 64) + partSuffix, v.Digest.String() + partSuffix} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
	}
	w.start()
	if got := w.kept(); !slices.Equal(got, files(v.Digest)) {
		t.Error("kept:", got)
	}
}

// What is lost on the shelf is said, served as lost, and mended by loading the
// list anew, with the same text too.
func TestLostListIsSaidAndMended(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"missing":          func(path string) error { return os.Remove(path) },
		"no manifest":      func(path string) error { return os.Remove(path + manifestSuffix) },
		"cut":              func(path string) error { return os.Truncate(path, 70) },
		"damaged":          func(path string) error { return flip(path, 80) },
		"damaged manifest": func(path string) error { return flip(path+manifestSuffix, 3) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			v := w.load(201, "banned?dimension=users&reason=drill", "alice\nbob\n")
			w.stop()
			must(t, damage(filepath.Join(w.dir, "lists", v.Digest.String())))
			w.start()
			g := w.gate("gw-1", true)
			if _, answer := g.fetch(v.Digest); answer != order.ListLost {
				t.Fatalf("answered with %c", answer)
			}
			if now, _ := w.c.listView("banned"); now.Lost == "" {
				t.Error("it does not say so")
			}
			if !strings.Contains(w.logs.String(), "ALARM: the content of a list") {
				t.Error("no alarm")
			}
			w.bad(503, "unavailable", "POST", "/lists/banned/add", `{"entries":["x"],"reason":"r"}`)
			again := w.load(200, "banned?reason=mended", "alice\nbob\n")
			if set, _ := g.fetch(again.Digest); again.Lost != "" || !set.Has("bob") {
				t.Error("it was not mended")
			}
		})
	}
}

func flip(path string, at int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[at] ^= 1
	return os.WriteFile(path, data, 0o600)
}

func TestOneListAtATime(t *testing.T) {
	w := newWorld(t, nil)
	body, more := io.Pipe()
	req, err := http.NewRequest("PUT", "http://"+w.c.Addr()+api+"/lists/a?dimension=users&reason=r", body)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+w.token)
	done := make(chan *http.Response, 1)
	go func() {
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Error(err)
		}
		done <- resp
	}()
	io.WriteString(more, "alice\n")
	for len(w.c.shelf.turn) == 0 {
		time.Sleep(time.Millisecond)
	}
	if p := w.bad(503, "unavailable", "PUT", "/lists/b?dimension=users&reason=r", "x"); !p.Retry {
		t.Error(p)
	}
	more.Close()
	resp := <-done
	resp.Body.Close()
	if resp.StatusCode != 201 {
		t.Error(resp.Status)
	}
	w.load(201, "b?dimension=users&reason=r", "x")
}

func TestNoFolderNoLists(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Lists = "" })
	if p := w.bad(503, "unavailable", "PUT", "/lists/a?dimension=users&reason=r", "x"); !strings.Contains(p.Detail, "folder") {
		t.Error(p)
	}
	var all listList
	w.ok(200, "GET", "/lists", "", &all)
}

// Entries that contradict those before stop the fold.
func TestFoldOfListsIsStrict(t *testing.T) {
	ref := order.ListRef{Name: "a", Dimension: "users", Digest: order.Hash{1}, Entries: 1, Bytes: 1}
	of := ref
	of.Dimension = "ips"
	for name, es := range map[string][]ledger.Entry{
		"no digest":         {{Type: typeListPut, Body: body(listBody{List: order.ListRef{Name: "a", Dimension: "users", Entries: 1, Bytes: 1}})}},
		"no name":           {{Type: typeListPut, Body: body(listBody{List: order.ListRef{Dimension: "users", Digest: order.Hash{1}, Entries: 1, Bytes: 1}})}},
		"another dimension": {{Type: typeListPut, Body: body(listBody{List: ref})}, {Type: typeListPut, Body: body(listBody{List: of})}},
		"removed twice":     {{Type: typeListPut, Body: body(listBody{List: ref})}, {Type: typeListRemoved, Body: body(listRemovedBody{Name: "a"})}, {Type: typeListRemoved, Body: body(listRemovedBody{Name: "a"})}},
		"unknown member":    {{Type: typeListPut, Body: []byte(`{"list":{},"x":1}`)}},
	} {
		s := newState()
		for i, e := range es {
			e.Seq = uint64(i)
			_, err := s.fold(e)
			if last := i == len(es)-1; (err != nil) != last {
				t.Errorf("%s: entry %d: %v", name, i, err)
			}
		}
	}
}
