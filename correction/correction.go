// Package correction is the heart of Andon: the closed catalogue of
// corrections, what they reach, and how they combine into one verdict.
//
// It is pure. It does no I/O and reads no clock: the time is a parameter. The
// same code decides live, in preview, in replay and in the exercise.
//
// A Policy is immutable once compiled and safe for any number of concurrent
// callers. Policy.Next makes another one of it and shares what has not changed.
// Policy.Decide neither allocates nor locks, except to evaluate a CEL
// expression for a request that everything else in a rule already reaches.
//
// Two properties hold, and both are tested: adding a correction never makes a
// verdict less restrictive, and the order in which corrections are given never
// changes a verdict.
//
// # What is unknown
//
// An empty value in a request is an unknown one and is never in any list. So it
// escapes a scope, is not spared by an except, and is refused by allow_only. A
// scope that says unknown "include" reaches it: no country, no user or one that is
// empty beside others, no attribute of a name that the scope lists, no attribute
// at all for a list of attributes.
// A CEL expression that fails at run time counts as a match in a scope and as
// none in an except. A clock in doubt is judged against the caller (Span).
//
// # When it is in force
//
// At once, as soon as it is in a policy, whatever the clock says; unless
// StartsAt is later than AppliedAt, and then from StartsAt on. Until just before
// ExpiresAt. A drain is counted from AppliedAt or StartsAt, whichever is later.
//
// # Named lists
//
// The lists that a scope names are one more dimension: any one of them suffices
// to reach, and for an except or an allow_only one of them has to hold all values.
// While a list of its scope is missing a correction is not in force (Waiting); a
// list that is missing in an except spares nobody; for Lost see there.
//
// # Linked accounts
//
// A block with Links reaches, beside its subjects, every request of an org or with
// an attribute that is linked. What else the scope asks (models, tools, when and
// so on), the share and the except hold for both.
//
// # What a correction does
//
// Stop, access and a declared use refuse. The rest says more in the Verdict:
//
//   - disable: a request that uses what is disabled is refused, unless all of that
//     can be taken out of it (Request.Optional, OptionalTools); then it is stripped.
//     One that runs already can only be refused. Where tools are disabled, the
//     answer of every call in scope is guarded too, whether or not the request
//     offers one. scope.tools narrows both to requests that offer such a tool: to
//     guard every answer, name the tool in disable and not in the scope.
//   - clamp: output_tokens, choices, temperature and reasoning_tokens are rewritten,
//     but for a running request. Beyond context_tokens and messages a request is
//     refused: it would be another conversation; so it is where reasoning is asked
//     for in words. session_ clamps are for the gateway to count.
//   - filter, and a use that is inferred: for the gateway to look at what is said,
//     in calls that generate. Running ones are looked at from then on.
//   - pin: two pins of different versions refuse, all of them.
//   - acknowledge: before its deadline the caller is asked (Verdict.Acknowledge), from
//     then on refused, unless its org or key is in Acknowledged.
//   - in shadow, what would have refused or changed the request is counted, and
//     limits, session clamps and filters are handed out to be tried.
//
// # Names the caller can add
//
// Users, attributes, use cases and tools of a request are lists. A scope
// reaches the request if any value is listed; an except or an allow_only spares
// it only if there is at least one value and all of them are listed. Tools are
// the names and the types of what is offered, so sparing a tool takes both.
//
// # Units and bounds
//
//   - values: 1 to 512 bytes of UTF-8, compared byte for byte; at most 10,000 in
//     one dimension of one correction (Compile itself has no such bound)
//   - countries: ISO 3166-1 alpha-2, in any case
//   - ips: an address or a prefix; an IPv4-mapped IPv6 address is IPv4, and an
//     IPv6 prefix never covers IPv4
//   - attributes: "name=value"; use cases: "a/b/c", at most 16 segments
//   - when: CEL, at most 2,048 bytes, result bool, at most 10,000 cost units an
//     evaluation
//   - reason: 1 to 4,096 bytes; public_reason and legal_order: at most 1,024 bytes
//   - limit: at least 1, in requests, tokens, calls or names; window: 1s to 31d;
//     drain: up to 24h, 2m unless said
//   - clamps: as the catalogue says; temperature 0 to 2, session_spend in US dollars
//   - tools in disable: 1 to 256 bytes; names of lists: 1 to 64 bytes of a-z 0-9 . _ -
//   - patterns: 1 to 1,024 bytes, at most 10,000; regexps: RE2, at most 1,000
//   - links and acknowledged: at most 10,000 each
//   - share: 0 < share <= 1, a part of the subjects
//   - times: nanoseconds; beyond the years 1678 to 2261 they mean always, never
package correction

import (
	"net/netip"
	"time"
)

// Kind is one of the five kinds of the toolkit. The catalogue is closed.
type Kind string

// The five kinds, from the one that takes most away to the one that takes least.
const (
	Stop       Kind = "stop"       // takes a model away, by level
	Access     Kind = "access"     // blocks subjects, or allows only the listed ones
	Use        Kind = "use"        // prohibits a class of use
	Capability Kind = "capability" // switches a feature off, or clamps a value
	Rate       Kind = "rate"       // limits how much and how often
)

