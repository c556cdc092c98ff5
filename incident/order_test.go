package incident

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

func code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return "other: " + err.Error()
	}
	return ""
}

// reach brings an incident to a status by the way that leads there.
func (d *desk) reach(id string, to Status) {
	d.t.Helper()
	in := d.b.Incident(id)
	if to == StatusOpen {
		return
	}
	d.correct(id, "c-"+id, true)
	for _, s := range []Status{StatusInvestigating, StatusContained, StatusRecovering, StatusResolved} {
		d.do("op-1", on(id, StatusChange{To: s}))
		if s == to {
			return
		}
	}
	d.correct(id, "c-"+id, false)
	d.do("op-1", on(id, Closed{Reason: CloseResolved, Text: "t"}))
	if to == StatusReopened {
		d.do("op-1", on(id, Reopened{Reason: "r"}))
	}
	if in.Status != to {
		d.t.Fatal("did not get there:", in.Status)
	}
}

// TestEveryStatusFromEveryStatus: what is not listed as next is refused, and the
// error names what may follow.
func TestEveryStatusFromEveryStatus(t *testing.T) {
	for _, from := range Statuses {
		for _, to := range Statuses {
			d := newDesk(t)
			d.open(OpenSpec{})
			d.reach("i-1", from)
			err := d.try("op-1", on("i-1", StatusChange{To: to, Reason: "r"}))
			// What contains was lifted on the way to closed, so a reopened incident is not contained; nor is one that was only opened.
			want := slices.Contains(Next[from], to) && !((from == StatusReopened || from == StatusOpen) && to == StatusContained)
			if (err == nil) != want {
				t.Errorf("%s → %s: %v", from, to, err)
			}
			var e *Error
			if err != nil && errors.As(err, &e) && e.Field == "to" && to != StatusClosed && to != StatusReopened && !slices.Contains(Next[from], to) && !slices.Equal(e.Allowed, names(Next[from])) {
				t.Errorf("%s → %s allows %v", from, to, e.Allowed)
			}
		}
	}
	d := newDesk(t)
	d.open(OpenSpec{})
	if c := code(d.try("op-1", on("i-1", StatusChange{To: StatusContained}))); c != CodeState {
		t.Error("contained by nothing:", c)
	}
	d.b.Decided("i-1", Meta{Seq: d.seq, At: d.now})
	d.seq++
	if err := d.try("op-1", on("i-1", StatusChange{To: StatusContained})); err != nil {
		t.Error("a decision contains:", err)
	}
	if c := code(d.try("op-1", on("i-1", StatusChange{To: StatusInvestigating}))); c != CodeField {
		t.Error("went back without a reason:", c)
	}
}

