package propose

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"andon/correction"
)

// A rung adds its proposal to the ladder, or nothing if the case lacks what it
// needs.
type rung func(*builder)

type builder struct {
	Case
	threat *Threat
	now    time.Time
	out    []Proposal
}

// offer is what a rung says of itself.
type offer struct {
	title, toolkit, why, open string
	own                       *[]string // of the case's scope: what the parameters ask for instead
}

const (
	atOnce  = "at once"
	butCuts = "at once, but for requests that were cut"

	fastCuts  = "milliseconds, on every gateway; running requests that it reaches are cut"
	fastNext  = "milliseconds, on every gateway; for requests that begin from then on"
	fastFlows = "milliseconds, on every gateway; running answers are looked at from then on"
)

// add puts a correction on the ladder, unless the same stands there already.
func (b *builder) add(o offer, kind correction.Kind, p correction.Params, s correction.Scope) {
	c := correction.Correction{Kind: kind, Params: p, Scope: whole(s), Incident: b.Incident,
		Reason: cmp.Or(b.Reason, b.threat.Title+": "+strings.ToLower(o.title[:1])+o.title[1:])}
	for i := range b.out {
		if same(&b.out[i].Correction, &c) {
			return
		}
	}
	reversible, speed := atOnce, fastNext
	switch {
	case kind == correction.Stop && (p.Level == "L2" || p.Level == "L3" || p.Level == "L4"), kind == correction.Access, kind == correction.Use && p.Basis == "":
		reversible, speed = butCuts, fastCuts
	case kind == correction.Capability && p.Disable != nil:
		reversible, speed = butCuts, fastCuts
	case kind == correction.Capability && p.Filter != nil, p.Basis == "inferred":
		reversible, speed = butCuts, fastFlows
	}
	b.out = append(b.out, Proposal{Title: o.title, Toolkit: o.toolkit, Correction: c, Why: o.why, LeavesOpen: o.open, Reversible: reversible, Speed: speed, Wider: !b.within(&c, o.own)})
}

// within says whether a correction reaches nothing outside of the case's scope.
// own is a list of that scope which the correction's parameters ask for.
func (b *builder) within(c *correction.Correction, own *[]string) bool {
	of, in := fields(&b.Scope), fields(&c.Scope)
	for i := range of {
		if len(*of[i]) > 0 && of[i] != own && !slices.Equal(*in[i], *of[i]) {
			return false
		}
	}
	if c.Params.Mode == "allow_only" && b.subject() {
		return false // it reaches all others
	}
	return b.Scope.When == "" || c.Scope.When == b.Scope.When
}

// same compares what corrections do.
func same(a, b *correction.Correction) bool {
	return a.Kind == b.Kind && a.Params.Mode == b.Params.Mode && a.Params.Level == b.Params.Level && a.Params.Metric == b.Params.Metric && a.Params.Per == b.Params.Per &&
		slices.Equal(a.Params.Disable, b.Params.Disable) && slices.Equal(a.Params.Linked, b.Params.Linked) && len(a.Params.Clamp) == 0 && len(b.Params.Clamp) == 0 &&
		(a.Params.Filter == nil) == (b.Params.Filter == nil) && (a.Params.Filter == nil || a.Params.Filter.Direction == b.Params.Filter.Direction && a.Params.Filter.Action == b.Params.Filter.Action) &&
		a.Params.Pin == b.Params.Pin && a.Params.UseCase == b.Params.UseCase && a.Params.Basis == b.Params.Basis && sameScope(&a.Scope, &b.Scope)
}

func sameScope(a, b *correction.Scope) bool {
	x, y := fields(a), fields(b)
	for i := range x {
		if !slices.Equal(*x[i], *y[i]) {
			return false
		}
	}
	return a.All == b.All && a.When == b.When && a.Unknown == b.Unknown
}

// fields are the lists of a scope: first what is called, then how, then who calls.
func fields(s *correction.Scope) []*[]string {
	return []*[]string{&s.Models, &s.Versions, &s.Surfaces, &s.Tools, &s.UseCases,
		&s.Orgs, &s.Users, &s.Keys, &s.Tiers, &s.IPs, &s.Countries, &s.Attributes, &s.Lists}
}

