package record

import (
	"encoding/binary"
	"errors"
	"strings"

	"andon/correction"
)

// profile is what many calls have in common. It is immutable.
type profile struct {
	key           string // its canonical form, as on disk
	req           correction.Request
	others        []string
	served        string
	servedVersion string
	cut           bool // names of tools or use cases are missing: there were too many
	refs          int  // segments that refer to it; the table's
}

// table holds every profile that a segment refers to, once.
type table struct {
	byKey   map[string]*profile
	bytes   int // of their keys
	scratch []byte
}

const (
	maxProfiles = 32 << 20 // bytes of all keys
	maxNames    = 64       // of one list
	maxName     = 512      // bytes: longer ones stand in no list
	maxListed   = 4 << 10  // bytes of one list
)

func newTable() table { return table{byKey: map[string]*profile{}} }

// intern finds the profile of a call, and its place in the segment. It fails
// where there is no room for another one.
func (t *table) intern(s *segment, c *Call) (uint32, bool) {
	t.scratch = appendProfile(t.scratch[:0], c, false)
	p := t.byKey[string(t.scratch)]
	if p == nil && t.bytes+len(t.scratch) > maxProfiles {
		// A caller may name ever new tools: those of others have to go on being told apart.
		t.scratch = appendProfile(t.scratch[:0], c, true)
		p = t.byKey[string(t.scratch)]
		if p == nil && t.bytes+len(t.scratch) > maxProfiles+maxProfiles/8 {
			return 0, false
		}
	}
	if p == nil {
		var err error
		if p, err = readProfile(string(t.scratch)); err != nil {
			return 0, false
		}
		t.keep(p)
	}
	return t.refer(s, p), true
}

func (t *table) keep(p *profile) {
	t.byKey[p.key] = p
	t.bytes += len(p.key)
}

// refer gives a profile a place in a segment.
func (t *table) refer(s *segment, p *profile) uint32 {
	at, ok := s.places[p]
	if !ok {
		at = uint32(len(s.profiles))
		s.places[p] = at
		s.profiles = append(s.profiles, p)
		p.refs++
	}
	return at
}

// release forgets what only a dropped segment referred to.
func (t *table) release(s *segment) {
	for _, p := range s.profiles {
		if p.refs--; p.refs == 0 {
			delete(t.byKey, p.key)
			t.bytes -= len(p.key)
		}
	}
}

// appendProfile writes the canonical form: texts with their length before them.
// bare leaves out what a caller can make up.
func appendProfile(b []byte, c *Call, bare bool) []byte {
	q := &c.Request
	cut := bare && len(q.Tools)+len(q.OptionalTools)+len(q.UseCases) > 0
	for _, s := range [...]string{q.Model, q.Version, q.Surface, q.Org, q.Key, q.Tier, q.Derivative, c.Served, c.ServedVersion} {
		b = appendText(b, s, &cut)
	}
	b = appendTexts(b, q.Attributes, &cut)
	b = appendTexts(b, c.Others, &cut)
	tools, optional, uses := q.Tools, q.OptionalTools, q.UseCases
	if bare {
		tools, optional, uses = nil, nil, nil
	}
	b = appendTexts(b, uses, &cut)
	b = appendTexts(b, tools, &cut)
	b = appendTexts(b, optional, &cut)
	b = binary.AppendUvarint(b, uint64(q.Features))
	b = binary.AppendUvarint(b, uint64(q.Optional))
	return append(b, flag(q.Generates)|flag(cut)<<1|flag(q.Brings)<<2)
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendText(b []byte, s string, cut *bool) []byte {
	if len(s) > maxName {
		s, *cut = s[:maxName], true
	}
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTexts(b []byte, list []string, cut *bool) []byte {
	n, size := 0, 0
	for _, s := range list {
		if size += min(len(s), maxName); n == maxNames || size > maxListed {
			*cut = true
			break
		}
		n++
	}
	b = binary.AppendUvarint(b, uint64(n))
	for _, s := range list[:n] {
		b = appendText(b, s, cut)
	}
	return b
}

var errProfile = errors.New("a profile is malformed")

// readProfile is the inverse of appendProfile. It takes nothing that
// appendProfile would not write.
func readProfile(key string) (*profile, error) {
	p := &profile{key: strings.Clone(key)}
	rest, ok := p.key, true
	number := func() uint64 {
		n, k := binary.Uvarint([]byte(rest[:min(len(rest), binary.MaxVarintLen64)]))
		if k <= 0 {
			ok = false
			return 0
		}
		rest = rest[k:]
		return n
	}
	text := func() string {
		n := number()
		if n > maxName || n > uint64(len(rest)) {
			ok = false
			return ""
		}
		s := rest[:n]
		rest = rest[n:]
		return s
	}
	texts := func() (list []string) {
		n := number()
		if n > maxNames {
			ok = false
		}
		for i := uint64(0); ok && i < n; i++ {
			list = append(list, text())
		}
		return list
	}
	q := &p.req
	for _, s := range []*string{&q.Model, &q.Version, &q.Surface, &q.Org, &q.Key, &q.Tier, &q.Derivative, &p.served, &p.servedVersion} {
		*s = text()
	}
	q.Attributes, p.others, q.UseCases, q.Tools, q.OptionalTools = texts(), texts(), texts(), texts(), texts()
	q.Features, q.Optional = correction.Features(number()), correction.Features(number())
	if !ok || len(rest) != 1 || rest[0] > 7 {
		return nil, errProfile
	}
	q.Generates, p.cut, q.Brings = rest[0]&1 != 0, rest[0]&2 != 0, rest[0]&4 != 0
	return p, nil
}