func TestSeverityFollowsHarm(t *testing.T) {
	for harm, floor := range HarmOf {
		for _, status := range []string{"", FactKnown, FactSuspected} {
			for _, s := range append(Severities, "") {
				d := newDesk(t)
				err := d.try("op-1", &Opened{"i-1", OpenSpec{Title: "x", Severity: s, Harm: []Fact{{Harm: harm, Status: status}}}})
				if below := s != "" && floor.Worse(s); (err != nil) != below {
					t.Errorf("%s %s as %s: %v", status, harm, s, err)
				}
				if err == nil && floor.Worse(d.b.Incident("i-1").Severity) {
					t.Errorf("%s %s as %s became %s", status, harm, s, d.b.Incident("i-1").Severity)
				}
			}
		}
	}
	d := newDesk(t)
	in := d.open(OpenSpec{})
	if in.Severity != Sev2 || !in.Assumed {
		t.Error(in.Severity)
	}
	for _, step := range []struct {
		x    SeverityChange
		code string
		is   Severity
	}{
		{SeverityChange{}, CodeField, Sev2},
		{SeverityChange{Severity: "SEV-9"}, CodeField, Sev2},
		{SeverityChange{Severity: Sev4}, CodeField, Sev2}, // no reason
		{SeverityChange{Severity: Sev4, Reason: "a test account"}, "", Sev4},
		{SeverityChange{Harm: []Fact{{Harm: "death", Status: FactSuspected}}}, "", Sev1},
		{SeverityChange{Severity: Sev2, Reason: "unlikely"}, CodeField, Sev1},
		{SeverityChange{Harm: []Fact{{Harm: "death", Status: FactRuledOut}}}, CodeField, Sev1},
		{SeverityChange{Harm: []Fact{{Harm: "death", Status: FactRuledOut}}, Reason: "seen alive"}, "", Sev1},
		{SeverityChange{Severity: Sev3, Reason: "nothing is left of it"}, "", Sev3},
		{SeverityChange{Harm: []Fact{{Harm: "boredom"}}}, CodeField, Sev3},
		{SeverityChange{Harm: []Fact{{Harm: "hazard"}, {Harm: "hazard"}}}, CodeField, Sev3},
	} {
		if err := d.try("op-1", on("i-1", step.x)); code(err) != step.code || in.Severity != step.is {
			t.Errorf("%+v: %v, %s", step.x, err, in.Severity)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	d := newDesk(t)
	d.open(OpenSpec{})                                                                                                                    // i-1
	d.open(OpenSpec{Kind: Exercise})                                                                                                      // i-2
	d.open(OpenSpec{Marking: &Marking{Need: &Need{Operators: []string{"op-1"}}}})                                                         // i-3
	d.open(OpenSpec{Harm: []Fact{{Harm: "death"}}})                                                                                       // i-4
	d.do("op-1", d.b.Receive(SignalSpec{Type: "t", Source: "s", Title: "x"}, Meta{Seq: d.seq, At: d.now, Actor: "op-1"}))                 // s-1, t-1
	d.do("op-1", d.b.Receive(SignalSpec{Type: "t", Source: "s", Title: "x", Exercise: true}, Meta{Seq: d.seq, At: d.now, Actor: "op-1"})) // s-2, t-2
	before := dump(d.b)
	half := .5
	nan := math.NaN()
	long := strings.Repeat("x", MaxText+1)
	for name, tc := range map[string]struct {
		e    Event
		code string
		says string
	}{
		"exercise of a real case":       {&Opened{"i-5", OpenSpec{Title: "x", Kind: Exercise, Cases: []string{"t-1"}}}, CodeField, "never meet"},
		"real of an exercise":           {&Opened{"i-5", OpenSpec{Title: "x", Cases: []string{"t-2"}}}, CodeField, "never meet"},
		"no such case":                  {&Opened{"i-5", OpenSpec{Title: "x", Cases: []string{"t-9"}}}, CodeNotFound, "t-9"},
		"another id":                    {&Opened{"i-7", OpenSpec{Title: "x"}}, CodeField, "next"},
		"no title":                      {&Opened{"i-5", OpenSpec{}}, CodeField, "missing"},
		"title of two lines":            {&Opened{"i-5", OpenSpec{Title: "a\nb"}}, CodeField, "control"},
		"unknown kind":                  {&Opened{"i-5", OpenSpec{Title: "x", Kind: "drill"}}, CodeField, "drill"},
		"RED for everybody":             {&Opened{"i-5", OpenSpec{Title: "x", Marking: &Marking{TLP: "RED"}}}, CodeField, "named people"},
		"need of nobody":                {&Opened{"i-5", OpenSpec{Title: "x", Marking: &Marking{Need: &Need{}}}}, CodeField, "nobody"},
		"unknown label":                 {&Opened{"i-5", OpenSpec{Title: "x", Marking: &Marking{TLP: "WHITE"}}}, CodeField, "WHITE"},
		"merge with itself":             {&Merged{"i-1", "i-1", "r"}, CodeField, "itself"},
		"merge of unlike":               {&Merged{"i-1", "i-2", "r"}, CodeField, "never meet"},
		"merge that tells more":         {&Merged{"i-3", "i-1", "r"}, CodeState, "fewer people"},
		"merge without a reason":        {&Merged{"i-1", "i-4", ""}, CodeField, "missing"},
		"split as another kind":         {&Split{"i-5", "i-1", SplitSpec{OpenSpec: OpenSpec{Title: "x", Kind: Exercise}, Reason: "r"}}, CodeField, "part of"},
		"split of foreign entries":      {&Split{"i-5", "i-1", SplitSpec{OpenSpec: OpenSpec{Title: "x"}, Entries: []uint64{1}, Reason: "r"}}, CodeField, "not on the timeline"},
		"split that tells more":         {&Split{"i-5", "i-3", SplitSpec{OpenSpec: OpenSpec{Title: "x", Marking: &Marking{TLP: "CLEAR"}}, Reason: "r"}}, CodeField, "more people"},
		"false alarm with a death":      {on("i-4", Closed{Reason: CloseFalsePositive, Text: "t"}), CodeState, "facts of harm"},
		"near miss with a death":        {on("i-4", NearMiss{Barrier: "b", Pattern: "p"}), CodeState, "harm"},
		"near miss not told":            {on("i-1", Closed{Reason: CloseNearMiss, Text: "t"}), CodeState, "not recorded"},
		"no action, no decision":        {on("i-1", Closed{Reason: CloseNoAction, Text: "t"}), CodeState, "decision"},
		"resolved while open":           {on("i-1", Closed{Reason: CloseResolved, Text: "t"}), CodeState, "not resolved"},
		"duplicate of itself":           {on("i-1", Closed{Reason: CloseDuplicate, Text: "t", Of: "i-1"}), CodeField, "leads back"},
		"duplicate of nothing":          {on("i-1", Closed{Reason: CloseDuplicate, Text: "t"}), CodeField, "of"},
		"exercise ended, which is real": {on("i-1", Closed{Reason: CloseExercise, Text: "t"}), CodeField, "real"},
		"resolved, which is practised":  {on("i-2", Closed{Reason: CloseResolved, Text: "t"}), CodeField, "exercise"},
		"owner of nothing":              {on("i-1", Closed{Reason: CloseBenign, Text: "t", Owners: map[string]string{"c-1": "op-1"}}), CodeField, "c-1"},
		"nobody leads":                  {on("i-1", RoleChange{Role: Commander, Operator: "op-1", End: true}), CodeState, "nobody"},
		"leads already":                 {on("i-1", RoleChange{Role: Commander, Operator: "op-1"}), CodeState, "already"},
		"ends what is not":              {on("i-1", RoleChange{Role: "scribe", Operator: "op-2", End: true}), CodeState, "not scribe"},
		"unknown role":                  {on("i-1", RoleChange{Role: "boss", Operator: "op-2"}), CodeField, "boss"},
		"reopen what is open":           {on("i-1", Reopened{Reason: "r"}), CodeState, "not closed"},
		"confidence":                    {on("i-1", HypothesisChange{Text: "x", Confidence: &nan}), CodeField, "out of bounds"},
		"no hypothesis":                 {on("i-1", HypothesisChange{ID: "h-1", Confidence: &half}), CodeNotFound, "h-1"},
		"evidence of somebody else":     {on("i-1", HypothesisChange{Text: "x", For: []Evidence{{Text: "e", By: "op-9"}}}), CodeField, "control plane"},
		"time without zone":             {on("i-1", TimeChange{Name: "started_at", Value: "2026-01-02T03:04", Reason: "r"}), CodeField, "zone"},
		"started in the future":         {on("i-1", TimeChange{Name: "started_at", Value: "2999", Reason: "r"}), CodeField, "in the future for started_at"},
		"aware in the future":           {on("i-1", TimeChange{Name: "aware_at", Value: "2999", Status: "estimated", Reason: "r"}), CodeField, "in the future"},
		"known to end in the future":    {on("i-1", TimeChange{Name: "ended_at", Value: "2999", Reason: "r"}), CodeField, "in the future"},
		"unknown time with a value":     {on("i-1", TimeChange{Name: "started_at", Value: "2026", Status: "unknown", Reason: "r"}), CodeField, "value"},
		"known without a value":         {on("i-1", TimeChange{Name: "started_at", Reason: "r"}), CodeField, "value"},
		"finer than it is written":      {on("i-1", TimeChange{Name: "started_at", Value: "2026", Precision: "day", Reason: "r"}), CodeField, "finer"},
		"no such time":                  {on("i-1", TimeChange{Name: "lunch_at", Value: "2026", Reason: "r"}), CodeField, "lunch_at"},
		"note of nothing":               {on("i-1", Note{Text: " \n"}), CodeField, "missing"},
		"note too long":                 {on("i-1", Note{Text: long}), CodeField, "at most"},
		"note, both here and apart":     {on("i-1", Note{Text: "x", Commitment: "c", Personal: true}), CodeField, "apart"},
		"file with a path":              {on("i-1", Attached{Name: "a/../b", Media: "text/plain", Size: 1, SHA256: strings.Repeat("0", 64)}), CodeField, "plain name"},
		"file too large":                {on("i-1", Attached{Name: "a", Media: "text/plain", Size: MaxAttachment + 1, SHA256: strings.Repeat("0", 64)}), CodeField, "bytes"},
		"file of no kind":               {on("i-1", Attached{Name: "a", Media: "text/html", Size: 1, SHA256: strings.Repeat("0", 64)}), CodeField, "text/html"},
		"marking without a reason":      {on("i-3", Marked{Marking: &Marking{TLP: "AMBER"}}), CodeField, "missing"},
		"marking of another's entry":    {on("i-1", Marked{Marking: &Marking{TLP: "AMBER"}, Entry: new(uint64(1))}), CodeNotFound, "timeline"},
		"step on nothing":               {on("i-9", Note{Text: "x"}), CodeNotFound, "i-9"},
		"case closed as nothing":        {&CaseClosed{Case: "t-1", Reason: "whatever", Text: "t"}, CodeField, "whatever"},
		"case ended as an exercise":     {&CaseClosed{Case: "t-1", Reason: "exercise_ended", Text: "t"}, CodeField, "real"},
		"case that doubles itself":      {&CaseClosed{Case: "t-1", Reason: "duplicate", Of: "t-1", Text: "t"}, CodeField, "leads back"},
		"case into an exercise":         {&CaseJoined{"t-1", "i-2", "r"}, CodeField, "never meet"},
		"signals of unlike":             {&CaseGrouped{"t-1", []string{"s-2"}}, CodeField, "never meet"},
		"signal in the future":          {&SignalReceived{"s-3", "t-3", SignalSpec{Type: "t", Source: "s", Title: "x", ObservedAt: d.now.Add(2 * time.Hour)}}, CodeField, "future"},
		"data that is no object":        {&SignalReceived{"s-3", "t-3", SignalSpec{Type: "t", Source: "s", Title: "x", Data: []byte(`[1]`)}}, CodeField, "object"},
		"signal into another's case":    {&SignalReceived{"s-3", "t-2", SignalSpec{Type: "t", Source: "s", Title: "x"}}, CodeState, "takes in no"},
	} {
		err := d.try("op-2", tc.e)
		if code(err) != tc.code || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %q %v", name, code(err), err)
		}
	}
	if dump(d.b) != before {
		t.Error("something was changed by what was refused")
	}
}

// TestAnOlderRecordWithATimeToComeFolds: it was taken, with a warning.
func TestAnOlderRecordWithATimeToComeFolds(t *testing.T) {
	d := newDesk(t)
	d.open(OpenSpec{})
	e := on("i-1", TimeChange{Name: "started_at", Value: "2999", Reason: "a slip"})
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.b.Fold(Meta{Seq: d.seq, At: d.now, Actor: "op-1"}, e.Type(), body); err != nil {
		t.Error(err)
	}
}

func TestMergeAndSplit(t *testing.T) {
	d := newDesk(t)
	d.open(OpenSpec{Harm: []Fact{{Harm: "limited_harm"}}})
	d.open(OpenSpec{Harm: []Fact{{Harm: "rights"}}, Subject: Subject{Models: []string{"m"}}})
	d.open(OpenSpec{Severity: Sev4})
	d.correct("i-2", "c-1", true)
	d.do("op-2", on("i-2", Note{Text: "n"}))
	d.do("op-1", &Merged{"i-2", "i-1", "the same"})
	d.do("op-1", &Merged{"i-1", "i-3", "the same, too"})
	a, b, c := d.b.Incident("i-1"), d.b.Incident("i-2"), d.b.Incident("i-3")
	if d.b.Root("i-2") != c || a.Status != StatusClosed || b.Lead() != "" || c.Severity != Sev2 || len(c.Harm) != 2 || !slices.Contains(c.Subject.Models, "m") || len(d.b.Family("i-3")) != 3 {
		t.Fatalf("%+v", c)
	}
	for _, e := range []Event{on("i-2", Note{Text: "x"}), &Merged{"i-3", "i-2", "r"}, &Merged{"i-2", "i-3", "r"}, on("i-1", StatusChange{To: StatusInvestigating})} {
		if err := d.try("op-1", e); code(err) != CodeState || !strings.Contains(err.Error(), "merged") {
			t.Errorf("%v", err)
		}
	}
	// The correction of the merged one contains, and stands against closing.
	d.do("op-1", on("i-3", StatusChange{To: StatusContained}))
	if missing := d.b.Open(c, nil); len(missing) != 1 {
		t.Error(missing)
	}
	d.do("op-1", &Split{"i-4", "i-2", SplitSpec{OpenSpec: OpenSpec{Title: "apart again"}, Entries: b.Entries[:2], Corrections: []string{"c-1"}, Reason: "not the same"}})
	x := d.b.Incident("i-4")
	if x.SplitFrom != "i-2" || d.b.IncidentOf("c-1") != "i-4" || len(x.Entries) != 3 || len(d.b.Open(c, nil)) != 0 || !slices.Contains(b.Splits, "i-4") {
		t.Fatalf("%+v", x)
	}
	d.correct("i-2", "c-1", false) // the entry still names the incident it was made in
	if x.Corrections[0].Stands || len(b.Corrections) != 0 {
		t.Error("a correction that moved is looked for where it was")
	}
}

// TestAMergeIsUndone: whoever is reopened has what it had, and the other keeps what
// was said of it; who may not know of the other is not told its name.
func TestAMergeIsUndone(t *testing.T) {
	d := newDesk(t)
	d.open(OpenSpec{Harm: []Fact{{Harm: "rights"}}})
	d.open(OpenSpec{Severity: Sev4, Marking: &Marking{TLP: "RED", Need: &Need{Operators: []string{"op-1"}}}})
	d.correct("i-1", "c-1", true)
	d.do("op-1", &Merged{"i-1", "i-2", "the same"})
	a, b := d.b.Incident("i-1"), d.b.Incident("i-2")
	merge := a.Entries[len(a.Entries)-1]
	for who, tells := range map[string]bool{"op-1": true, "op-2": false} {
		if r := (Reader{ID: who}); d.b.Tells(r, a, merge) != tells || !d.b.Tells(r, a, a.Entries[0]) {
			t.Errorf("%s is told of the merge: %t", who, !tells)
		}
	}
	if err := d.try("op-2", on("i-1", Note{Text: "x"})); code(err) != CodeState || strings.Contains(fmt.Sprint(err), "i-2") {
		t.Error(err)
	}
	d.do("op-1", on("i-1", Reopened{Reason: "not the same"}))
	if a.MergedInto != "" || a.Status != StatusReopened || a.Lead() != "op-1" || len(b.Merged) != 0 || d.b.Root("i-1") != a || len(d.b.Family("i-2")) != 1 {
		t.Fatalf("%+v\n%+v", a, b)
	}
	if len(a.Corrections) != 1 || d.b.IncidentOf("c-1") != "i-1" || b.Severity != Sev2 || a.Entries[len(a.Entries)-1] != b.Entries[len(b.Entries)-1] {
		t.Fatalf("%+v\n%+v", a, b)
	}
	if d.b.Tells(Reader{ID: "op-2"}, a, merge) {
		t.Error("once it is undone, the merge is told")
	}
	d.do("op-1", on("i-1", StatusChange{To: StatusContained})) // by its own correction
	if d.try("op-1", on("i-2", StatusChange{To: StatusContained})) == nil {
		t.Error("contained by what is no longer of it")
	}
}

func TestTimes(t *testing.T) {
	d := newDesk(t)
	in := d.open(OpenSpec{})
	for _, tc := range []struct{ value, precision, begins string }{
		{"2026", "year", "2026-01-01T00:00:00Z"}, {"2026-11", "month", "2026-11-01T00:00:00Z"}, {"2026-11-19", "day", "2026-11-19T00:00:00Z"},
		{"2026-11-19T15+02:00", "hour", "2026-11-19T13:00:00Z"}, {"2026-11-19T13:30Z", "minute", "2026-11-19T13:30:00Z"}, {"2026-11-19T13:30:05Z", "second", "2026-11-19T13:30:05Z"},
	} {
		d.do("op-2", on("i-1", TimeChange{Name: "started_at", Value: tc.value, Reason: "logs"}))
		got, _ := in.Time("started_at")
		if got.Precision != tc.precision || got.Value.Format(time.RFC3339) != tc.begins || got.By != "op-2" || got.Reason != "logs" {
			t.Errorf("%s: %+v", tc.value, got)
		}
	}
	if n := len(in.Times[slices.IndexFunc(in.Times, func(t TimeHeld) bool { return t.Name == "started_at" })].History); n != 6 {
		t.Error("history of", n)
	}
	// Contained before it started, as far as that is known.
	for _, tc := range []struct {
		value string
		warns bool
	}{{"2026-11-18", true}, {"2026-11-19", false}, {"2026-11", false}, {"2026-11-19T13:30:04Z", true}, {"2026-11-19T13:30Z", false}, {"2027", true}} {
		d.do("op-1", on("i-1", TimeChange{Name: "contained_at", Value: tc.value, Reason: "r", Status: "estimated"}))
		if got := in.TimeWarnings(d.now); (len(got) > 0) != tc.warns {
			t.Errorf("%s: %v", tc.value, got)
		}
	}
	d.do("op-1", on("i-1", TimeChange{Name: "contained_at", Status: "unknown", Reason: "lost"}))
	if got := in.TimeWarnings(d.now); len(got) != 0 {
		t.Error(got)
	}
	// A person's word is not overwritten by what follows from a status.
	d.correct("i-1", "c-1", true)
	d.do("op-1", on("i-1", StatusChange{To: StatusContained}))
	if got, _ := in.Time("contained_at"); got.Status != "unknown" {
		t.Errorf("%+v", got)
	}
}

func TestWhoSees(t *testing.T) {
	d := newDesk(t)
	in := d.open(OpenSpec{Marking: &Marking{TLP: "RED", Need: &Need{Operators: []string{"op-4"}, Teams: []string{"safety"}, Roles: []string{"approver"}}}})
	d.do("op-1", on("i-1", RoleChange{Role: "scribe", Operator: "op-5"}))
	for _, tc := range []struct {
		r    Reader
		sees bool
	}{
		{Reader{ID: "op-1"}, true}, {Reader{ID: "op-4"}, true}, {Reader{ID: "op-5"}, true}, {Reader{ID: "op-6"}, false}, {Reader{ID: "op-6", Teams: []string{"safety"}}, true},
		{Reader{ID: "op-6", Roles: setOf("approver")}, true}, {Reader{ID: "op-6", Roles: setOf("commander")}, false}, {Reader{ID: "op-6", Roles: setOf("auditor")}, true},
		{Reader{ID: "op-6", Roles: setOf("administrator")}, true},
	} {
		if d.b.Sees(tc.r, in) != tc.sees {
			t.Errorf("%+v", tc)
		}
	}
	d.do("op-1", on("i-1", RoleChange{Role: "scribe", Operator: "op-5", End: true}))
	if d.b.Sees(Reader{ID: "op-5"}, in) {
		t.Error("whoever had a part once sees it for ever")
	}
	d.do("op-1", on("i-1", Note{Text: "n", Marking: &Marking{Need: &Need{Operators: []string{"op-4"}}}}))
	seq := in.Entries[len(in.Entries)-1]
	for id, reads := range map[string]bool{"op-4": true, "op-1": true, "op-7": false} {
		if in.Reads(Reader{ID: id}, seq) != reads {
			t.Error(id)
		}
	}
}

func TestOutcomes(t *testing.T) {
	d := newDesk(t)
	for i, reason := range []string{"true_positive", "false_positive", "benign", "test", "", "exercise"} {
		d.do("op-1", d.b.Receive(SignalSpec{Type: "t", Source: "det", Title: "x", Exercise: reason == "exercise"}, Meta{Seq: d.seq, At: d.now, Actor: "op-1"}))
		if k := d.b.caseList[i]; reason != "" && reason != "exercise" {
			d.do("op-1", &CaseClosed{Case: k.ID, Reason: reason, Text: "t"})
		} else if reason == "exercise" {
			d.do("op-1", &CaseClosed{Case: k.ID, Reason: "false_positive", Text: "t"})
		}
	}
	got := d.b.Outcomes(func(*Case) bool { return true })
	if len(got) != 1 || got[0].Cases != 5 || got[0].Open != 1 || got[0].Precision == nil || math.Abs(*got[0].Precision-1./3) > 1e-9 {
		t.Fatalf("%+v", got)
	}
	if got := d.b.Outcomes(func(*Case) bool { return false }); len(got) != 0 {
		t.Error("counts tell what is not to be seen")
	}
	d.do("op-1", &Opened{"i-1", OpenSpec{Title: "x", Cases: []string{"t-5"}}})
	d.do("op-1", on("i-1", Closed{Reason: CloseFalsePositive, Text: "t"}))
	if got := d.b.Outcomes(func(*Case) bool { return true }); math.Abs(*got[0].Precision-.25) > 1e-9 {
		t.Errorf("an incident that was none still counts as right: %+v", got)
	}
}
