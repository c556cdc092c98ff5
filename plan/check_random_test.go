package plan

import (
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"
)

// Whatever is wrong at once: the figures are those of the findings, what blocks
// stands first, and waiving all that blocks, and nothing less, makes it ready until
// the waivers end.
func TestReportsAddUp(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p, o := loadText(t, goodPlan), goodSeen()
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(gapCases)-1), 0, 6, rapid.ID[int]).Draw(rt, "gaps") {
			if gapCases[i].rule == ruleTooLarge {
				continue
			}
			func() {
				defer func() { _ = recover() }() // a change of what another one has taken away
				gapCases[i].change(world{p, &o})
			}()
		}
		if rapid.Bool().Draw(rt, "offline") {
			o = Observed{}
		}
		r := Check(p, o, checkedAt)
		add := func(r *Report) {
			counts := map[Level]int{}
			waived, last := 0, 0
			for i := range r.Findings {
				f := &r.Findings[i]
				if f.Waiver != nil {
					waived++
				} else {
					counts[f.Level]++
				}
				if n := place(f); n < last {
					rt.Fatalf("%+v stands too late", f)
				} else {
					last = n
				}
			}
			if counts[Blocking] != r.Blocking || counts[Warning] != r.Warnings || counts[Note] != r.Notes || waived != r.Waived || r.Ready != (r.Blocking == 0) {
				rt.Fatalf("%+v", r)
			}
			lost := 0
			for _, f := range r.Findings {
				lost += weight[f.Level]
			}
			if r.Score.Total-r.Score.Passed != lost || r.Score.Value < 0 || r.Score.Value > 100 || (r.Score.Value == 100) != (lost == 0) {
				rt.Fatalf("%+v, %d lost", r.Score, lost)
			}
		}
		add(&r)
		o.Waivers = nil
		for _, f := range r.Findings {
			if f.Level == Blocking {
				o.Waivers = append(o.Waivers, Waiver{ID: "w", Rule: f.Rule, Subject: f.Subject, Until: checkedAt.Add(time.Minute)})
			}
		}
		waived := Check(p, o, checkedAt)
		if add(&waived); !waived.Ready || waived.Score != r.Score || len(waived.Findings) != len(r.Findings) {
			rt.Fatalf("%+v", waived.Findings)
		}
		if after := Check(p, o, checkedAt.Add(time.Minute)); after.Ready != r.Ready && !r.Ready {
			rt.Fatal("waivers outlast their end")
		}
		if len(o.Waivers) > 0 {
			o.Waivers = o.Waivers[1:]
			if Check(p, o, checkedAt).Ready && !slices.ContainsFunc(o.Waivers, func(w Waiver) bool { return w.Subject == r.Findings[0].Subject && w.Rule == r.Findings[0].Rule }) {
				rt.Fatal("ready without a waiver for", r.Findings[0])
			}
		}
	})
}

// A plan that can be loaded can be checked, whatever it says.
func FuzzCheck(f *testing.F) {
	f.Add(goodPlan)
	for _, name := range Examples {
		files, err := Example(name, checkedAt)
		if err != nil {
			continue // one that is not there yet
		}
		text := ""
		for file, data := range files {
			if file != SchemaFile {
				text += string(data) + "\n"
			}
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Load(fstest.MapFS{"plan.yaml": {Data: []byte(text)}})
		if err != nil {
			return
		}
		for _, o := range []Observed{{}, goodSeen()} {
			r := Check(p, o, checkedAt)
			if r.Ready != (r.Blocking == 0) {
				t.Error("ready and blocked")
			}
			if _, err := json.Marshal(r); err != nil {
				t.Error(err)
			}
			if _, err := r.SARIF("plan", "dev"); err != nil {
				t.Error(err)
			}
		}
	})
}