// Mode says whether a correction acts or only counts what it would have done.
type Mode string

// The modes. The zero value means Enforce.
const (
	Enforce Mode = "enforce"
	Shadow  Mode = "shadow"
)

// Correction is one restriction, as written by an operator and as carried in
// an order. ID and AppliedAt are set by the control plane when it accepts it.
type Correction struct {
	ID           string    `json:"id,omitempty"`
	Kind         Kind      `json:"kind"`
	Params       Params    `json:"params"`
	Scope        Scope     `json:"scope"`
	Except       *Scope    `json:"except,omitzero"`         // who is spared although in scope
	Mode         Mode      `json:"mode,omitempty"`          // default enforce
	Share        float64   `json:"share,omitzero"`          // stable part of the subjects, 0 < share <= 1; 0 means all
	StartsAt     time.Time `json:"starts_at,omitzero"`      // default: at once
	ReviewBy     time.Time `json:"review_by,omitzero"`      // when a person looks again; does not end the correction
	ExpiresAt    time.Time `json:"expires_at,omitzero"`     // when it ends by itself; zero means it has to be lifted
	Reason       string    `json:"reason"`                  // for operators and the record
	PublicReason string    `json:"public_reason,omitempty"` // what the caller is told
	LegalOrder   string    `json:"legal_order,omitempty"`   // the court's or authority's order that it carries out, public; refusals then have status 451 (RFC 7725)
	Incident     string    `json:"incident,omitempty"`
	Fallback     string    `json:"fallback,omitempty"` // a model; "none"; "" is the model's own for stop, none for the other kinds
	AppliedAt    time.Time `json:"applied_at,omitzero"`

	// Kept by the control plane while the correction stands.
	Links        []string `json:"links,omitempty"`        // access block with params.linked: "org=…" and "name=value" that reach like the scope's subjects
	Acknowledged []string `json:"acknowledged,omitempty"` // use with action acknowledge: orgs, or "key:ID", that have acknowledged
}

// Params are the parameters of all kinds. Validate refuses those that do not
// belong to the correction's kind.
type Params struct {
	// access
	Mode   string   `json:"mode,omitempty"`   // block | allow_only
	Linked []string `json:"linked,omitempty"` // block: "org", or names of attributes, by which accounts of one subject are known

	// rate
	Metric   string   `json:"metric,omitempty"`    // requests | input_tokens | output_tokens | total_tokens | tool_calls | concurrent | distinct_users | distinct_apps
	Limit    *int64   `json:"limit,omitzero"`      // at least 1
	Window   Duration `json:"window,omitzero"`     // 1s to 31d; not for concurrent
	Per      string   `json:"per,omitempty"`       // user | org | key | ip | model | global; default global
	OnExceed string   `json:"on_exceed,omitempty"` // reject (default) | queue

	// capability: exactly one of the four
	Disable []string           `json:"disable,omitempty"` // features of the registry, or "tool:NAME"
	Clamp   map[string]float64 `json:"clamp,omitempty"`   // clamps of the registry, e.g. output_tokens; whole numbers, but for temperature and session_spend
	Filter  *Filter            `json:"filter,omitempty"`
	Pin     string             `json:"pin,omitempty"` // the version of the model that is served

	// use
	UseCase       string    `json:"use_case,omitempty"`      // a node of the taxonomy; covers its children ("a" covers "a/b")
	Basis         string    `json:"basis,omitempty"`         // declared (default) | inferred
	Action        string    `json:"action,omitempty"`        // block (default) | acknowledge
	AcknowledgeBy time.Time `json:"acknowledge_by,omitzero"` // acknowledge: from then on, who has not is refused
	Detector      string    `json:"detector,omitempty"`      // inferred: a configured classifier
	Threshold     float64   `json:"threshold,omitzero"`      // inferred: the score from which on it is this use; default 0.5

	// stop
	Level string   `json:"level,omitempty"` // L0 to L4; L5 and L6 by a workflow of the control plane
	Drain Duration `json:"drain,omitzero"`  // L2: how long running work may go on; default 2m, at most 24h
}

// Filter looks for text in prompts or answers, and says what happens where it is
// found. What it looks for is either written here (detector "patterns"), or known
// to a classifier that the gateways' configuration declares by name.
type Filter struct {
	Direction string   `json:"direction"`          // input | output | both
	Detector  string   `json:"detector"`           // "patterns", or a configured classifier
	Patterns  []string `json:"patterns,omitempty"` // literal texts; 1 to 1,024 bytes each, at most 10,000
	Regexps   []string `json:"regexps,omitempty"`  // RE2, of bounded length; at most 1,000
	Exact     bool     `json:"exact,omitzero"`     // patterns: as written; else case, width and invisible characters are disregarded
	Threshold float64  `json:"threshold,omitzero"` // classifier: the score from which on it is found, 0 < t <= 1; default 0.5
	OnError   string   `json:"on_error,omitempty"` // classifier that fails or is late: block (default) | pass
	Action    string   `json:"action"`             // block | redact (patterns only) | cut | reroute | hold
}

