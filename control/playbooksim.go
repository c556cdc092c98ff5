package control

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"andon/authority"
	"andon/playbook"
)

// simulateTime bounds a whole simulation: each correction of it is a preview.
const simulateTime = time.Minute

// simulation asks how a run would go.
type simulation struct {
	Vars     map[string]string `json:"vars,omitempty"`
	Incident string            `json:"incident,omitempty"`
	At       time.Time         `json:"at,omitzero"`       // when it would begin; default now
	Choices  map[string]string `json:"choices,omitempty"` // of decisions, by step; else their default
}

// simulationView is how a run would go. Nothing of it was applied.
type simulationView struct {
	Playbook string            `json:"playbook"`
	Digest   string            `json:"digest"`
	Start    time.Time         `json:"start"`
	Earliest time.Time         `json:"earliest"` // through, if people act at once
	Latest   time.Time         `json:"latest"`   // through, if they use up what time they have
	Critical []string          `json:"critical"` // the steps that decide about earliest, in order
	Steps    []simulatedStep   `json:"steps"`
	StopGap  *simulatedStopGap `json:"stop_gap,omitempty"`
	Refused  []string          `json:"refused"` // steps that would be refused as things are, with why
	Exit     []string          `json:"exit"`
}

// simulatedStep is one step of the walk.
type simulatedStep struct {
	Step     string               `json:"step"`
	Kind     string               `json:"kind"`
	What     string               `json:"what"`
	Who      string               `json:"who"`
	State    string               `json:"state"` // done, or passed over
	Earliest time.Time            `json:"earliest"`
	Latest   time.Time            `json:"latest"`
	Critical bool                 `json:"critical"`
	Effect   *simulatedCorrection `json:"effect,omitempty"`
}

// simulatedCorrection is what a correction would do, and what it would take.
type simulatedCorrection struct {
	Refused   string           `json:"refused,omitempty"` // why it would be, now and by whom asks
	Code      string           `json:"code,omitempty"`
	Preview   *previewView     `json:"preview,omitempty"` // blast radius
	Roles     []authority.Role `json:"roles"`             // who may apply it
	Approvals int              `json:"approvals"`         // how many others ratify it afterwards
	Rules     []string         `json:"rules"`
}

type simulatedStopGap struct {
	For         string                `json:"for"`
	Then        string                `json:"then"`
	DecideBy    time.Time             `json:"decide_by"`
	ExpiresAt   time.Time             `json:"expires_at"`
	Corrections []simulatedCorrection `json:"corrections"`
	What        []string              `json:"what"`
}

// postSimulate walks a playbook through with a clock of its own. Every correction
// is previewed by the enforcement points, and held against the rules for whoever
// asks; nothing is applied.
func (c *Control) postSimulate(cl *call) error {
	if err := cl.op.may("playbook.simulate"); err != nil {
		return err
	}
	spec, err := decode[simulation](cl)
	if err != nil {
		return err
	}
	if len(spec.Vars) > playbook.MaxVars || len(spec.Choices) > playbook.MaxSteps {
		return badField("vars", fmt.Sprintf("at most %d variables and %d choices", playbook.MaxVars, playbook.MaxSteps))
	}
	pb, err := c.find(&newRun{Playbook: cl.r.PathValue("name")})
	if err != nil {
		return err
	}
	v, err := c.simulate(cl.r.Context(), cl.op, pb, &spec)
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}

