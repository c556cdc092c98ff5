package ledger

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/mod/sumdb/note"
)

// The last line of an export is one JSON object around the signed checkpoint,
// so that the whole file is JSON lines.
const (
	checkpointHead = `{"checkpoint":`
	checkpointTail = `}`
)

// A line with an earlier checkpoint, and the signatures of others on it, stands
// where the tree has its size.
const cosignedHead = `{"cosigned":`

// quotedNote is the line of a signed note.
func quotedNote(head string, signed []byte) []byte {
	b, _ := jsontext.AppendQuote([]byte(head), signed) // a note is UTF-8
	return append(b, checkpointTail...)
}

// noteIn reads the line of a signed note, in its one form.
func noteIn(line []byte, head string) ([]byte, bool) {
	quoted, ok := bytes.CutSuffix(line[len(head):], []byte(checkpointTail))
	signed, err := jsontext.AppendUnquote(nil, quoted)
	return signed, ok && err == nil && bytes.Equal(quotedNote(head, signed), line)
}

// maxLine bounds a line of an export: a body of MaxBody and the rest.
const maxLine = MaxBody + 1<<16

// ExportOptions say what an export holds. The zero value is the record alone.
type ExportOptions struct {
	Personal bool // personal values, too, as far as they are not erased
}

// Export writes the ledger at path as JSON lines: each entry as Entry.Encode
// gives it, body included, then {"checkpoint": "<signed checkpoint>"}. It is one
// consistent state, and may be taken while the owner appends. Export does not
// verify; VerifyExport does, wherever the file has travelled.
//
// Personal values are left out unless o asks for them; each then follows its
// entry as {"commitment": "<hex>", "sealed": "<base64 of salt and data>"}.
// docs/ledger-format.md says all of it.
func Export(ctx context.Context, path string, w io.Writer, o ExportOptions) error {
	s, err := openScan(ctx, path)
	if err != nil {
		return fmt.Errorf("export ledger: %w", describe(err))
	}
	defer s.close()
	signed, size, err := readCheckpoint(ctx, s.tx)
	if err != nil {
		return fmt.Errorf("export ledger: read checkpoint: %w", describe(err))
	}
	history := map[uint64][]byte{}
	if notes, err := s.cosigned(); err != nil {
		return fmt.Errorf("export ledger: read cosigned checkpoints: %w", describe(err))
	} else {
		for _, n := range notes {
			if cp, _, err := unverified(n); err == nil {
				history[cp.Size] = n
			}
		}
	}
	b := bufio.NewWriterSize(w, 1<<16)
	next := uint64(0)
	err = s.leaves(ctx, 0, size, func(seq uint64, leaf []byte) error {
		if seq != next {
			return fmt.Errorf("entry %d is missing; verify the ledger", next)
		}
		next++
		e, err := s.entry(ctx, seq, leaf)
		if err != nil {
			return fmt.Errorf("entry %d: %w", seq, err)
		}
		line, err := e.Encode()
		if err != nil {
			return fmt.Errorf("entry %d: %w", seq, err)
		}
		write := func(line []byte) error {
			_, err := b.Write(append(line, '\n'))
			return err
		}
		if err = write(line); err == nil && o.Personal {
			err = s.values(&e, write)
		}
		if signed := history[next]; err == nil && signed != nil {
			err = write(quotedNote(cosignedHead, signed))
		}
		return err
	})
	if err == nil && next != size {
		err = fmt.Errorf("entry %d is missing; verify the ledger", next)
	}
	if err != nil {
		return fmt.Errorf("export ledger: %w", describe(err))
	}
	_, err = b.Write(append(quotedNote(checkpointHead, signed), '\n'))
	if err = errors.Join(err, b.Flush()); err != nil {
		return fmt.Errorf("export ledger: %w", err)
	}
	return nil
}

// VerifyExport checks what Export wrote, from its bytes alone. An export holds
// no stored hashes, so an entry that was altered with care is found but cannot
// be named: Fault.Entry is then -1. Errors are as with Verify.
func VerifyExport(ctx context.Context, r io.Reader, v note.Verifier, o VerifyOptions) (Report, error) {
	var report Report
	var trusted *watch
	if o.Trusted != nil {
		cp, _, err := unverified(o.Trusted) // who has signed it is looked at when all keys are known
		if err == nil && cp.Origin != v.Name() {
			err = fmt.Errorf("it is of log %q, not of %q", cp.Origin, v.Name())
		}
		if err != nil {
			return report, fmt.Errorf("verify export: trusted checkpoint: %w", err)
		}
		trusted = &watch{cp, "the trusted checkpoint"}
	}
	if err := o.check(); err != nil {
		return report, fmt.Errorf("verify export: %w", err)
	}
	err := verifyExport(ctx, r, v, &o, trusted, &report)
	if err == nil || errors.As(err, &report.Fault) {
		return report, err
	}
	return report, fmt.Errorf("verify export: %w", err)
}

