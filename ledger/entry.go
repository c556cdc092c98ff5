package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/mod/sumdb/tlog"
)

// Encode returns the canonical encoding of e: one JSON object, members sorted
// (RFC 8785), no white space, strings minimal, the time RFC 3339 in UTC.
// Numbers keep the text they were written with: rounding them to doubles, as
// RFC 8785 asks, would let the record change an integer above 2^53. An entry
// with personal values has a member "personal" after the body: their
// commitments, sorted.
//
//	{"actor":"op-1","at":"2026-11-23T14:00:00Z","body":{…},"seq":7,"type":"correction.created"}
func (e Entry) Encode() ([]byte, error) {
	body, err := e.check()
	if err != nil {
		return nil, err
	}
	return e.appendWith(nil, "body", body), nil
}

// Leaf returns the bytes whose RFC 6962 hash stands in the tree, and the body
// when it is kept apart. The leaf is the canonical encoding if that has at most
// MaxLeaf bytes, which is what an entry bundle of tlog-tiles can carry. In a
// larger entry the member body gives way to body_sha256 (hex) and body_size, so
// the leaf still commits to every byte of it; apart is then the canonical body,
// else nil.
func (e Entry) Leaf() (leaf, apart []byte, err error) {
	body, err := e.check()
	if err != nil {
		return nil, nil, err
	}
	if len(body) <= MaxLeaf {
		if leaf = e.appendWith(nil, "body", body); len(leaf) <= MaxLeaf {
			return leaf, nil, nil
		}
	}
	return e.digestLeaf(sha256.Sum256(body), len(body)), body, nil
}

func (e Entry) digestLeaf(sum [sha256.Size]byte, size int) []byte {
	m := append(strconv.AppendQuote(nil, hex.EncodeToString(sum[:])), `,"body_size":`...)
	return e.appendWith(nil, "body_sha256", strconv.AppendInt(m, int64(size), 10))
}

// appendWith appends the encoding with one member in the body's place. The
// other names sort around it.
func (e Entry) appendWith(b []byte, name string, raw []byte) []byte {
	b = append(b, `{"actor":`...)
	b = appendString(b, e.Actor)
	b = append(b, `,"at":"`...)
	b = e.At.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","`...)
	b = append(b, name...)
	b = append(b, `":`...)
	b = append(b, raw...)
	if len(e.Personal) > 0 {
		sep := `,"personal":["`
		for _, n := range slices.Sorted(maps.Keys(e.Personal)) {
			b = append(append(b, sep...), n...)
			sep = `","`
		}
		b = append(b, `"]`...)
	}
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, e.Seq, 10)
	b = append(b, `,"type":`...)
	b = appendString(b, e.Type)
	return append(b, '}')
}

func appendString(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // fails on invalid UTF-8 alone, which check has refused
	return b
}

// check reports why e cannot be recorded, and returns its canonical body.
func (e Entry) check() ([]byte, error) {
	switch {
	case e.Type == "":
		return nil, fmt.Errorf("encode entry: type is empty: %w", ErrInvalid)
	case !utf8.ValidString(e.Type) || !utf8.ValidString(e.Actor):
		return nil, fmt.Errorf("encode entry: type or actor is not UTF-8: %w", ErrInvalid)
	case len(e.Type) > MaxType:
		return nil, fmt.Errorf("encode entry: type has %d bytes, at most %d: %w", len(e.Type), MaxType, ErrTooLarge)
	case len(e.Actor) > MaxActor:
		return nil, fmt.Errorf("encode entry: actor has %d bytes, at most %d: %w", len(e.Actor), MaxActor, ErrTooLarge)
	case e.At.IsZero():
		return nil, fmt.Errorf("encode entry: time is zero: %w", ErrInvalid)
	}
	if y := e.At.UTC().Year(); y < 1 || y > 9999 {
		return nil, fmt.Errorf("encode entry: year %d has no RFC 3339 form: %w", y, ErrInvalid)
	}
	if _, err := e.names(); err != nil {
		return nil, err
	}
	if e.Body == nil {
		return []byte("null"), nil
	}
	// A bound before the work of parsing; white space may make up the difference.
	if len(e.Body) > 2*MaxBody {
		return nil, fmt.Errorf("encode entry: body has %d bytes, at most %d: %w", len(e.Body), MaxBody, ErrTooLarge)
	}
	body, err := canonical(e.Body)
	if err != nil {
		return nil, fmt.Errorf("encode entry: body: %w: %w", err, ErrInvalid)
	}
	if len(body) > MaxBody {
		return nil, fmt.Errorf("encode entry: body has %d bytes, at most %d: %w", len(body), MaxBody, ErrTooLarge)
	}
	return body, nil
}