func (c *Control) simulate(ctx context.Context, op *operator, pb *playbook.Playbook, spec *simulation) (*simulationView, error) {
	ctx, cancel := context.WithTimeout(ctx, simulateTime)
	defer cancel()
	now := c.cfg.Now().UTC().Round(0)
	start := spec.At.UTC()
	if spec.At.IsZero() {
		start = now
	}
	if err := refuseFaults(pb.Validate(playbook.Known{Now: now})); err != nil {
		return nil, err
	}
	filled, faults := pb.Fill(spec.Vars)
	if err := refuseFaults(faults); err != nil {
		return nil, err
	}
	if err := refuseFaults(filled.Validate(playbook.Known{Now: now})); err != nil {
		return nil, err
	}
	fast, faults := filled.Simulate(playbook.Scenario{Start: start, Choices: spec.Choices})
	if err := refuseFaults(faults); err != nil {
		return nil, err
	}
	slow, faults := filled.Simulate(playbook.Scenario{Start: start, Choices: spec.Choices, Slow: true})
	if err := refuseFaults(faults); err != nil {
		return nil, err
	}
	v := &simulationView{Playbook: pb.Name, Digest: pb.Digest(), Start: start, Earliest: fast.Through, Latest: slow.Through, Critical: append([]string{}, fast.Critical...),
		Steps: []simulatedStep{}, Refused: []string{}, Exit: append([]string{}, filled.Exit...)}
	points := c.enforcers()
	refused := func(what string, e *simulatedCorrection) {
		if e.Refused != "" {
			v.Refused = append(v.Refused, what+": "+e.Refused)
		}
	}
	list := rungs(filled, false)
	for i := range filled.Steps {
		s := &filled.Steps[i]
		w := simulatedStep{Step: s.Name, Kind: s.Kind(), What: s.Words(), Who: s.Taker(), State: fast.Steps[i].State, Earliest: fast.Steps[i].To, Latest: slow.Steps[i].To, Critical: slices.Contains(fast.Critical, s.Name)}
		if s.Correction != nil {
			r := list[0]
			list = list[1:]
			if w.State == playbook.Done {
				e := c.simulateRung(ctx, op, &r, spec.Incident, points, now)
				w.Effect = &e
				refused(r.what, &e)
			}
		}
		v.Steps = append(v.Steps, w)
	}
	if g := filled.StopGap; g != nil {
		gap := &simulatedStopGap{For: g.For.String(), Then: g.Then, Corrections: []simulatedCorrection{}, What: []string{}}
		if gap.Then == "" {
			gap.Then = playbook.Stay
		}
		gap.DecideBy, gap.ExpiresAt = g.Times(start, g.For)
		for _, r := range rungs(filled, true) {
			e := c.simulateRung(ctx, op, &r, spec.Incident, points, now)
			refused(r.what, &e)
			gap.Corrections, gap.What = append(gap.Corrections, e), append(gap.What, playbook.CorrectionWords(&r.Correction))
		}
		v.StopGap = gap
	}
	return v, nil
}

// simulateRung says what a correction would do and whether it would be accepted.
func (c *Control) simulateRung(ctx context.Context, op *operator, r *rung, incident string, points []playbook.Point, now time.Time) simulatedCorrection {
	out := simulatedCorrection{Roles: []authority.Role{}, Rules: []string{}}
	no := func(err error) {
		if out.Refused == "" {
			p := asProblem(err)
			out.Refused, out.Code = p.Error(), p.Code
		}
	}
	c.mu.RLock()
	c.state.within(incident, &r.Correction)
	err := c.state.checkIncident(op, &r.Correction)
	c.mu.RUnlock()
	if err == nil {
		err = c.vetRung(r, points, now)
	}
	if err != nil {
		no(err)
		return out
	}
	checked, err := c.check(r.Correction, now)
	if err != nil {
		no(err)
		return out
	}
	v, err := c.preview(ctx, &checked)
	if err == nil {
		v.Warnings = c.warnings(&checked)
		out.Preview = &v
	}
	if err := op.may("correction.create"); err != nil {
		no(err)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	answer, err := c.state.require(op, c.state.question(authority.Tighten, &checked, v.ShareOfTraffic))
	if err == nil {
		err = c.state.withinLimits(op, &checked, now)
	}
	if err != nil {
		no(err)
	}
	out.Roles, out.Rules, out.Approvals = append(out.Roles, answer.Roles...), append(out.Rules, answer.Rules...), answer.Approvals
	return out
}
