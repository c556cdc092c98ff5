package incident

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// TellDecision says in words what an entry about a decision says. d is the
// decision, if it is there: its entries name options by number alone.
func TellDecision(kind string, body jsontext.Value, d *Decision) Told {
	e, err := ReadDecision(kind, body)
	if err != nil || e == nil {
		return Told{Text: kind}
	}
	id, _ := e.Of()
	option := func(n int) string {
		if d == nil || d.Option(n) == nil {
			return fmt.Sprintf("option %d", n)
		}
		return fmt.Sprintf("option %d, %s", n, d.Option(n).Title)
	}
	t := Told{Refs: []string{id}}
	switch e := e.(type) {
	case *DecisionOpened:
		t.Text = fmt.Sprintf("%s to be decided by %s: %s (%d options; default %s)", id, e.Deadline.UTC().Format(time.RFC3339), e.Question, len(e.Options), e.Options[e.Default-1].Title)
	case *DecisionCompared:
		t.Text = id + ": its options were compared anew"
	case *DecisionMadeBody:
		t.Text = id + " decided by " + e.By + ": " + option(e.Option) + ": " + e.Rationale
		if e.Auto {
			t.Text = id + ": " + option(e.Option) + ": " + e.Rationale
		}
		t.Refs = append(append(t.Refs, e.Applied...), e.Lifted...)
	case *DecisionOverdue:
		t.Text = id + " is overdue, and its default is not carried out: " + e.Why
	case *Dissented:
		t.Text = "dissent on " + id
		if e.Prefer != 0 {
			t.Text += " (for " + option(e.Prefer) + ")"
		}
		t.Text += ": " + e.Text
	case *CriterionTicked:
		what := "met"
		if e.Unmet {
			what = "not met any more"
		}
		text := fmt.Sprint(e.Criterion)
		if d != nil && e.Criterion <= len(d.Criteria) {
			text = quote(d.Criteria[e.Criterion-1].Text)
		}
		t.Text = id + ": criterion " + text + " " + what + ": " + e.Evidence
	}
	return t
}
