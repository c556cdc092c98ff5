// Package wire holds what the provider APIs have in common: how a request's
// envelope is read once, rewritten where a correction asks, how an answer is
// cut into events, and how a refusal is spoken in the provider's own shape.
// Each provider has a package of its own below it.
//
// Readers are strict about what a decision rests on and blind to everything
// else: what Andon decides on is what the provider reads, and fields it does
// not know pass untouched. Nothing here does I/O; values are safe for
// concurrent use unless they say otherwise.
package wire

import (
	"time"

	"andon/correction"
	"andon/wire/scan"
)

// Op is what a route does, as far as corrections care.
type Op uint8

// The operations. Up to OpGetModel, and OpTranscribe to OpModerate, a request
// asks one model that it names. The others reach models in other ways, if any.
const (
	OpGenerate    Op = iota + 1 // produces model output
	OpEmbed                     // produces embeddings
	OpCountTokens               // counts, produces nothing
	OpListModels                // GET the list of models
	OpGetModel                  // GET one model; Route.Model names it
	OpTranscribe                // makes text of audio
	OpSpeech                    // makes audio of text
	OpImage                     // makes or changes pictures or video
	OpModerate                  // classifies; where no model is named, the provider's own serves
	OpRun                       // sets a model going on what the provider keeps: a run, an agent's session, an eval
	OpBatch                     // makes a batch; its requests are in its body, or in a file that was sent before
	OpFineTune                  // makes a fine-tuning job, or lets one go on
	OpRealtime                  // opens a realtime session, or makes the secret that opens one
	OpFile                      // brings a file in, whole or in parts
	OpStored                    // reads, changes, ends or removes what the provider keeps; Route.Object says what
	OpAccount                   // manages the account
)

// Body is what a route takes as its request body.
type Body uint8

// The kinds of bodies.
const (
	BodyNone   Body = iota // none: it must be empty, or an object without members, as some clients send
	BodyJSON               // one JSON object; may be empty where no model has to be named
	BodyForm               // multipart/form-data
	BodyEither             // JSON or a form, as the content type says
	BodyAny                // bytes that nothing is decided on
)

// Place is where a route names its model.
type Place uint8

// The places.
const (
	ModelNowhere Place = iota
	ModelInBody        // a member of the JSON body, or a field of the form
	ModelInPath        // Route.Model
	ModelInQuery       // Route.Model, too; "" where the query does not name it
)

// Route is a known method and path of a wire.
type Route struct {
	API    string // stable name for logs and metrics: "openai.chat", "anthropic.messages", …
	Op     Op
	Model  string // from the path or the query, where the route names it there; decoded
	Stream bool   // the path or the query itself asks for a stream
	SSE    bool   // a stream on this route is server-sent events (false: Gemini's JSON array)

	ModelPath Region // where the escaped path names the model, its collection included (Gemini); zero if it does not

	Features correction.Features // what the use of the route as such means; ending and removing means nothing
	Body     Body
	ModelIn  Place
	Named    bool   // the body has to name the model
	Answers  bool   // the answer holds what a model put out before
	Upgrade  bool   // opens a WebSocket; known by a GET without a body
	Object   string // kind of the stored thing that the path names last: "response", "batch", "file", …; "" if none
	ID       string // of that thing; it aliases the path
}

// Wire is one family of provider APIs.
type Wire interface {
	// Name is "openai", "anthropic" or "gemini".
	Name() string

	// Match knows a route by its method, its escaped path exactly as sent
	// (no cleaning), and its raw query. ok is false for everything it does not
	// know. header looks one request header up, for the one path that two wires
	// share (/v1/models).
	Match(method, escapedPath, rawQuery string, header func(string) string) (rt Route, ok bool)

	// Read reads the envelope of a request body in one pass, into e, which it
	// resets first. e aliases body. The error is a *Problem with status 400 that
	// names what is wrong and where.
	Read(rt Route, body []byte, e *Envelope) error

	// AppendError appends the body of a plain refusal: the wire's own error
	// envelope, with Andon's members inside its error object.
	AppendError(dst []byte, p *Problem) []byte

	// AppendStreamEnd appends the wire's own terminal error event(s), complete
	// with framing, for a stream of this route that is cut at an event boundary
	// after at least one event. Framer.AppendEnd knows when there was none, which
	// matters for a JSON array.
	AppendStreamEnd(dst []byte, rt Route, p *Problem) []byte

	// Usage reads token counts from a plain response body or from the data of
	// one stream event into u. It leaves u alone and returns false if there are
	// none. Later, larger counts replace earlier ones (Anthropic's are cumulative).
	Usage(rt Route, data []byte, u *Usage) bool

	// Outcome reads from a plain response body, or from the data of one stream
	// event, what sessions and counts need, into o. What o has already is kept,
	// or added to. It allocates nothing but the strings that it keeps, and looks
	// no further into an event that has none of it.
	Outcome(rt Route, data []byte, o *Outcome)

	// AppendModels appends the wire's model listing for the given names, or for
	// OpGetModel the single object of names[0].
	AppendModels(dst []byte, rt Route, names []string) []byte

	Texts // what is said in answers and requests
}

