package detect

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The benchmarks read real prose: 500 answers to users' prompts. The literals
// are cut out of other texts of that set, the prompts, at the beginnings of
// words, so that the text shares many long beginnings with them.
const arena = "../../shared/data/arena-hard"

func lines(b testing.TB, name string, each func(line []byte)) {
	f, err := os.Open(filepath.Join(arena, name))
	if err != nil {
		b.Skipf("NOT RUN: the prompts and answers are not at %s", arena)
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

// phrases are n different ones of 16 to 24 bytes.
func phrases(b testing.TB, n int) (out []string) {
	var all []string
	lines(b, "arena-hard-v2.0__question.jsonl", func(line []byte) {
		var q struct{ Prompt string }
		if err := json.Unmarshal(line, &q); err != nil {
			b.Fatal(err)
		}
		for i := 0; ; {
			at := strings.IndexByte(q.Prompt[i:], ' ')
			if at < 0 || i+at+25 > len(q.Prompt) {
				break
			}
			i += at + 1
			if p := strings.ToValidUTF8(q.Prompt[i:i+16+i%9], ""); len(p) >= 16 {
				all = append(all, p)
			}
		}
	})
	seen := map[string]bool{}
	for i := 0; len(out) < n; i++ {
		if i == len(all) {
			b.Fatalf("only %d phrases", len(out))
		}
		p := all[i*7919%len(all)]
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}

func scan(b *testing.B, set *Set, text []byte, size int) {
	sc := set.Scanner()
	matches := 0
	pass := func() {
		sc.Reset(set)
		for at := 0; at < len(text); at += size {
			for _, ok := sc.Write(text[at:min(at+size, len(text))]); ok; _, ok = sc.Next() {
				matches++
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
	b.ReportMetric(float64(matches)/float64(b.N), "matches/op")
}

func BenchmarkScan10000(b *testing.B) {
	text := prose(b)
	words := phrases(b, 10_000)
	for _, bm := range []struct {
		name string
		fold bool
		size int
	}{{"64B", false, 64}, {"4KiB", false, 4096}, {"fold/64B", true, 64}, {"fold/4KiB", true, 4096}} {
		b.Run(bm.name, func(b *testing.B) {
			set, err := Compile(Spec{Literals: words, Fold: bm.fold})
			if err != nil {
				b.Fatal(err)
			}
			scan(b, set, text, bm.size)
		})
	}
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
	words := phrases(b, 10_000)
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
