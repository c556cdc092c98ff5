package correction

import (
	"slices"
	"time"
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

// The closed sets. Validate, the catalogue and error messages all read these.
var (
	kinds     = []string{string(Stop), string(Access), string(Use), string(Capability), string(Rate)}
	modes     = []string{string(Enforce), string(Shadow)}
	accesses  = []string{"block", "allow_only"}
	metrics   = []string{"requests", "input_tokens", "output_tokens", "total_tokens", "concurrent"}
	pers      = []string{"user", "org", "key", "ip", "model", "global"}
	onExceeds = []string{"reject", "queue"}
	bases     = []string{"declared"}
	actions   = []string{"block"}
	levels    = []string{"L0", "L1", "L2", "L3", "L4"} // that can be applied directly
)

// KindInfo describes one kind of the catalogue.
type KindInfo struct {
	Kind     Kind        `json:"kind"`
	Summary  string      `json:"summary"`
	Params   []ParamInfo `json:"params"`
	Features []ValueInfo `json:"features,omitempty"` // that capability can disable
	Clamps   []ValueInfo `json:"clamps,omitempty"`   // that capability can clamp
	Levels   []ValueInfo `json:"levels,omitempty"`   // of stop
	Status   int         `json:"status"`             // HTTP status of a refusal; stop L5 and L6 answer 410
}

// ParamInfo describes one parameter of a kind.
type ParamInfo struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"` // text, integer, duration, list, object
	Required bool     `json:"required,omitzero"`
	Allowed  []string `json:"allowed,omitempty"`
	Default  string   `json:"default,omitempty"`
	Bounds   string   `json:"bounds,omitempty"`
	Summary  string   `json:"summary"`
}

// ValueInfo describes one member of a closed set.
type ValueInfo struct {
	Name    string `json:"name"`
	Summary string `json:"summary"`
}

// feature binds a name of the registry to its bit.
type feature struct {
	ValueInfo
	bit Features
}

var features = []feature{
	{ValueInfo{"tools", "offering tools to the model, of any type"}, Tools},
	{ValueInfo{"streaming", "answers that arrive as a stream"}, Streaming},
}

const clampOutputTokens = "output_tokens"

var clamps = []ValueInfo{
	{clampOutputTokens, "the largest number of tokens that an answer may have; at least 1"},
}

var ladder = []ValueInfo{
	{"L0", "freezes changes: no fine-tunes, no new deployments; generation goes on"},
	{"L1", "no new sessions; running and continued ones go on"},
	{"L2", "drain: nothing new, running requests may finish within the drain"},
	{"L3", "hard stop in scope; running streams are cut"},
	{"L4", "hard stop on every surface, partners and internal use included; nobody is excepted"},
	{"L5", "weights sealed; needs a quorum and custody, not available as a direct correction"},
	{"L6", "destruction of weights; needs a quorum and custody, not available as a direct correction"},
}

var catalogue = []KindInfo{
	{
		Kind: Stop, Summary: "takes a model away, by level", Levels: ladder, Status: 503,
		Params: []ParamInfo{
			{Name: "level", Type: "text", Required: true, Allowed: levels, Summary: "how far the model is taken away"},
			{Name: "drain", Type: "duration", Default: "2m", Bounds: "up to 24h; L2 only", Summary: "how long running requests may go on"},
		},
	},
	{
		Kind: Access, Summary: "blocks subjects, or allows only the listed ones", Status: 403,
		Params: []ParamInfo{
			{Name: "mode", Type: "text", Required: true, Allowed: accesses, Summary: "block refuses who is in scope; allow_only refuses who is not among the scope's orgs, users, keys, tiers, ips, countries and attributes"},
		},
	},
	{
		Kind: Use, Summary: "prohibits a class of use", Status: 403,
		Params: []ParamInfo{
			{Name: "use_case", Type: "text", Required: true, Bounds: "at most 16 segments, 512 bytes", Summary: `a node of the taxonomy; "a" covers "a/b"`},
			{Name: "basis", Type: "text", Allowed: bases, Default: "declared", Summary: "how the use is known"},
			{Name: "action", Type: "text", Allowed: actions, Default: "block", Summary: "what happens to it"},
		},
	},
	{
		Kind: Capability, Summary: "switches a feature off, or clamps a value", Features: featureInfos(), Clamps: clamps, Status: 422,
		Params: []ParamInfo{
			{Name: "disable", Type: "list", Allowed: featureNames, Summary: "features whose use is refused; either this or clamp"},
			{Name: "clamp", Type: "object", Allowed: clampNames, Bounds: "at least 1", Summary: "largest values; a request that asks for more gets this much; either this or disable"},
		},
	},
	{
		Kind: Rate, Summary: "limits how much and how often", Status: 429,
		Params: []ParamInfo{
			{Name: "metric", Type: "text", Required: true, Allowed: metrics, Summary: "what is counted; concurrent is requests at the same time"},
			{Name: "limit", Type: "integer", Required: true, Bounds: "at least 1", Summary: "how much is allowed in a window, or at once"},
			{Name: "window", Type: "duration", Bounds: "1s to 31d; required, but for concurrent, which takes none", Summary: "the time over which is counted"},
			{Name: "per", Type: "text", Allowed: pers, Default: "global", Summary: "what has a count of its own"},
			{Name: "on_exceed", Type: "text", Allowed: onExceeds, Default: "reject", Summary: "what happens beyond the limit"},
		},
	},
}

// Catalogue returns the kinds, from the one that takes most away to the one
// that takes least. The caller may change the outer slice, not what it holds.
func Catalogue() []KindInfo { return slices.Clone(catalogue) }

func featureInfos() []ValueInfo {
	infos := make([]ValueInfo, len(features))
	for i, f := range features {
		infos[i] = f.ValueInfo
	}
	return infos
}

// The names alone, as errors list them; nobody changes them.
var (
	featureNames = valueNames(featureInfos())
	clampNames   = valueNames(clamps)
	paramNames   = func() map[Kind][]string { // nil if there is no such kind
		byKind := make(map[Kind][]string, len(catalogue))
		for _, info := range catalogue {
			for _, p := range info.Params {
				byKind[info.Kind] = append(byKind[info.Kind], p.Name)
			}
		}
		return byKind
	}()
)

func valueNames(vs []ValueInfo) []string {
	names := make([]string, len(vs))
	for i, v := range vs {
		names[i] = v.Name
	}
	return names
}

// Status is the HTTP status of a refusal by a correction: 503 withdrawn for now
// (stop up to L4), 410 withdrawn for good (L5, L6), 403 access and use, 422
// capability, 429 rate. level counts for stop alone.
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

// Level is 0 to 6 for a stop, and -1 for every other kind and for a level that
// does not exist.
func (c *Correction) Level() int {
	l := c.Params.Level
	if c.Kind != Stop || len(l) != 2 || l[0] != 'L' || l[1] < '0' || l[1] > '6' {
		return -1
	}
	return int(l[1] - '0')
}
