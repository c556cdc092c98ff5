package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"andon/correction"
)

// unquote reads a command the way a POSIX shell does, as far as quoteAll writes.
func unquote(t *testing.T, line string) []string {
	t.Helper()
	var args []string
	for len(line) > 0 {
		var arg strings.Builder
		for len(line) > 0 && line[0] != ' ' {
			switch line[0] {
			case '\'':
				end := strings.IndexByte(line[1:], '\'')
				if end < 0 {
					t.Fatal("a quote is not closed")
				}
				arg.WriteString(line[1 : end+1])
				line = line[end+2:]
			case '\\':
				arg.WriteByte(line[1])
				line = line[2:]
			default:
				arg.WriteByte(line[0])
				line = line[1:]
			}
		}
		args = append(args, arg.String())
		line = strings.TrimPrefix(line, " ")
	}
	return args
}

const proposed = `{"threat":{"name":"tool_misuse","title":"Misuse of tools","definition":"Tools are used to do harm.","helps":"names"},"proposals":[%s]}`

const rungText = `{"rank":%d,"title":"Rung %[1]d","toolkit":"shutdown","correction":%s,"why":"W.","leaves_open":"O.","reversible":"at once","speed":"milliseconds"%s}`

func answerWith(corrections ...string) string {
	var list []string
	for i, c := range corrections {
		list = append(list, fmt.Sprintf(rungText, i+1, c, ""))
	}
	return fmt.Sprintf(proposed, strings.Join(list, ","))
}

// The command that is printed for a proposal posts exactly that correction.
func TestAProposalsCommandAppliesIt(t *testing.T) {
	for _, text := range []string{
		`{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"it's bad; rm -rf $HOME"}`,
		`{"kind":"stop","params":{"level":"L4"},"scope":{"all":true},"reason":"r"}`,
		`{"kind":"access","params":{"mode":"block"},"scope":{"users":["a,b","c \"d\""],"ips":["192.0.2.0/24"],"countries":["DE"]},"reason":"r","incident":"i-1"}`,
		`{"kind":"access","params":{"mode":"allow_only"},"scope":{"orgs":["acme"],"models":["sim-large","sim-small"]},"reason":"r"}`,
		`{"kind":"access","params":{"mode":"block"},"scope":{"attributes":["plan=free"],"when":"stream && org != 'x'"},"reason":"r"}`,
		`{"kind":"access","params":{"mode":"block"},"scope":{"countries":["DE"],"lists":["banned","worse"],"unknown":"include"},"reason":"r"}`,
		`{"kind":"capability","params":{"disable":["tools"]},"scope":{"keys":["k-1"]},"reason":"r"}`,
		`{"kind":"capability","params":{"disable":["tool:shell","web_search"]},"scope":{"tiers":["free"]},"reason":"r"}`,
		`{"kind":"capability","params":{"clamp":{"output_tokens":500}},"scope":{"models":["sim-large"]},"reason":"r"}`,
		`{"kind":"capability","params":{"pin":"sim-large-1"},"scope":{"models":["sim-large"]},"reason":"r"}`,
		`{"kind":"rate","params":{"metric":"requests","limit":10,"window":"1m","per":"key"},"scope":{"orgs":["acme"]},"reason":"r"}`,
		`{"kind":"capability","params":{"filter":{"direction":"both","detector":"patterns","patterns":["a, \"b\""],"regexps":["[0-9]{3}"],"exact":true,"action":"redact"}},"scope":{"all":true},"reason":"r"}`,
		`{"kind":"capability","params":{"filter":{"direction":"input","detector":"guard","threshold":0.8,"on_error":"pass","action":"block"}},"scope":{"all":true},"reason":"r"}`,
		`{"kind":"use","params":{"use_case":"medical","action":"acknowledge","acknowledge_by":"2100-01-01T00:00:00Z"},"scope":{"all":true},"reason":"r"}`,
		`{"kind":"rate","params":{"metric":"distinct_users","limit":3,"window":"1h","per":"key"},"scope":{"orgs":["acme"]},"reason":"r"}`,
		`{"kind":"rate","params":{"metric":"concurrent","limit":1,"per":"user"},"scope":{"users":["u-1"]},"reason":"r"}`,
		`{"kind":"use","params":{"use_case":"legal/advice"},"scope":{"all":true},"reason":"r"}`,
	} {
		f := accepted(t).on("POST /proposals", 200, answerWith(text))
		r := f.run(t, "propose", "tool_misuse", "--tool", "shell", "-o", "json")
		var l ladder
		if err := json.Unmarshal([]byte(r.out), &l); err != nil || len(l.Proposals) != 1 {
			t.Fatalf("%v: %s%s", err, r.out, r.err)
		}
		args := unquote(t, l.Proposals[0].Command)
		if args[0] != "andon" || args[1] == "propose" {
			t.Errorf("%s: no command of its own: %s", text, l.Proposals[0].Command)
			continue
		}
		f.run(t, args[1:]...).want(t, 0)
		sent := f.sent("POST /corrections")
		if len(sent) != 1 {
			t.Fatalf("%s posted %d corrections", l.Proposals[0].Command, len(sent))
		}
		body, _ := json.Marshal(sent[0].body)
		got, err := correction.Parse(body)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := correction.Parse([]byte(text))
		if a, b := canonical(got), canonical(want); a != b {
			t.Errorf("%s\nposts %s\nnot   %s", l.Proposals[0].Command, a, b)
		}
	}
}

