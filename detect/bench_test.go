package detect

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The benchmarks read real prose: 500 answers to users' prompts. The literals
// are cut out of other prompts at the beginnings of words, so that the text
// shares many long beginnings with them.
const data = "../../shared/data"

func lines(b testing.TB, name string, each func(line []byte)) {
	f, err := os.Open(filepath.Join(data, "arena-hard", name))
	if err != nil {
		b.Skipf("NOT RUN: the prompts and answers are not at %s", data)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		each(in.Bytes())
	}
	if in.Err() != nil {
		b.Fatal(in.Err())
	}
}

// prose is 1 MiB of answers.
func prose(b testing.TB) []byte {
	var out []byte
	lines(b, "arena-hard-v0.1__model_answer__gpt-4-0613.jsonl", func(line []byte) {
		var a struct {
			Messages []struct{ Content any }
		}
		if err := json.Unmarshal(line, &a); err != nil {
			b.Fatal(err)
		}
		for _, m := range a.Messages {
			if c, ok := m.Content.(map[string]any); ok {
				out = append(append(out, c["answer"].(string)...), '\n')
			}
		}
	})
	return out[:min(len(out), 1<<20)]
}

// hazards are the prompts of a set that tests models for hazards: what a list
// of forbidden phrases is made of. Nothing of them is printed.
func hazards(b testing.TB) (prompts []string) {
	names, _ := filepath.Glob(filepath.Join(data, "ailuminate-demo", "*.csv"))
	if len(names) != 1 {
		b.Skipf("NOT RUN: the hazard prompts are not at %s", data)
	}
	f, err := os.Open(names[0])
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		b.Fatal(err)
	}
	for _, row := range rows[1:] {
		prompts = append(prompts, row[1])
	}
	return prompts
}

// questions are ordinary prompts, on the same matters as the prose.
func questions(b testing.TB) (prompts []string) {
	lines(b, "arena-hard-v2.0__question.jsonl", func(line []byte) {
		var q struct{ Prompt string }
		if err := json.Unmarshal(line, &q); err != nil {
			b.Fatal(err)
		}
		prompts = append(prompts, q.Prompt)
	})
	return prompts
}

// phrases cuts n different ones of 16 to 24 bytes out of prompts.
func phrases(b testing.TB, n int, prompts []string) (out []string) {
	var all []string
	for _, q := range prompts {
		for i := 0; ; {
			at := strings.IndexByte(q[i:], ' ')
			if at < 0 || i+at+25 > len(q) {
				break
			}
			i += at + 1
			if p := strings.ToValidUTF8(q[i:i+16+i%9], ""); len(p) >= 16 {
				all = append(all, p)
			}
		}
	}
	seen := map[string]bool{}
	for i := 0; len(out) < n; i++ {
		if i == len(all) {
			b.Fatalf("only %d phrases", len(out))
		}
		if p := all[i*7919%len(all)]; !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}

// scan reports, besides the mean, what the fastest reading of each piece of the
// text makes together: the speed while nothing else runs on the core.
func scan(b *testing.B, set *Set, text []byte, size int) {
	const piece = 32 << 10
	sc := set.Scanner()
	matches, pending := 0, 0
	fastest := make([]time.Duration, len(text)/piece)
	text = text[:len(fastest)*piece]
	pass := func() {
		sc.Reset(set)
		for i := range fastest {
			part, from := text[i*piece:(i+1)*piece], time.Now()
			for at := 0; at < piece; at += size {
				for _, ok := sc.Write(part[at : at+size]); ok; _, ok = sc.Next() {
					matches++
				}
				pending = max(pending, sc.Pending())
			}
			if d := time.Since(from); d < fastest[i] || fastest[i] == 0 {
				fastest[i] = d
			}
		}
		for _, ok := sc.End(); ok; _, ok = sc.Next() {
			matches++
		}
	}
	pass()
	matches = 0
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		pass()
	}
	sum := time.Duration(0)
	for _, d := range fastest {
		sum += d
	}
	b.ReportMetric(float64(len(text))/sum.Seconds()/1e6, "quiet-MB/s")
	b.ReportMetric(float64(matches)/float64(b.N), "matches/op")
	b.ReportMetric(float64(pending), "held-B") // at most, after a chunk
}

func BenchmarkScan10000(b *testing.B) {
	text := prose(b)
	for _, bm := range []struct {
		name    string
		prompts []string
		fold    bool
		size    int
	}{
		{"64B", hazards(b), false, 64}, {"4KiB", hazards(b), false, 4096},
		{"fold/64B", hazards(b), true, 64}, {"fold/4KiB", hazards(b), true, 4096},
		{"near/64B", questions(b), false, 64}, {"near/4KiB", questions(b), false, 4096},
	} {
		b.Run(bm.name, func(b *testing.B) {
			set, err := Compile(Spec{Literals: phrases(b, 10_000, bm.prompts), Fold: bm.fold})
			if err != nil {
				b.Fatal(err)
			}
			scan(b, set, text, bm.size)
		})
	}
	b.Run("short/4KiB", func(b *testing.B) { // a literal that is too short for the filter
		set, err := Compile(Spec{Literals: append(phrases(b, 9_999, hazards(b)), "zqx")})
		if err != nil {
			b.Fatal(err)
		}
		scan(b, set, text, 4096)
	})
}

func BenchmarkScanRegexps(b *testing.B) {
	text := prose(b)
	for name, exprs := range map[string][]string{
		"card":  {`\b(?:\d[ -]?){13,19}\b`},
		"key":   {`\bsk-[A-Za-z0-9_-]{20,64}`},
		"email": {`(?i)\b[a-z0-9._%+-]{1,64}@[a-z0-9.-]{1,100}\.[a-z]{2,24}\b`},
		"words": {`(?i)\bforbidden\s{1,3}(?:phrase|passage)s?\b`, `(?i)\b(?:secret|hidden)\s{1,3}recipe\b`},
		"wild":  {`x.{0,200}y`},
	} {
		b.Run(name, func(b *testing.B) {
			set, err := Compile(Spec{Regexps: exprs})
			if err != nil {
				b.Fatal(err)
			}
			scan(b, set, text, 4096)
		})
	}
}

func BenchmarkCompile10000(b *testing.B) {
	words := phrases(b, 10_000, hazards(b))
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		set, err := Compile(Spec{Literals: words, Fold: true})
		if err != nil {
			b.Fatal(err)
		}
		size = set.lits.size()
	}
	b.ReportMetric(float64(size), "set-B")
}
