package plan

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"andon/authority"
	"andon/correction"
	"andon/playbook"
)

// Plan is one version of the plan. Names are unique within their section; a
// reference to a name that is not there is an error.
type Plan struct {
	Format   int    `json:"andon" yaml:"andon"` // of these files; 1. In exactly one file
	Org      string `json:"org" yaml:"org"`     // whose plan it is
	ReviewBy Date   `json:"review_by" yaml:"review_by"`
	Owner    string `json:"owner" yaml:"owner"` // team that answers for the plan

	// Assurance is the team that checks what the owner does; another one.
	Assurance string `json:"assurance,omitempty" yaml:"assurance,omitempty"`

	Models     []Model             `json:"models,omitempty" yaml:"models,omitempty"`
	Surfaces   []Surface           `json:"surfaces,omitempty" yaml:"surfaces,omitempty"`
	Partners   []Partner           `json:"partners,omitempty" yaml:"partners,omitempty"`
	Threats    []Threat            `json:"threats,omitempty" yaml:"threats,omitempty"`
	Triggers   []Trigger           `json:"triggers,omitempty" yaml:"triggers,omitempty"`
	Playbooks  []playbook.Playbook `json:"playbooks,omitempty" yaml:"playbooks,omitempty"`
	Fallbacks  []Fallback          `json:"fallbacks,omitempty" yaml:"fallbacks,omitempty"`
	Authority  []authority.Rule    `json:"authority,omitempty" yaml:"authority,omitempty"`
	Limits     []authority.Limit   `json:"limits,omitempty" yaml:"limits,omitempty"` // on how often one person may tighten unseen
	Teams      []Team              `json:"teams,omitempty" yaml:"teams,omitempty"`
	Rosters    []Roster            `json:"rosters,omitempty" yaml:"rosters,omitempty"`
	Dependants []Dependant         `json:"dependants,omitempty" yaml:"dependants,omitempty"`
	Terms      []Terms             `json:"terms,omitempty" yaml:"terms,omitempty"`
	Contacts   []Contact           `json:"contacts,omitempty" yaml:"contacts,omitempty"`
	Retention  []Retention         `json:"retention,omitempty" yaml:"retention,omitempty"`

	places map[string]Position // where each value was written; see Pos
	files  string              // see FilesDigest
}

// Date is a day, "2027-01-31", UTC.
type Date struct{ time.Time }

const dateForm = "2006-01-02"

// ParseDate reads a day between the years 2000 and 2199. A day that no calendar
// has, such as the 30th of February, is refused.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(dateForm, s)
	if err != nil || t.Year() < 2000 || t.Year() > 2199 {
		return Date{}, fmt.Errorf("%s is no day of the calendar; write for example 2027-01-31", quote(s))
	}
	return Date{t}, nil
}

// String is the day as it is written; "" for none.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.Format(dateForm)
}

// MarshalText writes the day.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDate reads.
func (d *Date) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDate(string(text))
	return err
}

// MarshalJSON writes the day as a text.
func (d Date) MarshalJSON() ([]byte, error) { return strconv.AppendQuote(nil, d.String()), nil }

// UnmarshalJSON reads what ParseDate reads, from a text.
func (d *Date) UnmarshalJSON(data []byte) error {
	s, err := strconv.Unquote(string(data))
	if err != nil || len(data) == 0 || data[0] != '"' {
		return errors.New("a day is a text, such as \"2027-01-31\"")
	}
	return d.UnmarshalText([]byte(s))
}

// Model is something that is served.
type Model struct {
	Name        string       `json:"name" yaml:"name"` // as corrections name it
	Description string       `json:"description,omitempty" yaml:"description,omitempty"`
	Versions    []string     `json:"versions,omitempty" yaml:"versions,omitempty"`
	Derivatives []Derivative `json:"derivatives,omitempty" yaml:"derivatives,omitempty"`
	Surfaces    []string     `json:"surfaces" yaml:"surfaces"`                           // it is reached through
	Fallback    string       `json:"fallback,omitempty" yaml:"fallback,omitempty"`       // of Fallbacks, by name; or "none": it may be refused, see NoFallback
	NoFallback  string       `json:"no_fallback,omitempty" yaml:"no_fallback,omitempty"` // why it is acceptable to have none
	Owner       string       `json:"owner" yaml:"owner"`                                 // team
}

