package plan

import (
	"fmt"
	"testing"

	"andon/correction"
	"andon/playbook"
)

// BenchmarkCheck is a plan of a large developer: 100 models, 200 threats, 60
// playbooks of ten corrections, 40 rosters, 2,000 orgs under terms.
func BenchmarkCheck(b *testing.B) {
	p, o := loadText(b, goodPlan), goodSeen()
	for i := range 100 {
		m := p.Models[0]
		m.Name, m.Derivatives = fmt.Sprint("model-", i), nil
		p.Models = append(p.Models, m)
	}
	for i := range 60 {
		book := playbook.Playbook{Name: fmt.Sprint("book-", i)}
		for j := range 10 {
			book.Steps = append(book.Steps, playbook.Step{Name: fmt.Sprint("s", j), Correction: &correction.Correction{Kind: correction.Stop, Params: correction.Params{Level: "L3"}, Scope: correction.Scope{Models: []string{fmt.Sprint("model-", i+j)}}}})
		}
		p.Playbooks = append(p.Playbooks, book)
	}
	for i := range 200 {
		t := p.Threats[0]
		t.Name, t.Playbooks = fmt.Sprint("threat-", i), []string{fmt.Sprint("book-", i%60), fmt.Sprint("book-", (i+7)%60)}
		p.Threats = append(p.Threats, t)
	}
	for i := range 40 {
		r := p.Rosters[0]
		r.Name, r.TimeZone = fmt.Sprint("roster-", i), []string{"Europe/Berlin", "America/New_York", "Asia/Kolkata"}[i%3]
		p.Rosters = append(p.Rosters, r)
	}
	for i := range 2000 {
		p.Terms[0].Orgs = append(p.Terms[0].Orgs, fmt.Sprint("org-", i))
	}
	if g := (&gate{p: p, seen: &o}); g.tooLarge() != "" {
		b.Log(g.tooLarge())
	}
	b.ReportAllocs()
	for b.Loop() {
		r := Check(p, o, checkedAt)
		if len(r.Matrix.Rows) == 0 {
			b.Fatal(r.Findings[0].Message)
		}
	}
}
