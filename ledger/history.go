package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"
)

// check refuses options that nothing can meet.
func (o *VerifyOptions) check() error {
	seen := map[string]bool{}
	for _, w := range o.Witnesses {
		id := keyID(w.Name(), w.KeyHash())
		if seen[id] {
			return fmt.Errorf("witness %s is given twice, and counts once", id)
		}
		seen[id] = true
	}
	if o.Quorum < 0 || o.Quorum > len(o.Witnesses) {
		return fmt.Errorf("a quorum of %d of %d witnesses: give 1 to %d, and their keys", o.Quorum, len(o.Witnesses), len(o.Witnesses))
	}
	return nil
}

// cosigned reads the checkpoints that others have signed, too; none from a
// database that is older than they are.
func (s *scan) cosigned() ([][]byte, error) {
	if version, err := schemaVersion(s.ctx, s.tx); err != nil || version < 3 {
		return nil, err
	}
	return cosigned(s.ctx, s.tx)
}

// history reads them, and watches that the tree leads to each.
func (s *scan) history() ([][]byte, error) {
	notes, err := s.cosigned()
	if err != nil {
		return nil, err
	}
	for _, signed := range notes {
		cp, err := s.keys.kept(signed)
		if err != nil {
			return nil, fault(FaultCheckpoint, -1, "a cosigned checkpoint that is kept: %v", err)
		}
		s.watches = append(s.watches, watch{cp, fmt.Sprintf("the cosigned checkpoint of size %d", cp.Size)})
	}
	return notes, nil
}

// vouched looks for the largest checkpoint that a quorum of the witnesses has
// cosigned. All of them go with the record: that was checked before.
func (o *VerifyOptions) vouched(r *Report, cosigned [][]byte, named []note.Verifier) error {
	known := o.cosigners(named)
	var strangers []string
	for _, signed := range append(slices.Clone(cosigned), r.Checkpoint) {
		unknown, err := countersigned(signed, r.Origin, known)
		if err != nil {
			return err
		}
		strangers = append(strangers, unknown...)
	}
	slices.Sort(strangers)
	for _, who := range slices.Compact(strangers) {
		r.Notes = append(r.Notes, fmt.Sprintf("cosignatures of %s were not checked: neither the record nor the reader names a key", who))
	}
	if len(o.Witnesses) == 0 {
		return nil
	}
	quorum, most := max(o.Quorum, 1), 0
	if o.Trusted != nil {
		cosigned = append(slices.Clone(cosigned), o.Trusted)
	}
	cosigned = append(cosigned, r.Checkpoint)
	for _, signed := range cosigned {
		n, err := note.Open(bytes.Clone(signed), note.VerifierList(o.Witnesses...))
		var invalid *note.InvalidSignatureError
		if errors.As(err, &invalid) {
			return fault(FaultWitness, -1, "the cosignature of %s on a checkpoint does not verify", keyID(invalid.Name, invalid.Hash))
		}
		if err != nil {
			continue // none of them has signed it
		}
		cp, err := parseCheckpoint(n.Text)
		if err != nil {
			return fault(FaultCheckpoint, -1, "a cosigned checkpoint: %v", err)
		}
		most = max(most, len(n.Sigs))
		if len(n.Sigs) >= quorum && (cp.Size > r.Cosigned || r.CosignedBy == nil) {
			r.Cosigned, r.CosignedBy = cp.Size, nil
			for _, s := range n.Sigs {
				r.CosignedBy = append(r.CosignedBy, s.Name)
			}
			slices.Sort(r.CosignedBy)
		}
	}
	if r.CosignedBy == nil {
		return fault(FaultWitness, -1, "no checkpoint carries the cosignatures of %d of the %d witnesses given; the most is %d", quorum, len(o.Witnesses), most)
	}
	if r.Cosigned < r.Size {
		r.Notes = append(r.Notes, fmt.Sprintf("the witnesses have vouched for the first %d entries; the last %d stand on the ledger's signature alone", r.Cosigned, r.Size-r.Cosigned))
	}
	return nil
}