// whole writes a scope without conditions as what it means, and leaves out a rule
// for unknown values where none can be unknown.
func whole(s correction.Scope) correction.Scope {
	given, open := s.When != "", false
	for i, l := range fields(&s) {
		if len(*l) > 0 {
			given = true
			open = open || i >= 5 || i == 1 || i == 4
		}
	}
	if !given {
		return correction.Scope{All: true}
	}
	s.All = false
	if !open {
		s.Unknown = ""
	}
	return s
}

// what is the part of the scope that says what is called.
func (b *builder) what() correction.Scope {
	return correction.Scope{Models: b.Scope.Models, Versions: b.Scope.Versions, Surfaces: b.Scope.Surfaces}
}

// who is the part that says who calls.
func (b *builder) who() correction.Scope {
	s := &b.Scope
	return correction.Scope{Orgs: s.Orgs, Users: s.Users, Keys: s.Keys, Tiers: s.Tiers, IPs: s.IPs, Countries: s.Countries, Attributes: s.Attributes, Lists: s.Lists, Unknown: s.Unknown}
}

// subject says whether anything is known of who calls.
func (b *builder) subject() bool {
	s := b.who()
	for _, l := range fields(&s)[5:] {
		if len(*l) > 0 {
			return true
		}
	}
	return b.Scope.When != ""
}

// linkable says whether accounts can be linked to a scope's subjects.
func linkable(s *correction.Scope) bool {
	return len(s.Orgs)+len(s.Users)+len(s.Keys)+len(s.Attributes) > 0
}

func (b *builder) block(o offer, s correction.Scope) {
	p := correction.Params{Mode: "block"}
	if linkable(&s) {
		p.Linked = b.Linked
	}
	o.toolkit = toolUsers
	b.add(o, correction.Access, p, s)
}

func blockHere(b *builder) {
	if !b.subject() {
		return
	}
	b.block(offer{title: "Block them where it happens", why: "Only the callers in scope, and only what they do there, is refused; nobody else notices.",
		open: "The same people under another account, another model or another tool."}, b.Scope)
}

func blockThem(b *builder) {
	s := b.who()
	if !b.subject() || sameScope(&s, &correction.Scope{}) {
		return
	}
	b.block(offer{title: "Block them everywhere", why: "The callers in scope are refused on every model and surface, so that they cannot move on to the next one.",
		open: "The same people under another account."}, s)
}

func blockLinked(b *builder) {
	s := b.who()
	if len(b.Linked) == 0 || !linkable(&s) {
		return
	}
	b.block(offer{title: "Block them and the accounts linked to them", why: "Whoever comes back under another account with the same marks is refused, too.",
		open: "Accounts that share none of the marks."}, s)
}

func blockKeys(b *builder) {
	if len(b.Scope.Keys) == 0 {
		return
	}
	b.block(offer{title: "Block their keys", why: "Whatever user a request names, the key that it comes with is refused.",
		open: "Other keys of the same org."}, correction.Scope{Keys: b.Scope.Keys})
}

func blockOrgs(b *builder) {
	if len(b.Scope.Orgs) == 0 {
		return
	}
	b.block(offer{title: "Block their orgs", why: "A whole org is refused, with every key and user that it has or makes.",
		open: "The same people under another org."}, correction.Scope{Orgs: b.Scope.Orgs})
}

func allowTrusted(b *builder) {
	if len(b.Trusted) == 0 {
		return
	}
	s := b.what()
	s.Orgs = b.Trusted
	b.add(offer{title: "Allow only trusted orgs", toolkit: toolUsers, why: "Nobody but those who are known to be safe is served; callers of unknown org are refused.",
		open: "Misuse within the trusted orgs."}, correction.Access, correction.Params{Mode: "allow_only"}, s)
}

// filter proposes to look at texts, by patterns where there are some, and else by
// a classifier.
func (b *builder) filter(o offer, direction, action string) {
	f := &correction.Filter{Direction: direction, Action: action}
	switch {
	case len(b.Patterns) > 0:
		f.Detector, f.Patterns = correction.DetectorPatterns, b.Patterns
		o.open = "What says the same in other words. " + o.open
	case b.Detector != "" && action != "redact":
		f.Detector = b.Detector
		o.open = "What the classifier does not recognise. " + o.open
	default:
		return
	}
	o.toolkit = toolFeatures
	b.add(o, correction.Capability, correction.Params{Filter: f}, b.Scope)
}

func filterInput(b *builder) {
	b.filter(offer{title: "Refuse the requests that show it", why: "Requests that are recognised are refused; all others pass as they are.", open: "What only the answer shows."}, "input", "block")
}