// Derivative is a fine-tune or an alias of a model.
type Derivative struct {
	Name string `json:"name" yaml:"name"`
	Kind string `json:"kind" yaml:"kind"`                 // fine-tune, alias, distillation, adapter
	Of   string `json:"of,omitempty" yaml:"of,omitempty"` // another derivative; default the model
}

// Surface is a way to a model.
type Surface struct {
	Name     string   `json:"name" yaml:"name"`
	Internal bool     `json:"internal,omitzero" yaml:"internal,omitempty"`  // used inside the organisation alone
	Route    string   `json:"route" yaml:"route"`                           // gateway; partner; direct: nothing of ours stands in between
	Gateways []string `json:"gateways,omitempty" yaml:"gateways,omitempty"` // enforcement points, where route is gateway
	Partner  string   `json:"partner,omitempty" yaml:"partner,omitempty"`   // where route is partner
	Owner    string   `json:"owner" yaml:"owner"`                           // team
}

// Partner serves a model of ours on infrastructure of its own.
type Partner struct {
	Name     string              `json:"name" yaml:"name"`
	Contacts []string            `json:"contacts" yaml:"contacts"`
	Controls []string            `json:"controls,omitempty" yaml:"controls,omitempty"` // correction kinds that it can carry out for us
	Within   correction.Duration `json:"within,omitzero" yaml:"within,omitempty"`      // in which time, as agreed
}

// Threat is something that is expected to go wrong.
type Threat struct {
	Name        string              `json:"name" yaml:"name"`
	Description string              `json:"description,omitempty" yaml:"description,omitempty"`
	Class       string              `json:"class,omitempty" yaml:"class,omitempty"`   // of package propose, by id
	Severity    int                 `json:"severity" yaml:"severity"`                 // 1 to 4, if it comes true
	Models      []string            `json:"models,omitempty" yaml:"models,omitempty"` // default all
	Indicators  []Indicator         `json:"indicators" yaml:"indicators"`
	Triggers    []string            `json:"triggers,omitempty" yaml:"triggers,omitempty"`
	Playbooks   []string            `json:"playbooks" yaml:"playbooks"` // an answer to it; none is a blocking gap
	Detect      correction.Duration `json:"detect_within,omitzero" yaml:"detect_within,omitempty"`
	Owner       string              `json:"owner" yaml:"owner"` // team
	ReviewBy    Date                `json:"review_by" yaml:"review_by"`
}

// Indicator is what can be seen of a threat.
type Indicator struct {
	Name   string `json:"name" yaml:"name"`
	Signal string `json:"signal" yaml:"signal"` // type of signal
	Source string `json:"source,omitempty" yaml:"source,omitempty"`
}

// Trigger is a threshold that was declared ahead of time.
type Trigger struct {
	Name     string              `json:"name" yaml:"name"`
	Signal   string              `json:"signal" yaml:"signal"` // type of signal that is counted
	Where    map[string]string   `json:"where,omitempty" yaml:"where,omitempty"`
	Count    int64               `json:"count" yaml:"count"` // threshold
	Window   correction.Duration `json:"window" yaml:"window"`
	Per      string              `json:"per,omitempty" yaml:"per,omitempty"` // model, org, user, key; default: all together
	Severity int                 `json:"severity,omitzero" yaml:"severity,omitempty"`
	Playbook string              `json:"playbook,omitempty" yaml:"playbook,omitempty"` // that is proposed
	StopGap  bool                `json:"stop_gap,omitzero" yaml:"stop_gap,omitempty"`  // pre-authorised: its stop-gap is applied
	Ceiling  string              `json:"ceiling,omitempty" yaml:"ceiling,omitempty"`   // automation never goes above this level: "L0" to "L4"; default "L2"
	Owner    string              `json:"owner" yaml:"owner"`                           // team
}

// Fallback is a model that stands in for others.
type Fallback struct {
	Name        string   `json:"name" yaml:"name"`
	Model       string   `json:"model" yaml:"model"`
	For         []string `json:"for" yaml:"for"`           // models
	Capacity    float64  `json:"capacity" yaml:"capacity"` // requests a second that it carries, as tested
	TestedAt    Date     `json:"tested_at,omitzero" yaml:"tested_at,omitempty"`
	SharesWith  []string `json:"shares_with,omitempty" yaml:"shares_with,omitempty"` // threats (flaws) that it has as well
	Differences string   `json:"differences" yaml:"differences"`                     // in its behaviour, as callers notice them
}

