package order

import "time"

// The subjects by which gateways tell of work that providers go on with.
const (
	SubjectWorks       = "andon.works"         // control → gateways, request WorksAsk → WorksAnswer
	SubjectWorkChanged = "andon.works.changed" // gateway → control: WorkChanges, as they happen
)

// The states of a Work.
const (
	WorkRunning    = "running"
	WorkCancelling = "cancelling" // the provider was told, and has not ended it yet
	WorkCancelled  = "cancelled"
	WorkEnded      = "ended" // by itself, well or badly: Status is the provider's word for it
	WorkKept       = "kept"  // nothing runs; the provider keeps it: a file, a stored response
)

// What became of a Work that a correction ends.
const (
	StopPending   = "pending"           // it will be cancelled now
	StopCancelled = "cancelled"         // the provider has taken the cancellation
	StopEnded     = "ended"             // it had ended before it could be cancelled
	StopFailing   = "failing"           // the provider did not take the cancellation: it is tried again
	StopNoCall    = "no_call"           // the provider has no call to cancel it
	StopCaller    = "caller_credential" // it runs in the caller's account: only the caller can cancel it
)

// Work is something that a call began at a provider and that outlives the call: a
// batch, a file, a fine-tuning job, a response. No prompt text and no end user's
// name is in it.
type Work struct {
	ID        string    `json:"id"` // the provider's
	Kind      string    `json:"kind"`
	Gateway   string    `json:"gateway"`
	Upstream  string    `json:"upstream"`
	API       string    `json:"api"`
	Models    []string  `json:"models"`             // that it may be of
	AnyModel  bool      `json:"any_model,omitzero"` // which one is not known: all that the upstream serves are listed
	Org       string    `json:"org,omitempty"`
	Key       string    `json:"key,omitempty"`
	Users     []string  `json:"users,omitempty"` // pseudonyms
	RequestID string    `json:"request_id"`
	Created   time.Time `json:"created"`
	Changed   time.Time `json:"changed"`
	State     string    `json:"state"`
	Status    string    `json:"status,omitempty"` // the provider's last word

	Correction string `json:"correction,omitempty"` // that ends it
	Stop       string `json:"stop,omitempty"`       // what became of that
	Attempts   int    `json:"attempts,omitzero"`
	Error      string `json:"error,omitempty"` // of the last attempt
}

// MaxWorks is how many works one answer lists.
const MaxWorks = 1000

// WorksAsk asks for works. Empty members ask for any.
type WorksAsk struct {
	Model      string `json:"model,omitempty"`
	State      string `json:"state,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Org        string `json:"org,omitempty"`
	Correction string `json:"correction,omitempty"`
	Limit      int    `json:"limit,omitzero"` // of those listed, the newest first; 0: MaxWorks
}

// WorksAnswer is what one gateway has of what was asked for.
type WorksAnswer struct {
	Gateway  string         `json:"gateway"`
	Revision uint64         `json:"revision"` // of the order under which its works were last judged
	Total    int            `json:"total"`
	States   map[string]int `json:"states"` // of all, by State
	Stops    map[string]int `json:"stops"`  // of those that a correction ends, by Stop
	Works    []Work         `json:"works"`
}

// WorkChanges is what became of works of one gateway. What is lost of it shows in
// the next WorksAnswer.
type WorkChanges struct {
	Gateway string `json:"gateway"`
	Works   []Work `json:"works"` // at most MaxWorks
}
