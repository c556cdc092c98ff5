package control

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"andon/order"
)

// What an application is for holds for its keys, those there are and those to
// come, after a restart, and in the whole state that a gateway fetches.
func TestAnApplicationStandsForItsKeys(t *testing.T) {
	w := newWorld(t, nil)
	first := w.key(`{"org":"acme","attributes":["app=reader","region=eu"],"use_cases":["own"]}`)
	other := w.key(`{"org":"acme","attributes":["app=writer"]}`)
	uses := func(id string) string {
		t.Helper()
		w.c.mu.RLock()
		defer w.c.mu.RUnlock()
		full := w.c.state.full()
		i := slices.IndexFunc(full.Keys, func(k order.Key) bool { return k.ID == id })
		return strings.Join(full.Keys[i].UseCases, " ")
	}
	revision := w.revision()
	w.ok(200, "PUT", "/apps/reader", `{"use_cases":["summaries","education/tutoring"],"reason":"as agreed"}`, nil)
	if w.revision() != revision+1 {
		t.Error("the gateways are not told")
	}
	if got := uses(first); got != "education/tutoring own summaries" {
		t.Errorf("the key there was: %q", got)
	}
	if got := uses(other); got != "" {
		t.Errorf("another application's key: %q", got)
	}
	later := w.key(`{"org":"globex","attributes":["app=reader"]}`)
	if got := uses(later); got != "education/tutoring summaries" {
		t.Errorf("a key that came later: %q", got)
	}
	w.restart()
	if got := uses(first); got != "education/tutoring own summaries" {
		t.Errorf("after a restart: %q", got)
	}
	var list appList
	w.ok(200, "GET", "/apps", "", &list)
	if len(list.Apps) != 1 || list.Apps[0].Keys != 2 {
		t.Errorf("%+v", list)
	}
	w.bad(422, "invalid_field", "PUT", "/apps/reader", `{"use_cases":[],"reason":"r"}`)
	w.bad(422, "invalid_field", "PUT", "/apps/reader", `{"use_cases":["a"],"reason":" "}`)
	w.bad(404, "not_found", "DELETE", "/apps/nobody?reason=r", "")
	w.ok(204, "DELETE", "/apps/reader?reason=over", "", nil)
	if got := uses(first); got != "own" {
		t.Errorf("after it was removed: %q", got)
	}
	w.c.mu.RLock()
	full := w.c.state.full()
	weight := w.c.state.weight
	w.c.mu.RUnlock()
	sum := 0
	for i := range full.Keys {
		data, err := json.Marshal(full.Keys[i])
		must(t, err)
		sum += len(data) + 1
	}
	if weight != sum {
		t.Errorf("the state weighs %d, its keys %d", weight, sum)
	}
}

// key makes a key and returns its id.
func (w *world) key(body string) string {
	w.t.Helper()
	var v keyView
	w.ok(201, "POST", "/keys", body, &v)
	return v.ID
}
