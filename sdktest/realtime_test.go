package sdktest

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// OpenAI's npm SDK in a realtime session: what is said comes through, and a cut
// is an error event that it raises, and a close frame.
func TestRealtimeByTheSDK(t *testing.T) {
	install(t)
	f := newFront(t)
	cmd := exec.CommandContext(within(t), "node", "--experimental-websocket", "realtime.mjs")
	cmd.Dir = nodeFolder(t)
	cmd.Env = append(os.Environ(), "BASE_URL="+f.URL, "KEY="+f.Key, "MODEL="+f.Model, "OPENAI_LOG=off")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	defer func() {
		cmd.Process.Kill() // of a script that did not end by itself
		cmd.Wait()
	}()
	type line struct {
		Check, Text, Code, Type, Message string
		Events, Tokens                   int
	}
	type closing struct {
		Code    int
		Message string
	}
	var all []string
	seen := map[string]string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		all = append(all, lines.Text())
		var l struct{ Check string }
		ok(t, json.Unmarshal(lines.Bytes(), &l, json.MatchCaseInsensitiveNames(true)))
		seen[l.Check] = lines.Text()
		if l.Check == "ready" {
			f.stop(t, 1, 0)
		}
	}
	var said, failed line
	var end closing
	for name, into := range map[string]any{"said": &said, "error": &failed, "close": &end} {
		if err := json.Unmarshal([]byte(seen[name]), into, json.MatchCaseInsensitiveNames(true), json.RejectUnknownMembers(false)); err != nil {
			t.Fatalf("%s: %v; %q %s", name, err, all, stderr.String())
		}
	}
	if said.Text != "Quietly, the tide comes in." || said.Tokens == 0 {
		t.Errorf("said: %+v", said)
	}
	if failed.Code != "andon_correction" || failed.Type != "andon_correction" || !strings.Contains(failed.Message, "Refused by correction") {
		t.Errorf("error: %+v", failed)
	}
	if end.Code != 4503 || !strings.HasPrefix(end.Message, "andon_correction ") {
		t.Errorf("close: %+v", end)
	}
}