func canonical(c correction.Correction) string {
	b, _ := json.Marshal(c, json.Deterministic(true))
	return string(b)
}

// What no verb can say is applied by its number.
func TestAProposalIsAppliedByNumber(t *testing.T) {
	odd := `{"kind":"capability","params":{"disable":["tool:a=b, c"]},"scope":{"users":["u-1"]},"reason":"r"}`
	f := accepted(t).on("POST /proposals", 200, answerWith(odd))
	r := f.run(t, "propose", "tool-misuse", "user=u-1", "--tool", `"a=b, c"`, "--pattern", "x y", "--reason", "it's r")
	r.want(t, 0, `andon propose tool_misuse --user u-1 --tool '"a=b, c"' --pattern 'x y' --apply 1 --reason 'it'\''s r'`, "nothing was applied")
	if len(f.sent("POST /corrections")) != 0 {
		t.Fatal("a proposal was applied")
	}
	line := strings.TrimSpace(r.out[strings.Index(r.out, "andon propose"):strings.Index(r.out, "\n\nnothing")])
	f.run(t, unquote(t, line)[1:]...).want(t, 0, "c-1")
	sent := f.sent("POST /corrections")
	if len(sent) != 1 || fmt.Sprint(sent[0].body["params"]) != "map[disable:[tool:a=b, c]]" || sent[0].header.Get("Idempotency-Key") == "" {
		t.Errorf("%+v", sent)
	}
	asks := f.sent("POST /proposals")
	if b := asks[1].body; b["threat"] != "tool_misuse" || fmt.Sprint(b["tools"]) != "[a=b, c]" || b["preview"] != false || b["reason"] != "it's r" {
		t.Errorf("%v", b)
	}
	f.run(t, "propose", "tool_misuse", "user=u-1", "--apply", "2", "--reason", "r").want(t, 2, "there is no proposal 2", "--apply 1 to 1")
	f.run(t, "propose", "tool_misuse", "user=u-1", "--apply", "1").want(t, 2, "a reason is required")
}

func TestProposalsAreShownNarrowestFirst(t *testing.T) {
	stop := `{"kind":"stop","params":{"level":"L3"},"scope":{"models":["sim-large"]},"reason":"r"}`
	block := `{"kind":"access","params":{"mode":"block"},"scope":{"users":["u-1"]},"reason":"r"}`
	body := fmt.Sprintf(proposed, fmt.Sprintf(rungText, 1, block, `,"preview":`+blast)+","+fmt.Sprintf(rungText, 2, stop, `,"wider":true,"preview":{"coverage":{},"unknown":["requests"]}`))
	f := newFake(t).on("POST /proposals", 200, body)
	r := f.run(t, "propose", "tool_misuse", "user=u-1")
	r.want(t, 0, "Misuse of tools  Tools are used to do harm.", "coverage\n  recorded traffic and running requests",
		"1  Rung 1  shutdown\n   120,433 of 1,204,331 recorded requests (10.0 %) ██··················, 520 more cannot be told, 2210 users, 3 orgs, 7 keys, 3 running would be cut\n",
		"   leaves open: O.\n", "   andon block --user u-1 --reason r\n",
		"2  Rung 2  shutdown  reaches further than was asked for\n   requests: not known\n", "   andon stop --level L3 --model sim-large --reason r\n", "nothing was applied")
	if strings.Contains(r.out, "\x1b") {
		t.Error("colours without a terminal")
	}
}

func TestThreatsAreListed(t *testing.T) {
	f := newFake(t).on("GET /proposals/threats", 200, `{"threats":[{"name":"overload","title":"Overload","definition":"Too much.","helps":"the key"}]}`)
	f.run(t, "propose").want(t, 0, "overload  Overload\n  Too much.\n  it helps to know the key")
	f.run(t, "propose", "-o", "json").want(t, 0, `"name":"overload"`)
	f.run(t, "propose", "org=acme").want(t, 2, "does not say what is wrong")
	f.run(t, "propose", "overload", "acme").want(t, 2, `"acme" does not say what it names`)
	f.run(t, "propose", "overload").want(t, 2, "does not say what it reaches")
	f.run(t, "propose", "overload", "--all", "--except", "org=acme").want(t, 2, "has no --except")
	f.on("POST /proposals", 422, `{"detail":"is not a threat","status":422,"code":"invalid_field","field":"threat","allowed":["overload"]}`)
	f.run(t, "propose", "boredom", "--all").want(t, 2, "threat", "overload")
}
