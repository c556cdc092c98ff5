package ledger

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"fmt"
	"slices"
)

// tally collects, entry by entry, which personal values there should be.
type tally struct {
	named  map[commitment]uint64 // by which entry
	erased map[commitment]uint64 // by which later entry
	held   int                   // values that are there and match
}

func newTally() tally { return tally{map[commitment]uint64{}, map[commitment]uint64{}, 0} }

// take notes what an entry names or erases. Parsing has checked the names.
func (t *tally) take(e *Entry) error {
	for n := range e.Personal {
		c, err := parseCommitment(n)
		if err != nil {
			return err
		}
		if by, twice := t.named[c]; twice && by != e.Seq {
			return fault(FaultPersonal, int64(e.Seq), "it brings commitment %s, which entry %d brought already", c, by)
		}
		t.named[c] = e.Seq
	}
	for _, n := range erasedBy(e) {
		c, err := parseCommitment(n)
		if by, ok := t.named[c]; err == nil && ok && by < e.Seq {
			t.erased[c] = e.Seq
		}
	}
	return nil
}

// personal checks the values that are kept against what the entries name. It
// runs when the entries are known to be good.
func (s *scan) personal() error {
	version, err := schemaVersion(s.ctx, s.tx)
	if err != nil {
		return err
	}
	var first *Fault
	keep := func(f *Fault) {
		if first == nil || f.Entry < first.Entry {
			first = f
		}
	}
	late, seen := 0, make(map[commitment]bool, len(s.tally.named))
	if version >= 2 {
		rows, err := s.tx.QueryContext(s.ctx, "SELECT name, seq, erased, sealed FROM personal ORDER BY id")
		if err != nil {
			return err
		}
		defer rows.Close()
		var name, sealed sql.RawBytes
		for rows.Next() {
			var seq int64
			var erased bool
			if err := rows.Scan(&name, &seq, &erased, &sealed); err != nil {
				return err
			}
			if len(name) != len(commitment{}) {
				return fault(FaultPersonal, -1, "a value is kept under a name of %d bytes, which is no commitment", len(name))
			}
			c := commitment(name)
			by, ok := s.tally.named[c]
			_, gone := s.tally.erased[c]
			switch {
			case !ok:
				return fault(FaultPersonal, -1, "a value is kept for commitment %s, which no entry brings", c)
			case int64(by) != seq:
				keep(fault(FaultPersonal, int64(by), "the value of commitment %s is kept as one of entry %d", c, seq))
			case erased && !gone:
				keep(fault(FaultPersonal, int64(by), "the value of commitment %s was removed, and no entry of type %s says so", c, TypeErased))
			case erased && len(bytes.Trim(sealed, "\x00")) > 0:
				keep(fault(FaultPersonal, int64(by), "the value of commitment %s is marked as erased and is still there", c))
			case !erased && gone:
				late++
			case !erased:
				if err := c.check(sealed); err != nil {
					keep(fault(FaultPersonal, int64(by), "%v", err))
				}
				s.tally.held++
			}
			seen[c] = true
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	for c, by := range s.tally.named {
		if _, gone := s.tally.erased[c]; !seen[c] && !gone {
			keep(fault(FaultPersonal, int64(by), "the value of commitment %s is missing, and no entry of type %s says why", c, TypeErased))
		}
	}
	if first != nil {
		return first
	}
	s.report.Personal, s.report.Erased = s.tally.held, len(s.tally.erased)
	if late > 0 {
		s.report.Notes = append(s.report.Notes, fmt.Sprintf("%d personal values were to be erased, as an entry says, and are still there: the control plane finishes that when it starts", late))
	}
	return nil
}

// A line of an export with a personal value, after the entry that names it.
const (
	valueHead   = `{"commitment":"`
	valueMiddle = `","sealed":"`
	valueTail   = `"}`
)

// appendValue adds the line of a value, without its end.
func appendValue(b []byte, c commitment, sealed []byte) []byte {
	b = append(append(b, valueHead...), c.String()...)
	b = base64.StdEncoding.AppendEncode(append(b, valueMiddle...), sealed)
	return append(b, valueTail...)
}

// values writes the values of an entry that are still there.
func (s *scan) values(e *Entry, write func([]byte) error) error {
	names, err := e.names()
	if err != nil {
		return err
	}
	for _, n := range names {
		c, _ := parseCommitment(n)
		var sealed []byte
		err := s.tx.QueryRowContext(s.ctx, "SELECT sealed FROM personal WHERE name = ? AND erased = 0", c[:]).Scan(&sealed)
		if err == sql.ErrNoRows {
			continue
		}
		if err == nil {
			err = write(appendValue(nil, c, sealed))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// exportedValue checks a line with a value. last holds the commitments of the
// entry before it that may still follow, in order; it returns the rest.
func exportedValue(line []byte, seq int64, last []string) ([]string, error) {
	if seq < 0 {
		return nil, fault(FaultPersonal, -1, "a personal value stands before the first entry")
	}
	rest := bytes.TrimPrefix(line, []byte(valueHead))
	name, rest, ok := bytes.Cut(rest, []byte(valueMiddle))
	text, whole := bytes.CutSuffix(rest, []byte(valueTail))
	sealed, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	c, notOne := parseCommitment(string(name))
	if !ok || !whole || err != nil || notOne != nil || !bytes.Equal(appendValue(nil, c, sealed), line) {
		return nil, fault(FaultPersonal, seq, "the line of a personal value after it is malformed")
	}
	i := slices.Index(last, c.String())
	if i < 0 {
		return nil, fault(FaultPersonal, seq, "the value of commitment %s stands after it, which it does not bring, or stands there out of order or twice", c)
	}
	if err := c.check(sealed); err != nil {
		return nil, fault(FaultPersonal, seq, "%v", err)
	}
	return last[i+1:], nil
}