// canonical returns v with members sorted and no white space. Duplicate names
// and invalid UTF-8 are errors.
func canonical(v jsontext.Value) (jsontext.Value, error) {
	c := v.Clone()
	err := c.Canonicalize(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false))
	return c, err
}

// record is what a leaf or an encoded entry holds.
type record struct {
	Actor      string         `json:"actor"`
	At         time.Time      `json:"at"`
	Body       jsontext.Value `json:"body"`
	BodySHA256 string         `json:"body_sha256"`
	BodySize   int            `json:"body_size"`
	Personal   []string       `json:"personal"`
	Seq        uint64         `json:"seq"`
	Type       string         `json:"type"`
}

// parse reads the canonical encoding of an entry, or a leaf, strictly: exactly
// one byte string stands for an entry. For a leaf whose body is kept apart it
// returns Body nil and the body's digest.
func parse(data []byte) (e Entry, apart *digest, err error) {
	if e, ok := parsePlain(data); ok {
		return e, nil, nil
	}
	return parseAny(data)
}

// parseAny is parse the long way.
func parseAny(data []byte) (e Entry, apart *digest, err error) {
	var r record
	if err := json.Unmarshal(data, &r, json.RejectUnknownMembers(true)); err != nil {
		return Entry{}, nil, fmt.Errorf("parse entry: %w", err)
	}
	e = Entry{Seq: r.Seq, At: r.At, Type: r.Type, Actor: r.Actor, Body: r.Body}
	if len(r.Personal) > 0 {
		e.Personal = make(map[string][]byte, min(len(r.Personal), MaxPersonals))
		for _, n := range r.Personal {
			e.Personal[n] = nil
		}
	}
	var again []byte
	if r.Body == nil {
		apart = &digest{size: r.BodySize}
		if n, err := hex.Decode(apart.sum[:], []byte(r.BodySHA256)); err != nil || n != sha256.Size || len(r.BodySHA256) != 2*sha256.Size {
			return Entry{}, nil, errors.New("parse entry: neither body nor a valid body_sha256")
		}
		if _, err = e.check(); err == nil {
			again = e.digestLeaf(apart.sum, apart.size)
		}
	} else {
		again, err = e.Encode()
	}
	if err != nil {
		return Entry{}, nil, fmt.Errorf("parse entry: %w", err)
	}
	if !bytes.Equal(again, data) {
		return Entry{}, nil, errors.New("parse entry: not in canonical form")
	}
	return e, apart, nil
}

// Decode reads what Encode wrote, and nothing else: another encoding of the
// same values is refused.
func Decode(data []byte) (Entry, error) {
	e, apart, err := parse(data)
	if err != nil {
		return Entry{}, err
	}
	if apart != nil {
		return Entry{}, errors.New("parse entry: the body is kept apart; this is the leaf, not the entry")
	}
	return e, nil
}

// digest names a body that is kept apart from its leaf.
type digest struct {
	sum  [sha256.Size]byte
	size int
}

func (d *digest) String() string { return hex.EncodeToString(d.sum[:]) }

// check reports why body is not the one the leaf commits to.
func (d *digest) check(body []byte) error {
	if len(body) != d.size {
		return fmt.Errorf("body %s has %d bytes, the entry says %d", d, len(body), d.size)
	}
	if sum := sha256.Sum256(body); sum != d.sum {
		return fmt.Errorf("body does not have the digest %s that the entry names", d)
	}
	return nil
}

// LeafHash is the RFC 6962 hash of a leaf: SHA-256 of a zero byte and the leaf.
func LeafHash(leaf []byte) tlog.Hash {
	// As tlog.RecordHash, but without allocating for what fits in a stack buffer.
	var buf [1024]byte
	if len(leaf) < len(buf) {
		return sha256.Sum256(buf[:1+copy(buf[1:], leaf)])
	}
	return tlog.RecordHash(leaf)
}