func filterOutput(b *builder) {
	b.filter(offer{title: "Cut the answers that show it", why: "An answer ends before what is recognised reaches the caller; all others pass as they are.", open: "What the provider has done by then, such as calls of its own tools."}, "output", "cut")
}

func filterBoth(b *builder) {
	b.filter(offer{title: "Refuse requests and cut answers that show it", why: "What is recognised is stopped on its way in and on its way out; all else passes as it is.", open: "What neither text shows."}, "both", "block")
}

func redactOutput(b *builder) {
	b.filter(offer{title: "Black the data out of answers", why: "The texts that must not leave are removed from answers, which are otherwise served whole.", open: "The same data in another form."}, "output", "redact")
}

// use is the use at stake, of the case or its scope.
func (b *builder) use() string {
	if b.UseCase == "" && len(b.Scope.UseCases) == 1 {
		return b.Scope.UseCases[0]
	}
	return b.UseCase
}

// useScope is the scope of a prohibition, which asks for the use itself.
func (b *builder) useScope() (s correction.Scope, own *[]string) {
	s = b.Scope
	if len(s.UseCases) == 1 && s.UseCases[0] == b.use() {
		s.UseCases = nil
	}
	return s, &b.Scope.UseCases
}

func prohibit(b *builder) {
	s, own := b.useScope()
	if b.use() == "" {
		return
	}
	b.add(offer{own: own, title: "Prohibit the use", toolkit: toolUses, why: "Whoever declares the use, or holds a key that stands for it, is refused; all other uses go on.",
		open: "Callers who do not declare what they do."}, correction.Use, correction.Params{UseCase: b.use()}, s)
}

func infer(b *builder) {
	s, _ := b.useScope()
	if b.use() == "" || b.Detector == "" {
		return
	}
	b.add(offer{title: "Prohibit the use, recognised by the classifier", toolkit: toolUses, why: "The use is refused whether or not it is declared, as far as the classifier recognises it.",
		open: "What the classifier does not recognise, and what it takes for the use by mistake."}, correction.Use,
		correction.Params{UseCase: b.use(), Basis: "inferred", Detector: b.Detector}, s)
}

func (b *builder) disable(o offer, s correction.Scope, features ...string) {
	o.toolkit = toolFeatures
	b.add(o, correction.Capability, correction.Params{Disable: features}, s)
}

func disableTools(b *builder) {
	tools := slices.Concat(b.Tools, b.Scope.Tools)
	slices.Sort(tools)
	if tools = slices.Compact(tools); len(tools) == 0 || len(tools) > maxTools || slices.ContainsFunc(tools, func(t string) bool { return len(t) > correction.MaxToolName }) {
		return
	}
	s, own := b.Scope, &b.Scope.Tools
	if s.Tools = nil; slices.ContainsFunc(tools, func(t string) bool { return !slices.Contains(b.Scope.Tools, t) }) {
		own = nil // tools that the scope does not name
	}
	b.disable(offer{title: "Take away the tools at stake", why: "They are removed from requests, and a call of theirs never reaches the caller; all other tools work.",
		open: "Other tools by which the same can be done, or the same tool under another name.", own: own}, s, named(tools)...)
}

func disableActing(b *builder) {
	b.disable(offer{title: "Take away what acts by itself", why: "Code execution, computer use, web access and connected services are switched off: answers are given, and nothing is done.",
		open: "Functions that callers run themselves."}, b.Scope, "code_execution", "computer_use", "web_search", "mcp")
}

func disableOutward(b *builder) {
	b.disable(offer{title: "Take away the ways out", why: "Web access, connected services and code execution are switched off, by which data would leave unseen.",
		open: "What stands in the answers themselves."}, b.Scope, "web_search", "mcp", "code_execution")
}

func disableAllTools(b *builder) {
	b.disable(offer{title: "Take away all tools", why: "Without tools a model can only answer.", open: "What answers alone can do."}, b.Scope, "tools")
}

func disableSystemPrompt(b *builder) {
	b.disable(offer{title: "Refuse callers' system prompts", why: "A technique that needs instructions above the user's no longer works.", open: "Techniques that work from the user's turn."}, b.Scope, "system_prompt")
}

func disableLogprobs(b *builder) {
	b.disable(offer{title: "Withhold probabilities", why: "A copy is trained far better on probabilities than on texts; hardly anybody else needs them.", open: "Collecting the texts."}, b.Scope, "logprobs")
}

