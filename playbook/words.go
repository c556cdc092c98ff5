package playbook

import (
	"strings"

	"andon/correction"
)

// Words say what a step is, in one line: "stop L3: model sim-large".
func (s *Step) Words() string {
	switch {
	case s.Correction != nil:
		return CorrectionWords(s.Correction)
	case s.Task != nil:
		return s.Task.Do
	case s.Notice != nil:
		return "tell " + strings.Join(s.Notice.To, ", ") + ": " + s.Notice.Text
	case s.Evidence != nil:
		of := "the models it is about"
		if len(s.Evidence.Models) > 0 {
			of = strings.Join(s.Evidence.Models, ", ")
		}
		return "take a snapshot of " + of
	case s.Decision != nil:
		return s.Decision.Question + " (" + strings.Join(s.Decision.Options, " | ") + ")"
	case s.Wait != 0:
		return "wait " + s.Wait.String()
	}
	return ""
}

// CorrectionWords are a correction in one line.
func CorrectionWords(c *correction.Correction) string {
	what := string(c.Kind)
	switch p := &c.Params; {
	case p.Level != "":
		what += " " + p.Level
	case p.Mode != "":
		what = strings.ReplaceAll(p.Mode, "_", "-")
	case p.Metric != "":
		what = "limit " + p.Metric
	case len(p.Disable) > 0:
		what = "disable " + strings.Join(p.Disable, ", ")
	case len(p.Clamp) > 0:
		what = "clamp"
	case p.Filter != nil:
		what = "filter " + p.Filter.Direction
	case p.Pin != "":
		what = "pin to " + p.Pin
	case p.UseCase != "":
		what = "prohibit " + p.UseCase
	}
	return what + ": " + c.Scope.String()
}

// Taker says who takes the step once it is ready: "the run" does by itself, "the
// clock" when the time has come, and everything else is for people.
func (s *Step) Taker() string {
	switch {
	case s.Correction != nil && !s.Confirm, s.Evidence != nil:
		return TakerRun
	case s.Correction != nil:
		return "somebody who confirms it"
	case s.Wait != 0:
		return TakerClock
	case s.Decision != nil:
		return "somebody who decides"
	case s.Task != nil && s.Task.Who != "":
		return s.Task.Who
	}
	return "somebody"
}

// Who takes steps that no person takes.
const (
	TakerRun   = "the run"
	TakerClock = "the clock"
)
