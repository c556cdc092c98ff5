package control

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon/ledger"
)

// bringing makes an entry of the control plane's that brings personal values. No
// type of this room has them, so an erasure stands in: it names them, too.
func (w *world) bringing(values ...string) (names []string) {
	w.t.Helper()
	p := private{values: map[string][]byte{}}
	for _, v := range values {
		name, sealed := ledger.Commit([]byte(v))
		names = append(names, name)
		p.values[name] = sealed
	}
	p.body = holdBody{ID: "h-1", Reason: strings.Join(names, " ")}
	_, err := w.c.execute(w.t.Context(), "op-1", func(*state, time.Time) ([]draft, error) { return []draft{{typeHold, p}}, nil })
	must(w.t, err)
	return names
}

func TestErasePersonal(t *testing.T) {
	w := newWorld(t, nil)
	names := w.bringing("Ada Lovelace", "Grace Hopper")
	if text, erased, err := w.c.personal(t.Context(), names[0]); text != "Ada Lovelace" || erased || err != nil {
		t.Fatal(text, erased, err)
	}
	path := "/personal/" + names[0] + "/erase"
	w.bad(422, "invalid_field", "POST", path, `{"reason":""}`)
	for _, name := range []string{"x", strings.Repeat("0", 64), strings.ToUpper(names[0])} {
		w.bad(404, "not_found", "POST", "/personal/"+name+"/erase", `{"reason":"r"}`)
	}
	var v, again erasureView
	w.ok(200, "POST", path, `{"reason":"asked for"}`, &v)
	if v.Commitment != names[0] || v.Entry == 0 || !v.Gone {
		t.Fatalf("%+v", v)
	}
	size := w.c.cfg.Log.Size()
	w.ok(200, "POST", path, `{"reason":"asked for again"}`, &again)
	if again != v || w.c.cfg.Log.Size() != size {
		t.Errorf("erased twice: %+v", again)
	}
	if text, erased, err := w.c.personal(t.Context(), names[0]); text != "" || !erased || err != nil {
		t.Error(text, erased, err)
	}
	if text, _, _ := w.c.personal(t.Context(), names[1]); text != "Grace Hopper" {
		t.Error("another value went with it")
	}
	w.restart()
	w.ok(200, "POST", path, `{"reason":"asked for again"}`, &again)
	if again != v {
		t.Errorf("after a restart: %+v", again)
	}
}

// TestEraseAfterACrash: the entry is durable and the values are still there.
func TestEraseAfterACrash(t *testing.T) {
	w := newWorld(t, nil)
	names := w.bringing("Ada Lovelace")
	_, err := w.c.execute(t.Context(), "op-1", func(s *state, _ time.Time) ([]draft, error) { return s.erasing("asked for", names...), nil })
	must(t, err)
	if _, erased, _ := w.c.personal(t.Context(), names[0]); erased {
		t.Fatal("erased already: nothing is tested")
	}
	w.restart()
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, erased, err := w.c.personal(t.Context(), names[0]); erased {
			break
		} else if err != nil || time.Since(begun) > 30*time.Second {
			t.Fatal("not made up for", err)
		}
	}
	w.stop()
	files, err := filepath.Glob(filepath.Join(w.dir, "*"))
	must(t, err)
	for _, f := range files {
		if data, err := os.ReadFile(f); err == nil && strings.Contains(string(data), "Ada Lovelace") {
			t.Error("still in", f)
		}
	}
}
