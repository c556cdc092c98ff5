package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"andon/authority"
)

// todo is something that waits for a person, in one line.
type todo struct {
	Kind  string    `json:"kind"` // ledger, approval, ratification, review, run, decision, incident, gateway, on-call, plan, alerts, authority
	ID    string    `json:"id,omitempty"`
	Says  string    `json:"says"`
	Do    string    `json:"do,omitempty"` // the command
	Due   time.Time `json:"due,omitzero"`
	Late  bool      `json:"late,omitempty"`
	Yours bool      `json:"yours"` // you can do it
}

// shownTodos is how many of a kind are printed.
const shownTodos = 5

// credentialSoon is how long before its end a gateway's credential is trouble.
const credentialSoon = 7 * 24 * time.Hour

// outlook is what waits for people, and who they are.
type outlook struct {
	Waiting []todo   `json:"waiting"`
	OnCall  []string `json:"on_call"`          // "safety: ann, bea"
	Unread  []string `json:"unread,omitempty"` // what could not be read, and why
	me      struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
}

// look asks for all that waits, at once. What the operator may not read, or the
// control plane does not have, is left out; what fails is said, and hinders nothing.
func (c *command) look(ctx context.Context, cl *client, o *overview) *outlook {
	out := &outlook{Waiting: []todo{}, OnCall: []string{}}
	now := c.Now()
	if err := cl.do(ctx, http.MethodGet, "/whoami", nil, nil, &out.me); err != nil {
		out.failed("who you are", err)
	}
	rooms := []struct {
		what string
		read func(context.Context, *client, *outlook, time.Time) ([]todo, []string, error)
	}{
		{"witnesses", todoLedger}, {"approvals", todoApprovals}, {"reviews", todoReviews}, {"decisions", todoDecisions}, {"runs", todoRuns},
		{"incidents", todoIncidents}, {"rosters", todoOnCall}, {"the plan", todoPlan}, {"alerts", todoAlerts}, {"the certificate authority", todoCA},
	}
	todos, names, errs := make([][]todo, len(rooms)), make([][]string, len(rooms)), make([]error, len(rooms))
	var all sync.WaitGroup
	for i := range rooms {
		all.Go(func() { todos[i], names[i], errs[i] = rooms[i].read(ctx, cl, out, now) })
	}
	all.Wait()
	for i := range rooms {
		if errs[i] != nil {
			out.failed(rooms[i].what, errs[i])
		}
		out.OnCall = append(out.OnCall, names[i]...)
		out.Waiting = append(out.Waiting, todos[i]...)
		if rooms[i].what == "approvals" {
			out.Waiting = append(out.Waiting, todoRatify(o, out.me.ID, now)...)
		}
	}
	out.Waiting = append(out.Waiting, todoGateways(o, now)...)
	slices.SortStableFunc(out.Waiting, func(a, b todo) int { // within a kind: yours first, then what is late, then by the clock
		switch {
		case a.Kind != b.Kind:
			return 0
		case a.Yours != b.Yours:
			return cmp.Compare(btoi(b.Yours), btoi(a.Yours))
		case a.Late != b.Late:
			return cmp.Compare(btoi(b.Late), btoi(a.Late))
		case a.Due.IsZero() != b.Due.IsZero():
			return cmp.Compare(btoi(a.Due.IsZero()), btoi(b.Due.IsZero()))
		}
		return a.Due.Compare(b.Due)
	})
	return out
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// failed notes what could not be read. Who may not read it, and a control plane
// that has no such room, are no failure.
func (o *outlook) failed(what string, err error) {
	var p *problem
	if errors.As(err, &p) && (p.Status == http.StatusForbidden || p.Status == http.StatusNotFound || p.Status == http.StatusMethodNotAllowed) {
		return
	}
	o.Unread = append(o.Unread, what+": "+err.Error())
}

// printLook prints it, and nothing where there is nothing.
func (c *command) printLook(o *outlook) {
	count, printed := map[string]int{}, false
	for _, t := range o.Waiting {
		count[t.Kind]++
	}
	shown := map[string]int{}
	for _, t := range o.Waiting {
		if shown[t.Kind]++; shown[t.Kind] > shownTodos {
			if shown[t.Kind] == shownTodos+1 {
				c.printf("  and %d more (%s)\n", count[t.Kind]-shownTodos, allOf[t.Kind])
			}
			continue
		}
		mark := "  "
		switch {
		case t.Late:
			mark = "! "
		case t.Yours:
			mark = "* "
		}
		line := mark + c.cut(t.Says, 150)
		if !t.Due.IsZero() {
			line += ", due " + until(t.Due, c.Now())
		}
		if t.Do != "" {
			line += ": " + t.Do
		}
		c.printf("%s\n", line)
		printed = true
	}
	if len(o.OnCall) > 0 {
		c.printf("  on call: %s\n", strings.Join(o.OnCall, "; "))
		printed = true
	}
	for _, u := range o.Unread {
		c.printf("! could not read %s\n", c.cut(u, 200))
		printed = true
	}
	if printed {
		c.printf("\n")
	}
}

// allOf is the command that lists all of a kind.
var allOf = map[string]string{
	"ledger": "andon ledger witnesses", "approval": "andon approvals", "ratification": "andon corrections", "review": "andon pulls", "run": "andon runs", "decision": "andon decisions",
	"incident": "andon incident ls", "gateway": "andon points", "on-call": "andon on-call", "plan": "andon plan show", "alerts": "andon alerts ls", "authority": "andon ca show",
}

// todoLedger is first: while the record shows two histories, nothing that it says
// is certain.
func todoLedger(ctx context.Context, cl *client, _ *outlook, _ time.Time) (out []todo, _ []string, err error) {
	var got struct {
		Forks []ledgerFork `json:"forks"`
	}
	err = cl.do(ctx, http.MethodGet, "/ledger/witnesses", nil, nil, &got)
	for _, f := range got.Forks {
		if len(f.SaidBy) > 0 {
			out = append(out, todo{Kind: "ledger", Late: true, Says: f.Says, Do: "andon ledger witnesses"})
		}
	}
	return out, nil, err
}

func todoApprovals(ctx context.Context, cl *client, o *outlook, now time.Time) (out []todo, _ []string, err error) {
	var got struct {
		Approvals []act `json:"approvals"`
	}
	err = cl.do(ctx, http.MethodGet, "/approvals?state=open", nil, nil, &got)
	for _, a := range got.Approvals {
		answered := slices.ContainsFunc(a.Answers, func(x actAnswer) bool { return x.By == o.me.ID })
		t := todo{Kind: "approval", ID: a.ID, Due: a.Until, Late: a.Overdue || now.After(a.Until), Yours: a.YourWord == "" && !answered && o.me.ID != ""}
		t.Says, t.Do = fmt.Sprintf("%s waits for others (%d of %d): %s", a.ID, a.Counted, a.Takes.Approvals, a.Says), "andon approvals show "+a.ID
		if t.Yours {
			t.Says, t.Do = a.ID+" waits for your word: "+a.Says, "andon approve "+a.ID
		}
		out = append(out, t)
	}
	return out, nil, err
}

// todoRatify are the corrections that others have to stand by, and those whose
// review is past.
func todoRatify(o *overview, me string, now time.Time) (out []todo) {
	for _, v := range o.Corrections {
		t := todo{Kind: "ratification", ID: v.ID, Do: "andon ratify " + v.ID}
		switch r := v.Ratification; {
		case r != nil && r.State != "ratified":
			t.Due, t.Late = r.Until, r.State == "overdue" || now.After(r.Until)
			t.Says = fmt.Sprintf("%s is to be ratified by %d more (%s)", v.ID, r.Approvals-len(r.By), either(authority.SetOf(r.Approvers...).Names()))
			t.Yours = me != "" && v.CreatedBy != me && !slices.Contains(r.By, me)
		case !v.ReviewBy.IsZero() && now.After(v.ReviewBy):
			t.Due, t.Late, t.Yours = v.ReviewBy, true, true
			t.Says = v.ID + " is to be reviewed: does it still have to stand?"
		default:
			continue
		}
		out = append(out, t)
	}
	return out
}

func todoReviews(ctx context.Context, cl *client, o *outlook, now time.Time) (out []todo, _ []string, err error) {
	var got struct {
		Reviews []review `json:"reviews"`
	}
	err = cl.do(ctx, http.MethodGet, "/reviews?state=open", nil, nil, &got)
	for _, v := range got.Reviews {
		if v.Finding != "" {
			continue
		}
		out = append(out, todo{Kind: "review", ID: v.ID, Due: v.Due, Late: now.After(v.Due), Yours: o.me.ID != "" && v.By != o.me.ID,
			Says: v.ID + " others have to look at: " + v.Says, Do: "andon review " + v.ID + " justified|not-justified"})
	}
	return out, nil, err
}

func todoRuns(ctx context.Context, cl *client, _ *outlook, now time.Time) (out []todo, _ []string, err error) {
	var got struct {
		Pending []pendingRun `json:"pending"`
	}
	err = cl.do(ctx, http.MethodGet, "/runs?state=live&limit=1", nil, nil, &got)
	for i := range got.Pending {
		p := &got.Pending[i]
		says := p.Run + " " + p.Step + ": " + p.What
		if p.Step == "" {
			says = p.Run + ": " + p.What
		}
		out = append(out, todo{Kind: "run", ID: p.Run, Due: p.Due, Late: p.Late || !p.Due.IsZero() && now.After(p.Due), Says: says + " (" + p.Who + ")", Do: p.command([]string{"CHOICE"})})
	}
	return out, nil, err
}

func todoDecisions(ctx context.Context, cl *client, _ *outlook, now time.Time) (out []todo, _ []string, err error) {
	var got struct {
		Decisions []struct {
			ID       string    `json:"id"`
			Question string    `json:"question"`
			State    string    `json:"state"`
			Deadline time.Time `json:"deadline"`
			Overdue  bool      `json:"overdue"`
		} `json:"decisions"`
	}
	err = cl.do(ctx, http.MethodGet, "/decisions?state=open", nil, nil, &got)
	for _, d := range got.Decisions {
		if d.State == "open" {
			out = append(out, todo{Kind: "decision", ID: d.ID, Due: d.Deadline, Late: d.Overdue || !d.Deadline.IsZero() && now.After(d.Deadline), Says: d.ID + " to be decided: " + d.Question, Do: "andon decide show " + d.ID})
		}
	}
	return out, nil, err
}

func todoIncidents(ctx context.Context, cl *client, o *outlook, _ time.Time) (out []todo, _ []string, err error) {
	var got struct {
		Incidents []struct {
			ID       string `json:"id"`
			Title    string `json:"title"`
			Status   string `json:"status"`
			Severity string `json:"severity"`
			Lead     string `json:"commander"`
			InForce  int    `json:"corrections_in_force"`
		} `json:"incidents"`
	}
	err = cl.do(ctx, http.MethodGet, "/incidents?open=true", nil, nil, &got)
	for _, i := range got.Incidents {
		t := todo{Kind: "incident", ID: i.ID, Says: fmt.Sprintf("%s %s %s: %s (%s in force)", i.ID, i.Severity, strings.ReplaceAll(i.Status, "_", " "), i.Title, plural(int64(i.InForce), "correction")), Do: "andon incident show " + i.ID}
		if t.Yours = o.me.ID != "" && i.Lead == o.me.ID; i.Lead == "" {
			t.Says += ", nobody leads it"
		}
		out = append(out, t)
	}
	slices.SortStableFunc(out, func(a, b todo) int { return strings.Compare(a.Says[len(a.ID):], b.Says[len(b.ID):]) }) // the gravest first
	return out, nil, err
}

func todoOnCall(ctx context.Context, cl *client, _ *outlook, now time.Time) (out []todo, on []string, err error) {
	var got onCall
	err = cl.do(ctx, http.MethodGet, "/on-call", nil, nil, &got)
	for _, r := range got.Rosters {
		if len(r.OnCall) > 0 {
			on = append(on, r.Name+" "+strings.Join(r.OnCall, ", "))
		}
	}
	for _, g := range got.Gaps {
		if g.Now || g.From.Sub(now) < 24*time.Hour {
			out = append(out, todo{Kind: "on-call", ID: g.Duty, Late: g.Now, Says: g.words(now), Do: "andon on-call"})
		}
	}
	for _, p := range got.People {
		if p.Now {
			out = append(out, todo{Kind: "on-call", ID: p.Name, Says: p.Name + " is on call (" + p.Roster + ") and could not act: " + p.Trouble, Do: "andon operators"})
		}
	}
	return out, on, err
}

func todoPlan(ctx context.Context, cl *client, _ *outlook, now time.Time) (out []todo, _ []string, err error) {
	var got struct {
		Version int `json:"version"`
		Plan    struct {
			ReviewBy string `json:"review_by"`
		} `json:"plan"`
	}
	if err = cl.do(ctx, http.MethodGet, "/plan", nil, nil, &got); err != nil {
		return nil, nil, err
	}
	if day, err := time.Parse(time.DateOnly, got.Plan.ReviewBy); err == nil && now.After(day.AddDate(0, 0, 1)) {
		out = append(out, todo{Kind: "plan", Late: true, Says: fmt.Sprintf("version %d of the plan was to be reviewed by %s", got.Version, got.Plan.ReviewBy), Do: "andon plan check"})
	}
	return out, nil, nil
}

func todoAlerts(ctx context.Context, cl *client, _ *outlook, now time.Time) (out []todo, _ []string, err error) {
	var got struct {
		Alerts []alertEndpoint `json:"alerts"`
	}
	err = cl.do(ctx, http.MethodGet, "/alerts", nil, nil, &got)
	for _, e := range got.Alerts {
		switch e.State {
		case "failing":
			out = append(out, todo{Kind: "alerts", ID: e.Name, Late: true, Says: fmt.Sprintf("alerts do not reach %s since %s: %s", e.Name, until(e.Failing, now), e.Error), Do: "andon alerts test " + e.Name})
		case "disabled":
			out = append(out, todo{Kind: "alerts", ID: e.Name, Late: true, Says: "alerts to " + e.Name + " are off: it answered 410", Do: "andon alerts test " + e.Name})
		}
	}
	return out, nil, err
}

// todoGateways are those in trouble.
func todoGateways(o *overview, now time.Time) (out []todo) {
	for _, p := range o.Points {
		t := todo{Kind: "gateway", ID: p.Name, Do: "andon points"}
		switch {
		case p.Error != "":
			t.Says, t.Late = p.Name+" is in trouble: "+p.Error, true
		case p.State == "refused":
			t.Says, t.Late = p.Name+" does not follow", true
		case p.Credential == "revoked":
			t.Says = p.Name + " has a credential that was revoked"
		case !p.CredentialExpires.IsZero() && p.CredentialExpires.Sub(now) < credentialSoon:
			t.Says, t.Due = p.Name+": its credential ends; a gateway that runs renews it", p.CredentialExpires
		default:
			continue
		}
		out = append(out, t)
	}
	return out
}
