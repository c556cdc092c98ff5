package control

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon/blob"
)

// TestStraysOfEvidenceAreSwept: what a crash left between a document and its entry
// goes at a start once it is a day old; nothing that an entry names does.
func TestStraysOfEvidenceAreSwept(t *testing.T) {
	w := takingWorld(t)
	var v evidenceView
	w.ok(201, "POST", "/evidence", `{"reason":"as it stands"}`, &v)
	w.eventually(func() bool {
		w.ok(200, "GET", "/evidence/"+v.ID, "", &v)
		return v.State == evidenceIsSealed
	})
	dir := w.c.cfg.Evidence
	at := func(digest string) string { return filepath.Join(dir, digest[:2], digest) }
	var strays []string
	for _, text := range []string{"left long ago", "left just now"} { // the document was kept, and its entry never written
		digest, err := w.c.evidence.store.Put([]byte(text))
		must(t, err)
		strays = append(strays, digest)
	}
	old := time.Now().Add(-25 * time.Hour)
	for _, digest := range []string{strays[0], v.SHA256} {
		must(t, os.Chtimes(at(digest), old, old))
	}
	foreign := filepath.Join(dir, "notes.txt")
	must(t, os.WriteFile(foreign, []byte("x"), 0o600))
	must(t, os.Chtimes(foreign, old, old))
	used := w.c.evidence.store.Used()
	w.restart()
	if _, err := os.Stat(at(strays[0])); !os.IsNotExist(err) {
		t.Error("the stray is still there:", err)
	}
	for _, name := range []string{at(strays[1]), at(v.SHA256), foreign} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	if now := w.c.evidence.store.Used(); now != used-int64(len("left long ago"))+1 { // the other file counts from here on
		t.Errorf("%d bytes used, after %d", now, used)
	}
	if w.text(200, "/evidence/"+v.ID+"/content"); blob.Digest([]byte(w.text(200, "/evidence/"+v.ID+"/content"))) != v.SHA256 {
		t.Error("the document that is named is another")
	}
	if !strings.Contains(w.logs.String(), "removed files of evidence that no entry names") {
		t.Error("it was done without a word")
	}
}
