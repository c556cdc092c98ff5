package cacao

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/playbook"
)

// Import is what a document says in our words.
type Import struct {
	Playbook *playbook.Playbook
	ID       string   // of the document
	Modified string   // its version
	Own      bool     // it was exported by us: nothing was lost
	Notes    []string // what was left out, or has another form now
}

// Error is why a document cannot be read, and where.
type Error struct {
	Step   string // identifier in the workflow; "" the document
	Detail string
}

func (e *Error) Error() string {
	if e.Step == "" {
		return e.Detail
	}
	return "workflow step " + e.Step + ": " + e.Detail
}

func bad(step, format string, args ...any) error {
	return &Error{short(step), fmt.Sprintf(format, args...)}
}

var identifier = regexp.MustCompile(`^[a-z][a-z0-9-]+[a-z0-9]--[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-5][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$`)

// bounded refuses what is too large or too deep, names that stand twice, and what
// is not one JSON object.
func bounded(data []byte) error {
	if len(data) > MaxDocument {
		return fmt.Errorf("it has %d bytes; at most %d", len(data), MaxDocument)
	}
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	if k := dec.PeekKind(); k != '{' {
		return errors.New("it is not a JSON object")
	}
	for {
		_, err := dec.ReadToken()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is not JSON as RFC 7493 wants it: %w", err)
		}
		switch depth := dec.StackDepth(); {
		case depth > MaxDepth:
			return fmt.Errorf("it is nested deeper than %d", MaxDepth)
		case depth == 0 && dec.PeekKind() != 0:
			return errors.New("something follows the JSON object")
		}
	}
}

// parse reads a document strictly, and checks what holds for every document.
func parse(data []byte) (*Document, error) {
	if err := bounded(data); err != nil {
		return nil, bad("", "%v", err)
	}
	var head struct {
		Type        string `json:"type"`
		SpecVersion string `json:"spec_version"`
	}
	if err := json.Unmarshal(data, &head); err != nil || head.Type != "playbook" {
		return nil, bad("", "type is %q; it has to be playbook", short(head.Type))
	}
	if head.SpecVersion != SpecVersion {
		return nil, bad("", "spec_version is %q; allowed: %s", short(head.SpecVersion), SpecVersion)
	}
	d := &Document{}
	if err := json.Unmarshal(data, d, json.RejectUnknownMembers(true)); err != nil {
		var sem *json.SemanticError
		if errors.As(err, &sem) {
			why := "cannot be read"
			if sem.Err != nil {
				why = sem.Err.Error()
			}
			return nil, bad("", "%s: %s", short(string(sem.JSONPointer)), short(why))
		}
		return nil, bad("", "%v", err)
	}
	if !identifier.MatchString(d.ID) || !strings.HasPrefix(d.ID, "playbook--") {
		return nil, bad("", "id is %q, which is no identifier of a playbook", short(d.ID))
	}
	for name, at := range map[string]string{"created": d.Created, "modified": d.Modified} {
		if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
			return nil, bad("", "%s is %q, which is no time", name, short(at))
		}
	}
	if len(d.Workflow) > MaxWorkflow {
		return nil, bad("", "workflow has %d steps; at most %d", len(d.Workflow), MaxWorkflow)
	}
	for at, s := range d.Workflow {
		if s == nil || !identifier.MatchString(at) {
			return nil, bad(at, "is no identifier with a step")
		}
		if kind, _, _ := strings.Cut(at, "--"); kind != s.Type {
			return nil, bad(at, "its type is %q, and its identifier says %q", short(s.Type), short(kind))
		}
	}
	return d, nil
}

// Read reads a document. Signatures are for Verify.
func Read(data []byte, now time.Time) (*Import, error) {
	d, err := parse(data)
	if err != nil {
		return nil, err
	}
	if d.Revoked {
		return nil, bad("", "it was revoked by whoever made it")
	}
	for _, b := range []struct {
		name, at string
		out      func(time.Time) bool
	}{{"valid_from", d.ValidFrom, now.Before}, {"valid_until", d.ValidUntil, now.After}} {
		if b.at == "" {
			continue
		}
		if t, err := time.Parse(time.RFC3339Nano, b.at); err != nil || b.out(t) {
			return nil, bad("", "%s is %s: it is not valid now", b.name, short(b.at))
		}
	}
	imp := &Import{ID: d.ID, Modified: d.Modified}
	if raw, ok := d.PlaybookExtensions[extensionID]; ok {
		return imp, imp.own(d, raw)
	}
	r := &reader{d: d, imp: imp, seen: map[string][]edge{}, active: map[string]bool{}, nodes: map[string]*node{}, names: map[string]bool{}}
	if err := r.read(); err != nil {
		return nil, err
	}
	imp.Playbook = r.p
	if faults := r.p.Validate(playbook.Known{Now: now}); playbook.Broken(faults) {
		i := slices.IndexFunc(faults, func(f playbook.Fault) bool { return !f.Warning })
		return nil, bad("", "it would not be a valid playbook: %s", faults[i].Error())
	}
	return imp, nil
}

// own takes a playbook from our extension, if the workflow says the same.
func (imp *Import) own(d *Document, raw jsontext.Value) error {
	var x extension
	if err := json.Unmarshal(raw, &x, json.RejectUnknownMembers(true)); err != nil || x.Playbook == nil {
		return bad("", "playbook_extensions: our extension cannot be read: %v", err)
	}
	if faults := x.Playbook.Validate(playbook.Known{}); playbook.Broken(faults) {
		i := slices.IndexFunc(faults, func(f playbook.Fault) bool { return !f.Warning })
		return bad("", "playbook_extensions: %s", faults[i].Error())
	}
	want, err := document(x.Playbook, Meta{Org: x.Org})
	if err != nil {
		return bad("", "playbook_extensions: %v", err)
	}
	type acts struct {
		Start, Exception string
		Workflow         map[string]*Step
		Variables        map[string]Variable
		Agents           map[string]Agent
	}
	one, err1 := json.Marshal(acts{d.WorkflowStart, d.WorkflowException, d.Workflow, d.Variables, d.AgentDefinitions}, json.Deterministic(true))
	two, err2 := json.Marshal(acts{want.WorkflowStart, want.WorkflowException, want.Workflow, want.Variables, want.AgentDefinitions}, json.Deterministic(true))
	if err1 != nil || err2 != nil || !bytes.Equal(one, two) {
		return bad("", "the workflow and our extension say different things; nobody can tell which is meant")
	}
	imp.Playbook, imp.Own = x.Playbook, true
	return nil
}

func (imp *Import) note(format string, args ...any) {
	if len(imp.Notes) < 2*MaxWorkflow {
		imp.Notes = append(imp.Notes, fmt.Sprintf(format, args...))
	}
}

func short(s string) string {
	if len(s) > 96 {
		return strings.ToValidUTF8(s[:96], "") + "…"
	}
	return s
}

// line makes one bounded line of a text from outside.
func line(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// prose keeps lines, and drops what is no text.
func prose(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?")))
}

// slug makes a name of ours of any text.
func slug(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 60 {
			break
		}
	}
	if out := strings.Trim(b.String(), "-"); out != "" {
		return out
	}
	return "imported"
}

// name is a name for a step that no other has.
func (r *reader) name(want string) string {
	base := line(want, playbook.MaxLine-8)
	if base == "" || base == playbook.Start {
		base = "step"
	}
	out := base
	for n := 2; r.names[out]; n++ {
		out = base + " " + strconv.Itoa(n)
	}
	r.names[out] = true
	return out
}