func pinVersion(b *builder) {
	if b.Version == "" {
		return
	}
	b.add(offer{title: "Go back to the version that is known to be good", toolkit: toolFeatures, why: "Everybody is served, by a version without the fault.", open: "What the earlier version lacks, and faults that it shares."}, correction.Capability,
		correction.Params{Pin: b.Version}, correction.Scope{Models: b.Scope.Models})
}

func (b *builder) clamp(o offer, values map[string]float64) {
	o.toolkit = toolFeatures
	b.add(o, correction.Capability, correction.Params{Clamp: values}, b.Scope)
}

func clampOutput(b *builder) {
	b.clamp(offer{title: "Shorten the answers", why: "Less is generated in each answer, so that less harm and less cost are in it.", open: "Short answers."}, map[string]float64{"output_tokens": 500})
}

func clampCalls(b *builder) {
	b.clamp(offer{title: "Bound tool calls", why: "A session can do little before somebody has to begin a new one.", open: "The first calls of each session."}, map[string]float64{"session_tool_calls": 10})
}

func clampSession(b *builder) {
	b.clamp(offer{title: "Bound the session", why: "The agent stops after its bound, whatever it wants; a person has to start it anew.", open: "A caller that begins a new session for each step."},
		map[string]float64{"session_steps": 20, "session_seconds": 600, "session_parallel": 1})
}

func (b *builder) limit(o offer, metric string, n int64, window time.Duration, per string) {
	o.toolkit = toolFrequency
	b.add(o, correction.Rate, correction.Params{Metric: metric, Limit: &n, Window: correction.Duration(window), Per: per}, b.Scope)
}

// each is what a limit counts by: the most particular thing that is known.
func (b *builder) each() string {
	switch s := &b.Scope; {
	case len(s.Users) > 0:
		return "user"
	case len(s.Orgs) > 0 && len(s.Keys) == 0:
		return "org"
	}
	return "key"
}

func limitEach(b *builder) {
	b.limit(offer{title: "Slow each caller down", why: "Nobody can do more than a person would; who asks little is not touched.", open: "Many accounts, each below the limit."}, "requests", 10, time.Minute, b.each())
}

func limitAtOnce(b *builder) {
	b.limit(offer{title: "Bound what each caller runs at once", why: "The rest is shared among the others, however long answers take.", open: "Many accounts, each below the limit."}, "concurrent", 2, 0, b.each())
}

func limitAgents(b *builder) {
	b.limit(offer{title: "One call at a time", why: "Copies of the agent stand in line.", open: "Slow harm, one call after the other."}, "concurrent", 1, 0, b.each())
}

func limitApplications(b *builder) {
	b.limit(offer{title: "Bound the number of users behind each key", why: "A campaign that goes through few keys cannot put ever new users behind them.", open: "Few users behind many keys."}, "distinct_users", 100, 24*time.Hour, "key")
}

func limitAll(b *builder) {
	b.limit(offer{title: "Bound the whole load", why: "What is served stays within what can be borne, whoever asks.", open: "Fairness: the fastest callers take most of it."}, "requests", 600, time.Minute, "global")
}

func (b *builder) stop(o offer, level string, s correction.Scope) {
	o.toolkit = toolShutdown
	b.add(o, correction.Stop, correction.Params{Level: level}, s)
}

func freeze(b *builder) {
	b.disable(offer{title: "No more fine-tunes", why: "No derivatives are made of the model while it is looked into; callers are served.", open: "All other use of the model, and copies elsewhere."}, b.what(), "fine_tune_create")
}

func noNewSessions(b *builder) {
	b.stop(offer{title: "No new sessions", why: "Nothing new begins, and nobody is interrupted.", open: "Sessions that run."}, "L1", b.what())
}

func drain(b *builder) {
	b.stop(offer{title: "Drain the model", why: "Nothing new begins; what runs may finish within two minutes, and is cut then.", open: "What runs until then."}, "L2", b.what())
}

func stopHere(b *builder) {
	b.stop(offer{title: "Stop the model", why: "Nothing of it is served any more; running answers are cut, and callers get its fallback where it has one.", open: "Other surfaces, if the scope names some, and other models with the same flaw."}, "L3", b.what())
}

func stopEverywhere(b *builder) {
	b.stop(offer{title: "Stop it on every surface", why: "No surface and no partner is left out, internal use included; nobody is spared.", open: "Copies that are not served through Andon."},
		"L4", correction.Scope{Models: b.Scope.Models})
}
