package correction

import (
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a correction's fields.
const (
	MaxValues       = 10_000 // values in one dimension of a scope
	MaxValueBytes   = 512
	MaxWhenBytes    = 2048
	MaxReasonBytes  = 4096
	MaxPublicBytes  = 1024
	MaxUseCaseDepth = 16 // segments of a use case

	MinWindow    = time.Second
	MaxWindow    = 31 * day
	MaxDrain     = day
	DefaultDrain = 2 * time.Minute
)

// NoFallback in Correction.Fallback means: refuse, serve nothing instead.
const NoFallback = "none"

// Bounds of what the kinds' parameters hold.
const (
	MaxLinked       = 8      // names of attributes that link accounts
	MaxLinks        = 10_000 // links that the control plane keeps with a correction
	MaxAcknowledged = 10_000
	MaxToolName     = 256 // bytes, in "tool:NAME"
	MaxPatterns     = 10_000
	MaxPatternBytes = 1024
	MaxRegexps      = 1_000
	MaxRegexpBytes  = 1024
	MaxScopeLists   = 64 // named lists in one scope
	MaxListName     = 64 // bytes, of a-z 0-9 . _ -
)

// DefaultThreshold is the score from which on a classifier counts as having
// found something, where a correction does not say.
const DefaultThreshold = 0.5

// DetectorPatterns is the detector of a filter that brings its own patterns.
const DetectorPatterns = "patterns"

// The closed sets. Validate, the catalogue and error messages all read these.
var (
	kinds         = []string{string(Stop), string(Access), string(Use), string(Capability), string(Rate)}
	modes         = []string{string(Enforce), string(Shadow)}
	accesses      = []string{"block", "allow_only"}
	metrics       = []string{"requests", "input_tokens", "output_tokens", "total_tokens", "tool_calls", "concurrent", distinctUsers, distinctApps}
	pers          = []string{"user", "org", "key", "ip", "model", "global"}
	onExceeds     = []string{"reject", "queue"}
	bases         = []string{"declared", inferred}
	actions       = []string{"block", acknowledge}
	levels        = []string{"L0", "L1", "L2", "L3", "L4"} // that can be applied directly
	capabilities  = []string{"disable", "clamp", "filter", "pin"}
	directions    = []string{"input", "output", "both"}
	filterActions = []string{"block", redact, "cut", "reroute", "hold"}
	onErrors      = []string{"block", "pass"}
	unknowns      = []string{"exclude", include}
)

// Words of the closed sets that more than one place asks for.
const (
	distinctUsers = "distinct_users"
	distinctApps  = "distinct_apps"
	inferred      = "inferred"
	acknowledge   = "acknowledge"
	redact        = "redact"
	include       = "include"
)

// counted is what a metric of distinct values counts, as a per: each has one of
// itself, so a limit on it would say nothing.
var counted = map[string]string{distinctUsers: "user", distinctApps: "key"}

// KindInfo describes one kind of the catalogue.
type KindInfo struct {
	Kind       Kind           `json:"kind"`
	Summary    string         `json:"summary"`
	Narrowness int            `json:"narrowness"` // of its narrowest parameter or level; 1 takes least away
	Reversible string         `json:"reversible"` // what lifting gives back: "at once", "at once, but for calls that were cut"; levels may differ
	Params     []ParamInfo    `json:"params"`
	Features   []ValueInfo    `json:"features,omitempty"` // that capability can disable
	Clamps     []ValueInfo    `json:"clamps,omitempty"`   // that capability can clamp
	Levels     []ValueInfo    `json:"levels,omitempty"`   // of stop
	Status     int            `json:"status"`             // HTTP status of a refusal; stop L5 and L6 answer 410
	Schema     jsontext.Value `json:"schema"`             // JSON Schema (draft 2020-12) of params
}

// ParamInfo describes one parameter of a kind.
type ParamInfo struct {
	Name       string   `json:"name"`
	Type       string   `json:"type"` // text, integer, number, duration, time, list, object
	Required   bool     `json:"required,omitzero"`
	Allowed    []string `json:"allowed,omitempty"`
	Default    string   `json:"default,omitempty"`
	Bounds     string   `json:"bounds,omitempty"`
	Summary    string   `json:"summary"`
	Narrowness int      `json:"narrowness,omitzero"` // where a kind does different things by parameter
	Status     int      `json:"status,omitzero"`     // of a refusal, where it is not the kind's
}

// ValueInfo describes one member of a closed set.
type ValueInfo struct {
	Name       string   `json:"name"`
	Summary    string   `json:"summary"`
	Bounds     string   `json:"bounds,omitempty"`
	Wires      []string `json:"wires,omitempty"`   // that have it; on the others it is never met
	Effects    []string `json:"effects,omitempty"` // removed, rewritten, refused, cut: the first that keeps the request's meaning
	Narrowness int      `json:"narrowness,omitzero"`
	Reversible string   `json:"reversible,omitempty"`
}

const (
	atOnce   = "at once"
	cutsLost = "at once, but for calls that were cut"
)

var ladder = []ValueInfo{
	{Name: "L0", Narrowness: 9, Reversible: atOnce, Summary: "freezes changes: no fine-tunes, no new deployments; generation goes on"},
	{Name: "L1", Narrowness: 10, Reversible: atOnce, Summary: "no new sessions; running and continued ones go on"},
	{Name: "L2", Narrowness: 11, Reversible: cutsLost, Summary: "drain: nothing new, running requests may finish within the drain"},
	{Name: "L3", Narrowness: 12, Reversible: cutsLost, Summary: "hard stop in scope; running streams are cut"},
	{Name: "L4", Narrowness: 13, Reversible: cutsLost, Summary: "hard stop on every surface, partners and internal use included; nobody is excepted"},
	{Name: "L5", Narrowness: 14, Reversible: "by those who hold custody", Summary: "weights sealed; needs a quorum and custody, not available as a direct correction"},
	{Name: "L6", Narrowness: 15, Reversible: "never", Summary: "destruction of weights; needs a quorum and custody, not available as a direct correction"},
}

var catalogue = []KindInfo{
	{
		Kind: Stop, Summary: "takes a model away, by level", Levels: ladder, Status: 503, Narrowness: 9, Reversible: cutsLost,
		Params: []ParamInfo{
			{Name: "level", Type: "text", Required: true, Allowed: levels, Summary: "how far the model is taken away"},
			{Name: "drain", Type: "duration", Default: "2m", Bounds: "up to 24h; L2 only", Summary: "how long running requests may go on"},
		},
	},
	{
		Kind: Access, Summary: "blocks subjects, or allows only the listed ones", Status: 403, Narrowness: 7, Reversible: cutsLost,
		Params: []ParamInfo{
			{Name: "mode", Type: "text", Required: true, Allowed: accesses, Summary: "block refuses who is in scope; allow_only refuses who is not among the scope's orgs, users, keys, tiers, ips, countries, attributes and lists"},
			{Name: "linked", Type: "list", Bounds: "at most 8; block with users, keys, orgs or attributes in scope", Summary: `catches who comes back under another name: "org", or names of attributes, that the accounts of one subject share`},
		},
	},
	{
		Kind: Use, Summary: "prohibits a class of use", Status: 403, Narrowness: 5, Reversible: cutsLost,
		Params: []ParamInfo{
			{Name: "use_case", Type: "text", Required: true, Bounds: "at most 16 segments, 512 bytes", Summary: `a node of the taxonomy; "a" covers "a/b"`},
			{Name: "basis", Type: "text", Allowed: bases, Default: "declared", Summary: "how the use is known: said by the caller or its key, or found in what is asked and answered"},
			{Name: "action", Type: "text", Allowed: actions, Default: "block", Summary: "refuse it, or ask for an acknowledgement and refuse who has not given it in time"},
			{Name: "acknowledge_by", Type: "time", Bounds: "required with acknowledge, in the future", Summary: "from then on, who has not acknowledged is refused"},
			{Name: "detector", Type: "text", Bounds: "required with inferred; a configured classifier", Summary: "what finds the use"},
			{Name: "threshold", Type: "number", Default: "0.5", Bounds: "0 < t <= 1; inferred only", Summary: "the score from which on it is this use"},
		},
	},
	{
		Kind: Capability, Summary: "switches a feature off, clamps a value, filters content, or pins a version",
		Features: featureInfos(), Clamps: clampInfos(), Status: 422, Narrowness: 1, Reversible: cutsLost,
		Params: []ParamInfo{
			{Name: "disable", Type: "list", Allowed: disableNames, Narrowness: 3, Summary: "features, and tools by name or type, that are taken out of requests or refused; either this, clamp, filter or pin"},
			{Name: "clamp", Type: "object", Allowed: clampNames, Narrowness: 1, Summary: "largest values; a request that asks for more gets this much, or is refused where that would change its meaning"},
			{Name: "filter", Type: "object", Narrowness: 2, Status: 403, Summary: "looks for text in prompts or answers: direction, detector, patterns, regexps, exact, threshold, on_error, action"},
			{Name: "pin", Type: "text", Bounds: "at most 512 bytes; scope.models required", Narrowness: 4, Summary: "the version of the model that is served"},
		},
	},
	{
		Kind: Rate, Summary: "limits how much and how often", Status: 429, Narrowness: 6, Reversible: atOnce,
		Params: []ParamInfo{
			{Name: "metric", Type: "text", Required: true, Allowed: metrics, Summary: "what is counted; concurrent is requests at the same time, an app is the attribute app=… or else the key"},
			{Name: "limit", Type: "integer", Required: true, Bounds: "at least 1", Summary: "how much is allowed in a window, or at once"},
			{Name: "window", Type: "duration", Bounds: "1s to 31d; required, but for concurrent, which takes none", Summary: "the time over which is counted"},
			{Name: "per", Type: "text", Allowed: pers, Default: "global", Summary: "what has a count of its own"},
			{Name: "on_exceed", Type: "text", Allowed: onExceeds, Default: "reject", Summary: "what happens beyond the limit"},
		},
	},
}

// described is the catalogue with the schemas, which are made once.
var described = sync.OnceValue(func() []KindInfo {
	infos := slices.Clone(catalogue)
	for i := range infos {
		infos[i].Schema = schema(infos[i].Kind)
	}
	return infos
})

// Catalogue returns the kinds, from the one that takes most away to the one
// that takes least. The caller may change the outer slice, not what it holds.
func Catalogue() []KindInfo { return slices.Clone(described()) }

// paramNames are the parameters of each kind; nil if there is no such kind.
var paramNames = func() map[Kind][]string {
	byKind := make(map[Kind][]string, len(catalogue))
	for _, info := range catalogue {
		for _, p := range info.Params {
			byKind[info.Kind] = append(byKind[info.Kind], p.Name)
		}
	}
	return byKind
}()

// Status is the HTTP status of a refusal by a correction of a kind: 503
// withdrawn for now (stop up to L4), 410 withdrawn for good (L5, L6), 403 access
// and use, 422 capability, 429 rate. level counts for stop alone.
func Status(k Kind, level int) int {
	switch k {
	case Stop:
		if level >= 5 {
			return 410
		}
		return 503
	case Capability:
		return 422
	case Rate:
		return 429
	}
	return 403
}

// Status is the HTTP status of a refusal by this correction. It is that of its
// kind, but 403 for a filter: it refuses what was said and not how the request
// is made, so no other form of the request would do; and 451 where a legal order
// is carried out, but for a limit, which passes.
func (c *Correction) Status() int {
	if c.LegalOrder != "" && c.Kind != Rate {
		return 451
	}
	if c.Kind == Capability && c.Params.Filter != nil {
		return 403
	}
	return Status(c.Kind, c.Level())
}

// Level is 0 to 6 for a stop, and -1 for every other kind and for a level that
// does not exist.
func (c *Correction) Level() int {
	l := c.Params.Level
	if c.Kind != Stop || len(l) != 2 || l[0] != 'L' || l[1] < '0' || l[1] > '6' {
		return -1
	}
	return int(l[1] - '0')
}