// Scope says what a correction reaches, or in Except what it spares. Each
// field is a list; all that are given must match, and any value of one
// suffices. An empty scope must be written as {"all": true}.
type Scope struct {
	All        bool     `json:"all,omitzero"`
	Models     []string `json:"models,omitempty"`
	Versions   []string `json:"versions,omitempty"`
	Surfaces   []string `json:"surfaces,omitempty"`
	Orgs       []string `json:"orgs,omitempty"`
	Users      []string `json:"users,omitempty"`
	Keys       []string `json:"keys,omitempty"` // ids of keys, never secrets
	Tiers      []string `json:"tiers,omitempty"`
	IPs        []string `json:"ips,omitempty"` // addresses or prefixes
	Countries  []string `json:"countries,omitempty"`
	Attributes []string `json:"attributes,omitempty"` // "name=value"
	Tools      []string `json:"tools,omitempty"`
	UseCases   []string `json:"use_cases,omitempty"`
	Lists      []string `json:"lists,omitempty"`
	When       string   `json:"when,omitempty"` // a CEL expression over the request

	// Unknown says what happens where the request's value of a dimension given
	// here is unknown (no country, no such attribute): "exclude" (default) or
	// "include". Not in an except, nor for allow_only: what is unknown is never
	// spared.
	Unknown string `json:"unknown,omitempty"`
}

// Features is a set of features that a request uses, or a route means.
type Features uint64

// The feature registry.
const (
	Tools               Features = 1 << iota // tools are offered, of any type
	Streaming                                // the answer is a stream
	FunctionTools                            // functions that the caller runs
	WebSearch                                // the provider searches or fetches from the web
	CodeExecution                            // the provider, or a container of its, runs code or a shell
	ComputerUse                              // a screen, browser or editor is operated
	FileSearch                               // the provider searches in stored files
	MCP                                      // a Model Context Protocol server, connector or app
	ParallelToolCalls                        // several tool calls in one turn are permitted
	ImageInput                               // pictures or video are given
	AudioInput                               // audio is given
	FileInput                                // documents are given, inline or by id
	ImageOutput                              // pictures or video are asked for, by modality, tool or route
	AudioOutput                              // audio is asked for
	SystemPrompt                             // instructions above the user's: system or developer
	StoredConversations                      // the provider keeps, or goes on with, the conversation
	Batch                                    // batches
	Files                                    // files kept at the provider
	FineTuneCreate                           // fine-tuning jobs are made
	FineTuneServe                            // a fine-tuned derivative is called
	Embeddings                               // embeddings
	Logprobs                                 // probabilities of tokens are asked for
	ReasoningEffort                          // reasoning (thinking) is asked for, or its amount set
	StructuredOutput                         // the answer's form is prescribed (JSON mode, schema)
	Realtime                                 // a session over WebSocket
)

// Request is what a policy decides on: the facts about one call, whatever wire
// it came on. Lists that the caller can influence may hold several values: a
// correction reaches the request if any of them is in its scope, but spares it
// (except, allow_only) only if all of them are listed, so that naming one
// more value never loosens anything.
type Request struct {
	Model   string
	Version string
	Surface string

	Org        string
	Users      []string // the key's own user first, then what the body claims; at most 4
	Folded     []string // FoldUser of those that it changes: by it they are reached, and never spared
	Key        string   // id of the key
	Tier       string
	IP         netip.Addr // unmapped
	Country    string
	Attributes []string // verified, "name=value"
	UseCases   []string // from the key, then from the header

	Derivative string // the fine-tune or deployment that was called, where it is not the model itself

	Generates     bool     // the call makes a model produce output
	Brings        bool     // it brings texts in that are, or will be, told to a model: filters on prompts look at them
	Features      Features // what the request uses
	Optional      Features // of those, what can be taken out of it and leaves it its meaning
	Tools         []string // names and types of the tools offered
	OptionalTools []string // of those, the names that can be taken out likewise
	InputTokens   int64    // estimate
	OutputTokens  int64    // bound that the caller asked for; 0 means none
	Messages      int64    // turns in the conversation, as far as the body shows
	Choices       int64    // answers asked for; 0 and 1 mean one
	Temperature   float64  // asked for; negative means not said
	Reasoning     int64    // reasoning tokens asked for; 0 means no number was said
	Effort        bool     // reasoning is asked for in words, which no number can bound

	Continues bool // goes on with a session that this gateway, or the provider, knows
	Live      bool // already running: asked again because the policy changed
}

// Span is the interval within which the true time lies, in Unix nanoseconds.
// A start is judged by Late and an end by Early, so that a clock in doubt
// never loosens a correction.
type Span struct{ Early, Late int64 }

// At returns the span of a clock that is not in doubt.
func At(t time.Time) Span { n := t.UnixNano(); return Span{n, n} }