func verifyExport(ctx context.Context, r io.Reader, v note.Verifier, o *VerifyOptions, trusted *watch, report *Report) error {
	in := bufio.NewReaderSize(r, 1<<16)
	var e edge
	var rewritten *Fault
	var last []string // commitments of the last entry whose values may follow
	personal := newTally()
	var keys keyHistory
	var cosigned [][]byte
	for {
		if trusted != nil && rewritten == nil {
			rewritten = trusted.check(&e)
		}
		line, err := readLine(in)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fault(FaultTruncated, int64(e.size), "the file ends before its checkpoint")
		}
		if errors.Is(err, bufio.ErrTooLong) {
			return fault(FaultAltered, int64(e.size), "the line is longer than any entry")
		}
		if err != nil {
			return err
		}
		if bytes.HasPrefix(line, []byte(checkpointHead)) {
			if err := finishExport(in, line, keys.from(v), o, cosigned, &e, report); err != nil {
				return err
			}
			break
		}
		if bytes.HasPrefix(line, []byte(valueHead)) {
			if last, err = exportedValue(line, int64(e.size)-1, last); err != nil {
				return err
			}
			personal.held++
			continue
		}
		if bytes.HasPrefix(line, []byte(cosignedHead)) {
			signed, err := exportedCosigned(line, v.Name(), &e)
			if err != nil {
				return err
			}
			cosigned, last = append(cosigned, signed), nil
			continue
		}
		entry, leaf, err := exportedLeaf(line, e.size)
		if err == nil {
			err = errors.Join(personal.take(&entry), keys.take(&entry))
		}
		if err != nil {
			return err
		}
		last, _ = entry.names()
		e.add(LeafHash(leaf), nil)
		if e.size%chunk == 0 {
			o.progress(e.size, 0)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	o.progress(e.size, e.size)
	if rewritten != nil {
		return rewritten
	}
	if trusted != nil {
		if f := trusted.beyond(e.size); f != nil {
			return f
		}
	}
	report.Personal, report.Erased = personal.held, len(personal.erased)
	if n := len(personal.named) - len(personal.erased) - personal.held; n > 0 {
		report.Notes = append(report.Notes, fmt.Sprintf("%d personal values are not in this export; their commitments are", n))
	}
	return o.vouched(report, cosigned, keys.named)
}

// exportedCosigned checks a line with an earlier checkpoint against the tree of
// the entries before it.
func exportedCosigned(line []byte, origin string, e *edge) ([]byte, error) {
	signed, ok := noteIn(line, cosignedHead)
	if !ok {
		return nil, fault(FaultCheckpoint, -1, "the line of the cosigned checkpoint after %d entries is malformed", e.size)
	}
	cp, _, err := unverified(signed) // who has signed it is looked at when all keys are known
	if err == nil && cp.Origin != origin {
		err = fmt.Errorf("it is of log %q, not of %q", cp.Origin, origin)
	}
	if err != nil {
		return nil, fault(FaultCheckpoint, -1, "the cosigned checkpoint after %d entries: %v", e.size, err)
	}
	if cp.Size != e.size {
		return nil, fault(FaultCheckpoint, -1, "after %d entries stands a cosigned checkpoint of %d", e.size, cp.Size)
	}
	if cp.Root != e.root() {
		return nil, fault(FaultRolledBack, -1, "the cosigned checkpoint of size %d attests another history: at least one of the first %d entries is not what it was", cp.Size, cp.Size)
	}
	return signed, nil
}

// exportedLeaf returns the entry in a line and its leaf, which must be entry n.
func exportedLeaf(line []byte, n uint64) (entry Entry, leaf []byte, err error) {
	if entry, err = Decode(line); err != nil {
		return entry, nil, fault(FaultAltered, int64(n), "%v", err)
	}
	if entry.Seq != n {
		return entry, nil, fault(FaultMoved, int64(n), "in its place stands what says it is entry %d", entry.Seq)
	}
	if leaf, _, err = entry.Leaf(); err != nil {
		return entry, nil, fault(FaultAltered, int64(n), "%v", err)
	}
	return entry, leaf, nil
}

// finishExport checks the last line against the tree of those before it, and who
// has signed the checkpoints.
func finishExport(in *bufio.Reader, line []byte, keys lineage, o *VerifyOptions, cosigned [][]byte, e *edge, report *Report) error {
	signed, ok := noteIn(line, checkpointHead)
	if !ok {
		return fault(FaultCheckpoint, -1, "the line of the checkpoint is malformed")
	}
	cp, err := keys.head(signed)
	if err != nil {
		return err
	}
	report.Origin, report.Size, report.Root, report.Checkpoint = cp.Origin, cp.Size, cp.Root, signed
	report.Key, report.Notes = keys.id(), keys.notes
	if o.Trusted != nil {
		if _, err := keys.open(o.Trusted); err != nil {
			return fmt.Errorf("trusted checkpoint: %w", err)
		}
	}
	switch _, err := in.ReadByte(); {
	case err == nil:
		return fault(FaultUnsigned, -1, "something follows the checkpoint")
	case !errors.Is(err, io.EOF):
		return err
	case e.size < cp.Size:
		return fault(FaultTruncated, int64(e.size), "the checkpoint covers %d entries and the file has %d", cp.Size, e.size)
	case e.size > cp.Size:
		return fault(FaultUnsigned, int64(cp.Size), "the checkpoint covers %d entries and the file has %d", cp.Size, e.size)
	case e.root() != cp.Root:
		return fault(FaultAltered, -1, "the entries do not give the signed root: at least one is not what was signed")
	}
	for _, kept := range cosigned {
		if _, err := keys.kept(kept); err != nil {
			return fault(FaultCheckpoint, -1, "a cosigned checkpoint: %v", err)
		}
	}
	return nil
}

// readLine returns the next line without its end, at most maxLine bytes. A last
// line without an end is io.ErrUnexpectedEOF: whoever wrote it was cut off.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, bufio.ErrTooLong
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
