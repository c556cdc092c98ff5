package incident

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Told is an entry as a line of the timeline.
type Told struct {
	Text       string
	Refs       []string
	Commitment string // of a text that is kept apart: it belongs to Text
	Personal   bool
}

// Tell says in words what an entry of this room says. It needs nothing but the
// entry; an entry that it cannot read is told by its type.
func Tell(kind string, body jsontext.Value) Told {
	e, err := Read(kind, body)
	if err != nil || e == nil {
		return Told{Text: kind}
	}
	switch e := e.(type) {
	case *SignalReceived:
		return Told{Text: join("signal "+e.Signal+" from "+e.Source+" ("+e.SignalSpec.Type+"): "+e.Title, e.Text)}
	case *SignalRepeated:
		return Told{Text: "signal " + e.Signal + " came again"}
	case *CaseOpened:
		return Told{Text: join("opened case "+e.Case+": "+e.Title, e.Text)}
	case *CaseGrouped:
		return Told{Text: "took " + strings.Join(e.Signals, ", ") + " into " + e.Case}
	case *CaseAssessed:
		return Told{Text: join("assessed "+e.Case, e.Text)}
	case *CaseClosed:
		return Told{Text: join("closed "+e.Case+" as "+e.Reason+of(e.Of), e.Text)}
	case *CaseReopened:
		return Told{Text: join("reopened "+e.Case, e.Reason)}
	case *CaseJoined:
		return Told{Text: join("made "+e.Case+" part of "+e.Incident, e.Reason)}
	case *Opened:
		return Told{Text: join("opened "+e.Incident+": "+e.Title+factsTold(e.Harm), e.Text)}
	case *Merged:
		return Told{Text: join("merged "+e.Incident+" into "+e.Into, e.Reason)}
	case *Split:
		return Told{Text: join("split "+e.Incident+" off "+e.From+": "+e.Title, e.Reason)}
	case *On[Note]:
		return Told{Text: e.Step.Text, Refs: e.Step.Refs, Commitment: e.Step.Commitment, Personal: e.Step.Personal}
	case *On[StatusChange]:
		return Told{Text: join("status "+string(e.Step.To), e.Step.Reason)}
	case *On[SeverityChange]:
		s := "severity"
		if e.Step.Severity != "" {
			s += " " + string(e.Step.Severity)
		}
		return Told{Text: join(s+factsTold(e.Step.Harm), e.Step.Reason)}
	case *On[RoleChange]:
		if e.Step.End {
			return Told{Text: join(e.Step.Operator+" is no longer "+string(e.Step.Role), e.Step.Text)}
		}
		return Told{Text: join(e.Step.Operator+" is "+string(e.Step.Role), e.Step.Text)}
	case *On[TimeChange]:
		v := e.Step.Value
		if v == "" {
			v = "unknown"
		} else if e.Step.Status == "estimated" {
			v += ", estimated"
		}
		return Told{Text: join(e.Step.Name+" "+v, e.Step.Reason)}
	case *On[HypothesisChange]:
		return hypothesisTold(&e.Step)
	case *On[TaskChange]:
		x := e.Step
		s := "task"
		if x.ID != "" {
			s += " " + x.ID
		}
		if x.Status != "" {
			s += " " + x.Status
		}
		if x.Owner != "" {
			s += ", for " + x.Owner
		}
		return Told{Text: join(join(s, x.Text), x.Reason)}
	case *On[Attached]:
		return Told{Text: join(fmt.Sprintf("attached %s (%s, %d bytes, sha256 %s)", e.Step.Name, e.Step.Media, e.Step.Size, e.Step.SHA256), e.Step.Text)}
	case *On[Detached]:
		return Told{Text: join("removed the file "+e.Step.Attachment, e.Step.Reason)}
	case *On[Marked]:
		s := "marking TLP:" + string(e.Step.Marking.Label())
		if e.Step.Entry != nil {
			s = fmt.Sprintf("entry %d: %s", *e.Step.Entry, s)
		}
		if e.Step.Marking != nil && e.Step.Marking.Need != nil {
			s += ", need to know"
		}
		return Told{Text: join(s, e.Step.Reason)}
	case *On[Described]:
		return Told{Text: join("described anew", e.Step.Title)}
	case *On[NearMiss]:
		return Told{Text: join("near miss: "+e.Step.Pattern+"; stopped by "+e.Step.Barrier, e.Step.Text)}
	case *On[Closed]:
		return Told{Text: join("closed as "+e.Step.Reason+of(e.Step.Of), e.Step.Text)}
	case *On[Reopened]:
		return Told{Text: join("reopened", e.Step.Reason)}
	}
	return Told{Text: kind}
}

func hypothesisTold(x *HypothesisChange) Told {
	s := "hypothesis"
	if x.ID != "" {
		s += " " + x.ID
	}
	if x.Status != "" {
		s += " " + x.Status
	}
	if x.Confidence != nil {
		s += fmt.Sprintf(" (%.2f, %s)", *x.Confidence, Words(*x.Confidence))
	}
	out := Told{Text: join(join(s, x.Text), x.Reason)}
	for _, l := range []struct {
		word string
		list []Evidence
	}{{"for", x.For}, {"against", x.Against}} {
		for _, e := range l.list {
			out.Text += "; " + l.word + " it: " + e.Text
			if e.Ref != "" {
				out.Refs = append(out.Refs, e.Ref)
			}
		}
	}
	return out
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + ": " + b
}

func of(id string) string {
	if id == "" {
		return ""
	}
	return " of " + id
}

func factsTold(facts []Fact) string {
	var out []string
	for _, f := range facts {
		s := strings.ReplaceAll(string(f.Harm), "_", " ")
		if f.Status != "" && f.Status != FactKnown {
			s += " " + strings.ReplaceAll(f.Status, "_", " ")
		}
		out = append(out, join(s, f.Text))
	}
	if len(out) == 0 {
		return ""
	}
	return " (" + strings.Join(out, ", ") + ")"
}