// Team is some people with a purpose.
type Team struct {
	Name    string           `json:"name" yaml:"name"`
	Members []string         `json:"members" yaml:"members"`                     // names of operators
	Roles   []authority.Role `json:"roles,omitempty" yaml:"roles,omitempty"`     // that its members hold
	Contact string           `json:"contact,omitempty" yaml:"contact,omitempty"` // of Contacts
}

// Roster says who is on call when. Its shifts together must cover every minute of
// the week; a gap is a finding.
type Roster struct {
	Name     string         `json:"name" yaml:"name"`
	Team     string         `json:"team" yaml:"team"`
	Role     authority.Role `json:"role" yaml:"role"`           // which it keeps awake
	TimeZone string         `json:"time_zone" yaml:"time_zone"` // IANA, "Europe/Berlin"
	Shifts   []Shift        `json:"shifts" yaml:"shifts"`
}

// Shift is a part of every week.
type Shift struct {
	Days   []string `json:"days" yaml:"days"` // mon … sun; or daily
	From   string   `json:"from" yaml:"from"` // "18:00", local; To at or before From means the next day
	To     string   `json:"to" yaml:"to"`     // "06:00"; "24:00" is the end of the day
	People []string `json:"people" yaml:"people"`
	Deputy string   `json:"deputy,omitempty" yaml:"deputy,omitempty"`
}

// Dependant is somebody for whom a model's absence has consequences.
type Dependant struct {
	Name             string              `json:"name" yaml:"name"`
	Orgs             []string            `json:"orgs" yaml:"orgs"` // as keys name them
	Models           []string            `json:"models" yaml:"models"`
	Criticality      string              `json:"criticality" yaml:"criticality"`                // low, medium, high, safety
	HoldDown         bool                `json:"hold_down,omitzero" yaml:"hold_down,omitempty"` // gets its fallback before a cut, unless overridden with a reason
	Fallback         string              `json:"fallback,omitempty" yaml:"fallback,omitempty"`  // of Fallbacks
	Notice           correction.Duration `json:"notice,omitzero" yaml:"notice,omitempty"`       // that it needs
	Contacts         []string            `json:"contacts" yaml:"contacts"`
	ReceiverTestedAt Date                `json:"receiver_tested_at,omitzero" yaml:"receiver_tested_at,omitempty"`
}

// Terms say which corrections a customer's agreement allows.
type Terms struct {
	Name    string       `json:"name" yaml:"name"`
	Orgs    []string     `json:"orgs" yaml:"orgs"`
	Default string       `json:"default" yaml:"default"` // permitted, notice or forbidden: what holds where no clause does
	Clauses []TermClause `json:"clauses,omitempty" yaml:"clauses,omitempty"`
	Source  string       `json:"source" yaml:"source"` // which document, which section
}

// TermClause is one clause. The first that fits counts.
type TermClause struct {
	Kinds   []string            `json:"kinds" yaml:"kinds"` // as in authority.Rule
	Word    string              `json:"word" yaml:"word"`   // permitted, notice, forbidden
	Notice  correction.Duration `json:"notice,omitzero" yaml:"notice,omitempty"`
	Section string              `json:"section,omitempty" yaml:"section,omitempty"`
}

// Contact is somebody outside or inside who is told.
type Contact struct {
	Name       string              `json:"name" yaml:"name"`
	Channels   []Channel           `json:"channels" yaml:"channels"`
	VerifiedAt Date                `json:"verified_at,omitzero" yaml:"verified_at,omitempty"`   // when a test message was last answered
	Every      correction.Duration `json:"verify_every,omitzero" yaml:"verify_every,omitempty"` // default 90d
}

// Channel is a way to a contact.
type Channel struct {
	Kind    string `json:"kind" yaml:"kind"` // email, phone, webhook, chat
	Address string `json:"address" yaml:"address"`
}

// Retention says how long a class of records is kept, and why. Then the control plane erases it.
type Retention struct {
	Class        string              `json:"class" yaml:"class"` // requests, incidents, evidence, prompts, concerns, accounts
	Keep         correction.Duration `json:"keep" yaml:"keep"`
	Basis        string              `json:"basis" yaml:"basis"` // the law, contract or decision it rests on
	Pseudonymous bool                `json:"pseudonymous,omitzero" yaml:"pseudonymous,omitempty"`
}