// Envelope is what a request body says, as far as decisions need it. Offsets
// are into the body that was read, and its strings alias that body: clone what
// is kept for longer.
type Envelope struct {
	Model     string // decoded; from the body or, for Gemini, from the path
	Stream    bool
	HasTools  bool
	Tools     []string // names and types of tools offered, decoded; reused between reads
	Users     []string // end users the body claims: safety_identifier, user, metadata.user_id; in that order
	MaxTokens int64    // the largest output bound given; 0 means none
	Boundless bool     // a bound of 0 is given, which some providers of this wire take for none; MaxTokens is 0 then
	Choices   int64    // answers asked for, each with its own output bound; 1 unless the body says otherwise
	Others    []string // further models that the body lets the provider use (fallbacks, a tool's own model)
	Continues bool     // carries a provider-issued continuation id (previous_response_id, conversation)
	Stored    bool     // builds on what is stored at the provider (a prompt, cached content), which may bring tools of its own
	Prior     bool     // carries earlier model turns (an assistant or model message)
	First     []byte   // raw bytes of the first message, content or input item: a session's fingerprint
	System    []Region // where the first MaxSystem system texts stand: whole messages of role system or developer, or the value of the member that is one

	// Of bodies that are not generation bodies.
	Form      bool   // the body is a form: ModelAt has no quotes
	Purpose   string // what a file is for: "batch", "fine-tune", "assistants", …
	InputFile string // id of the stored file that a batch or a fine-tuning job works on
	Endpoint  string // path that a batch's requests go to
	FileAt    Region // content of the form's first file

	ModelAt   Region   // the model's value, quotes included; zero if it is not in the body
	ModelToo  []Region // values that repeat the path's model as a resource name, quotes included (Gemini)
	MaxAt     []Region // every output bound in the body, the values only
	MaxNull   Region   // a bound that is null, where the body has no other: the number takes its place
	InsertKey string   // JSON text for a bound that is not there, e.g. `"max_tokens":`; "" if the body has one or cannot have one

	// What the body uses, and what of it Rewrite can take out (offers.go).
	Features      correction.Features // of the registry
	Optional      correction.Features // of those, what can be taken out and leaves the request its meaning
	OptionalTools []string            // of Tools, the names and types that can be taken out likewise
	Messages      int64               // turns of the conversation: messages, contents or input items; a prompt that is one text counts as one
	Temperature   float64             // -1: not said
	Reasoning     int64               // the largest budget of reasoning tokens; MaxInt64 for one that the model chooses; 0: no number was said
	Effort        bool                // reasoning is asked for in words and not by a number, so that a budget cannot be lowered here
	Background    bool                // the provider goes on with it after the caller has gone
	Session       []string            // the provider's ids of what this goes on with: "response:ID", "conversation:ID", "container:ID", "metadata:…"

	edits
}

// Reset empties e and keeps its memory. It is done for each request, member by
// member since that is what costs least.
func (e *Envelope) Reset() {
	e.Model, e.Purpose, e.InputFile, e.Endpoint, e.InsertKey = "", "", "", "", ""
	e.Stream, e.HasTools, e.Boundless, e.Continues, e.Stored, e.Prior, e.Form = false, false, false, false, false, false, false
	e.Effort, e.Background = false, false
	e.Features, e.Optional = 0, 0
	e.MaxTokens, e.Messages, e.Reasoning = 0, 0, 0
	e.Choices, e.Temperature = 1, -1
	e.First = nil
	e.ModelAt, e.MaxNull, e.FileAt = Region{}, Region{}, Region{}
	e.Tools, e.Users, e.Others, e.System = e.Tools[:0], e.Users[:0], e.Others[:0], e.System[:0]
	e.OptionalTools, e.Session = e.OptionalTools[:0], e.Session[:0]
	e.ModelToo, e.MaxAt = e.ModelToo[:0], e.MaxAt[:0]
	e.edits.reset()
}

// Region is a half-open range of bytes in a body.
type Region = scan.Span

// Usage is what a provider says a call consumed, in tokens.
type Usage struct{ Input, Output int64 }

// Problem is a refusal or an error of Andon itself, in the members of RFC 9457
// and those of interface.md. It never carries prompt text.
type Problem struct {
	Status int    // HTTP status
	Code   string // stable: "andon_correction", "invalid_json", "unknown_route", …
	Title  string // short, the same for each code
	Detail string // what is wrong, where, and what is allowed; public
	Param  string // the field at fault, if there is one

	// Of a correction.
	CorrectionID string
	Corrections  []string // all that decided
	Kind         string
	Scope        string // human-readable scope, public part only
	Reason       string // the public one
	ReviewBy     time.Time
	Reversible   bool
	Fallback     string
	NoticeURL    string
	AppealURL    string

	RetryAfter time.Duration // 0: none
	Retry      bool          // a retry of the same request can succeed soon
	RequestID  string
	Revision   uint64
}

func (p *Problem) Error() string {
	if p.Param != "" {
		return p.Code + ": " + p.Param + ": " + p.Detail
	}
	return p.Code + ": " + p.Detail
}
