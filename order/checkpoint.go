package order

import "bytes"

// SubjectConsistency is where gateways ask for a proof that the control plane's
// ledger only grew: gateway → control, request [ConsistencyRequest] →
// [Consistency].
const SubjectConsistency = "andon.consistency"

// ConsistencyRequest asks for an RFC 6962 consistency proof between two sizes of
// the ledger, or, where it names a key, for what leads from there to the key that
// signs the ledger now.
type ConsistencyRequest struct {
	Gateway string `json:"gateway"`
	Old     uint64 `json:"old"`
	New     uint64 `json:"new"`
	Key     string `json:"key,omitempty"`
}

// Consistency is the proof, or why there is none. It is not signed: a proof
// proves itself, and so do statements.
type Consistency struct {
	Old   uint64   `json:"old"`
	New   uint64   `json:"new"`
	Proof [][]byte `json:"proof,omitempty"` // hashes of 32 bytes
	Error string   `json:"error,omitempty"`

	Statements [][]byte `json:"statements,omitempty"` // signed notes: each key says which comes next, and both sign
}

// Witness is what a gateway says, in its beat, of the ledger's checkpoints that
// it has seen.
type Witness struct {
	Key   string `json:"key"`             // public key of its cosignatures (C2SP tlog-cosignature)
	Note  string `json:"note,omitempty"`  // the newest checkpoint that it vouches for, with its cosignature
	Alarm string `json:"alarm,omitempty"` // two histories, or a roll-back, that it has seen; it enforces on
	Shown string `json:"shown,omitempty"` // the checkpoint that raised the alarm: evidence, signed by the ledger's key
}

// An order or a state is sent with the ledger's newest signed checkpoint behind
// it, after a line break. It is outside of the signed payload, since the chain
// of orders is a function of the entries alone, and a checkpoint is signed by
// itself. An envelope holds no line break.

// WithCheckpoint returns a signed order or state as it is sent.
func WithCheckpoint(signed, checkpoint []byte) []byte {
	if len(checkpoint) == 0 {
		return signed
	}
	out := make([]byte, 0, len(signed)+1+len(checkpoint))
	return append(append(append(out, signed...), '\n'), checkpoint...)
}

// CutCheckpoint splits what WithCheckpoint joined. checkpoint is nil if there is
// none; nothing of it is verified.
func CutCheckpoint(data []byte) (signed, checkpoint []byte) {
	signed, checkpoint, _ = bytes.Cut(data, []byte("\n"))
	return signed, checkpoint
}
