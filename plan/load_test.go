package plan

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func folder(files ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return fsys
}

func TestWhatALoadSays(t *testing.T) {
	for name, tc := range map[string]struct {
		files []string
		want  []string // one for each fault, in their order
	}{
		"unknown field":     {[]string{"a.yaml", "andon: 1\nmodles:\n  - name: x\n"}, []string{`a.yaml:2:1: modles: unknown field "modles"; did you mean "models"? Allowed: andon, org`}},
		"field in a list":   {[]string{"a.yaml", "models:\n  - name: x\n    versoins: [a]\n"}, []string{`a.yaml:3:5: models[0].versoins: unknown field "versoins"; did you mean "versions"?`}},
		"several at once":   {[]string{"b.yml", "x: 1\ny: 2\n", "a.yaml", "z: 3\n"}, []string{"a.yaml:1:1: z: unknown", "b.yml:1:1: x: unknown", "b.yml:2:1: y: unknown"}},
		"name twice":        {[]string{"a.yaml", "org: a\norg: b\n"}, []string{"a.yaml:2:1: org: stands here twice; first in line 1"}},
		"two files":         {[]string{"a.yaml", "org: a\n", "b.yaml", "org: b\n"}, []string{"b.yaml:1:1: org: stands in two files; it is at a.yaml:1:6 already"}},
		"number for text":   {[]string{"a.yaml", "models:\n  - name: x\n    versions: [1.0]\n"}, []string{`a.yaml:3:16: models[0].versions[0]: wrong type: the number "1.0" where a text is expected; write "1.0" in quotes`}},
		"text for number":   {[]string{"a.yaml", "andon: \"1\"\n"}, []string{`a.yaml:1:8: andon: wrong type: the text "1"; write a plain whole number`}},
		"octal":             {[]string{"a.yaml", "andon: 01\n"}, []string{"write a plain whole number"}},
		"infinite":          {[]string{"a.yaml", "fallbacks:\n  - capacity: .inf\n"}, []string{"write a plain number"}},
		"text for bool":     {[]string{"a.yaml", "surfaces:\n  - internal: yes\n"}, []string{"a.yaml:2:15: surfaces[0].internal: wrong type: the text \"yes\"; write true or false"}},
		"map for list":      {[]string{"a.yaml", "models:\n  name: x\n"}, []string{"a.yaml:2:3: models: wrong type: fields where a list is expected"}},
		"list for map":      {[]string{"a.yaml", "models:\n  - [x]\n"}, []string{"a.yaml:2:5: models[0]: wrong type: a list where fields are expected"}},
		"nothing":           {[]string{"a.yaml", "models:\n"}, []string{"models: holds nothing; leave it out, or write []"}},
		"no day":            {[]string{"a.yaml", "review_by: 2027-02-30\n"}, []string{`a.yaml:1:12: review_by: "2027-02-30" is no day of the calendar`}},
		"no duration":       {[]string{"a.yaml", "triggers:\n  - window: 5\n"}, []string{`triggers[0].window: wrong type: the number "5" where a text is expected`}},
		"bare duration":     {[]string{"a.yaml", "triggers:\n  - window: \"5\"\n"}, []string{`triggers[0].window: parse duration "5"`}},
		"zero share":        {[]string{"a.yaml", "playbooks:\n  - steps:\n      - correction: {kind: stop, share: 0}\n"}, []string{"a.yaml:3:41: playbooks[0].steps[0].correction.share: 0 would reach nobody"}},
		"two documents":     {[]string{"a.yaml", "---\norg: a\n---\norg: b\n"}, []string{"a.yaml:4:1: a second document"}},
		"a tag":             {[]string{"a.yaml", "org: !!binary aGk=\n"}, []string{`a.yaml:1:6: the tag "!!binary" is not taken`}},
		"nothing but a tag": {[]string{"a.yaml", "!!!!"}, []string{`a.yaml:1:1: the tag "!!!!" is not taken`}},
		"a directive":       {[]string{"a.yaml", "%YAML 1.2\n---\norg: a\n"}, []string{"a.yaml:1:1: a directive"}},
		"a merge":           {[]string{"a.yaml", "models:\n  - &a {name: x}\n  - <<: *a\n"}, []string{"a.yaml:3:5: models[1]: a merge (<<) is not taken"}},
		"no anchor":         {[]string{"a.yaml", "models: *a\n"}, []string{"the alias *a stands for nothing"}},
		"later anchor":      {[]string{"a.yaml", "models:\n  - name: *a\n  - name: &a x\n"}, []string{"a.yaml:2:11: models[0].name: the alias *a stands for nothing"}},
		"anchor twice":      {[]string{"a.yaml", "org: &a x\nowner: &a y\n"}, []string{"a.yaml:2:8: the anchor &a is there twice"}},
		"its own alias":     {[]string{"a.yaml", "models:\n  - surfaces: &a [*a]\n"}, []string{"models[0].surfaces[0]: the alias *a holds itself"}},
		"not YAML":          {[]string{"a.yaml", "org: [a\n"}, []string{"a.yaml:1:6: not valid YAML"}},
		"a tab":             {[]string{"a.yaml", "models:\n\t- name: x\n"}, []string{"a.yaml:2:1: not valid YAML"}},
		"not UTF-8":         {[]string{"a.yaml", "org: a\nowner: \xff\n"}, []string{"a.yaml:2:8: byte 0xff is not UTF-8"}},
		"UTF-16":            {[]string{"a.yaml", "\xff\xfeo\x00"}, []string{"a.yaml:1:1: byte 0xff is not UTF-8"}},
		"a NUL":             {[]string{"a.yaml", "org: a\x00b\n"}, []string{"a.yaml:1:7: the control character U+0000"}},
		"turned text":       {[]string{"a.yaml", "org: a\u202eb\n"}, []string{"a.yaml:1:7: the character U+202E changes the order"}},
		"mark inside":       {[]string{"a.yaml", "org: a\ufeffb\n"}, []string{"a.yaml:1:7: the invisible character U+FEFF"}},
		"too deep":          {[]string{"a.yaml", "models: " + strings.Repeat("[", 40)}, []string{"a.yaml:1:40: more than 32 levels"}},
		"deep blocks":       {[]string{"a.yaml", strings.Repeat("- ", 40) + "x"}, []string{"a.yaml:1:65: more than 32 levels"}},
		"deep maps":         {[]string{"a.yaml", strings.Repeat("? ", 4000) + "x"}, []string{"more than 32 levels"}},
		"wide map":          {[]string{"a.yaml", strings.Repeat("a: b\n", 50_000)}, []string{"a.yaml:1001:2: a map with more than 1000 names"}},
		"many words":        {[]string{"a.yaml", "models: [" + strings.Repeat("a,", 40_000) + "]"}, []string{"more than 60000 words"}},
		"large file":        {[]string{"a.yaml", strings.Repeat("#", MaxFileBytes+1)}, []string{"a.yaml: has more than 262144 bytes"}},
		"a name no text":    {[]string{"a.yaml", "1: x\n"}, []string{`a name is a plain text; "1" is none`}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Load(folder(tc.files...))
			if err == nil || p != nil {
				t.Fatal("it was taken")
			}
			rest := strings.Split(err.Error(), "\n")
			for _, w := range tc.want {
				i := slices.IndexFunc(rest, func(line string) bool { return strings.Contains(line, w) })
				if i < 0 {
					t.Fatalf("said %q, not %q", rest, w)
				}
				rest = slices.Delete(rest, i, i+1)
			}
			for _, line := range rest { // these are no whole plans
				if !strings.Contains(line, "missing") && !strings.Contains(line, "0 is out of bounds") {
					t.Errorf("said more: %q", line)
				}
			}
		})
	}
}
