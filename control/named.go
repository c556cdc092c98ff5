package control

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"andon/bus"
	"andon/incident"
	named "andon/list"
	"andon/order"
)

// Bounds of named lists.
const (
	maxListText    = 2 << 30 // bytes of an upload
	maxLists       = 256
	maxListName    = 128
	maxListChanges = 100_000 // entries in one call of add or remove
)

// bodyLimit bounds the body of a request to this route, in bytes.
func (rt *route) bodyLimit() int64 {
	if rt.command == "list.put" {
		return maxListText
	}
	if rt.command == attachCommand {
		return incident.MaxAttachment + 1 // so that one byte too many is seen
	}
	return maxBody
}

// uploadPause is how long an upload may stand still.
const uploadPause = time.Minute

// upload reads the body of a long request and hashes it. Its deadline moves on
// with what comes: an upload is bounded in size and may not stand still, but may
// take long.
type upload struct {
	body io.Reader
	rc   *http.ResponseController
	sum  hash.Hash
	next time.Time // when the deadline is moved again
}

func (u *upload) Read(p []byte) (int, error) {
	if now := time.Now(); now.After(u.next) {
		u.next = now.Add(time.Second)
		u.rc.SetReadDeadline(now.Add(uploadPause)) // where there is none, there is no deadline either
	}
	n, err := u.body.Read(p)
	u.sum.Write(p[:n])
	return n, err
}

// takeTurn waits for nobody: lists are large, and two at a time would need twice
// the memory.
func (c *Control) takeTurn() (release func(), err error) {
	if c.shelf.dir == "" {
		return nil, problem("unavailable", "this control plane has no folder for lists")
	}
	select {
	case c.shelf.turn <- struct{}{}:
		return func() { <-c.shelf.turn }, nil
	default:
		return nil, problem("unavailable", "another list is being changed; nothing was changed by this")
	}
}

// onlyQuery refuses parameters that are not known, or given twice.
func onlyQuery(q url.Values, allowed ...string) error {
	for name, values := range q {
		if !slices.Contains(allowed, name) || len(values) > 1 {
			p := problem("invalid_query", "unknown parameter "+short(name))
			if len(values) > 1 {
				p.Detail = short(name) + " is given more than once"
			}
			p.Field, p.Allowed = short(name), allowed
			return p
		}
	}
	return nil
}

// listReason reads why a list is changed: the parameter reason, or the header.
func (cl *call) listReason(q url.Values) (string, error) {
	reason := q.Get("reason")
	if reason == "" {
		reason = cl.r.Header.Get("Reason")
	}
	return reason, reasonGiven(reason)
}

func checkListName(name string) error {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
	}
	if name == "" || len(name) > maxListName || name[0] == '.' || strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		return badField("name", fmt.Sprintf("%q is no name for a list: 1 to %d letters, digits, -, _ and ., and no . in front", short(name), maxListName))
	}
	return nil
}

// putList loads a list, or replaces it whole, by the text in the body.
func (c *Control) putList(cl *call) error {
	if err := cl.op.may("list.put"); err != nil {
		return err
	}
	name, q := cl.r.PathValue("name"), cl.r.URL.Query()
	if err := checkListName(name); err != nil {
		return err
	}
	if err := onlyQuery(q, "dimension", "reason"); err != nil {
		return err
	}
	reason, err := cl.listReason(q)
	if err != nil {
		return err
	}
	if err := plainText(cl.r.Header); err != nil {
		return err
	}
	release, err := c.takeTurn()
	if err != nil {
		return err
	}
	defer release()
	dimension, err := c.listDimension(name, q.Get("dimension"))
	if err != nil {
		return err
	}
	u := &upload{body: cl.r.Body, rc: http.NewResponseController(cl.w), sum: sha256.New()}
	set, err := named.Build(dimension, u, nil)
	u.rc.SetWriteDeadline(time.Now().Add(uploadPause))
	if err != nil {
		return uploadProblem(err)
	}
	b := listBody{Action: "loaded", Source: hex.EncodeToString(u.sum.Sum(nil)), Reason: reason}
	created, err := c.changeList(cl, name, set, b)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		cl.w.Header().Set("Location", "/api/v1/lists/"+name)
	}
	return c.replyList(cl, status, name)
}

// plainText refuses bodies whose lines would not be what somebody meant.
func plainText(h http.Header) error {
	bad := func(field, detail string) error {
		p := problem("invalid_header", detail)
		p.Field = field
		return p
	}
	if h.Get("Content-Encoding") != "" {
		return bad("Content-Encoding", "send the text as it is")
	}
	switch kind, _, _ := mime.ParseMediaType(h.Get("Content-Type")); kind {
	case "application/json", "multipart/form-data":
		return bad("Content-Type", "a list is plain text with one entry a line, not "+kind)
	}
	return nil
}

// listDimension is the dimension of a list that is loaded.
func (c *Control) listDimension(name, asked string) (string, error) {
	c.mu.RLock()
	old, n := c.state.lists[name], len(c.state.lists)
	c.mu.RUnlock()
	switch {
	case old != nil && (asked == "" || asked == old.Dimension):
		return old.Dimension, nil
	case old != nil:
		return "", badField("dimension", fmt.Sprintf("%s is a list of %s; remove it first, or use another name", name, old.Dimension), old.Dimension)
	case !slices.Contains(named.Dimensions(), asked):
		return "", badField("dimension", "say what the list holds", named.Dimensions()...)
	case n >= maxLists:
		return "", badField("name", fmt.Sprintf("there are %d lists already; remove one first", n))
	}
	return asked, nil
}

// uploadProblem says what is wrong with the text of a list.
func uploadProblem(err error) error {
	var line *named.LineError
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &line), errors.Is(err, named.ErrEmpty), errors.Is(err, named.ErrLong):
		return badField("body", err.Error())
	case errors.As(err, &large):
		return problem("body_too_large", fmt.Sprintf("a list may have %d GiB of text", maxListText>>30))
	}
	return badField("body", "it ended too early, or stood still; nothing was changed")
}

// changeList keeps a set and then says in the ledger that it is the list from
// now on. created says that there was none of this name. The caller has the turn.
func (c *Control) changeList(cl *call, name string, set *named.Set, b listBody) (created bool, err error) {
	c.mu.RLock()
	old := c.state.lists[name]
	c.mu.RUnlock()
	if old != nil && b.Source != "" && b.Source == old.body.Source && c.shelf.lost(old.Digest) == nil {
		return false, nil // the same text again
	}
	if b.List, err = c.shelf.put(set); err != nil {
		c.log.Error("a list could not be kept; nothing was changed", "list", name, "error", err)
		return false, problem("unavailable", "the list can not be written to the disk; nothing was changed. The control plane's log says more")
	}
	b.List.Name = name
	id := ""
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, at time.Time) (drafts []draft, err error) {
		now := s.lists[name]
		created = now == nil
		if now != old { // not while this has the turn, but by another writer of the ledger
			return nil, problem("unavailable", "the list was changed meanwhile; nothing was changed by this")
		}
		if rs := s.listLoosens(name, b.Action); len(rs) > 0 {
			what := listWhat{Was: old.Digest, Put: b}
			for _, r := range rs {
				what.Names = append(what.Names, r.ID)
			}
			says := what.Names[0]
			if n := len(rs) - 1; n > 0 {
				says += fmt.Sprintf(" (and %d more)", n)
			}
			w := wanted{questions: s.loosening(rs), do: "list", subject: "list " + name,
				says: fmt.Sprintf("change the list %s (%s, %d entries), which %s names", name, b.Action, b.Changed, says), what: what, reason: b.Reason}
			drafts, id, err = c.draftAct(s, cl.op, w, at)
			return drafts, err
		}
		return []draft{{typeListPut, b}}, s.room(weigh(b.List))
	})
	if err == nil && id != "" {
		err = &waits{id}
	}
	var p *Problem
	if err == nil || errors.As(err, &p) { // else the ledger may have it all the same: a later change tidies up
		c.clearShelf()
	}
	return created, err
}

// clearShelf removes the versions that no list is any more. While the outcome of
// a command is not known it keeps everything.
func (c *Control) clearShelf() {
	c.command.Lock() // nothing is between the ledger and the state
	unsure := c.broken != nil || c.cfg.Log.Size() != c.state.size
	refs := append(c.state.listRefs(), c.state.waitingLists()...)
	c.command.Unlock()
	if unsure {
		return
	}
	if err := c.shelf.clear(refs); err != nil {
		c.log.Warn("what is left of old lists was not removed", "error", err)
	}
}

// listEdit is what add and remove are asked to do.
type listEdit struct {
	Entries []string `json:"entries"`
	Reason  string   `json:"reason"`
}

func (c *Control) postListAdd(cl *call) error    { return c.editList(cl, "added") }
func (c *Control) postListRemove(cl *call) error { return c.editList(cl, "removed") }

// editList adds or removes single entries. It writes the whole list anew, but
// gateways fetch only what has changed.
func (c *Control) editList(cl *call, action string) error {
	if err := cl.op.may("list.put"); err != nil {
		return err
	}
	x, err := decode[listEdit](cl)
	if err != nil {
		return err
	}
	if err := reasonGiven(x.Reason); err != nil {
		return err
	}
	if n := len(x.Entries); n == 0 || n > maxListChanges {
		return badField("entries", fmt.Sprintf("has %d entries; 1 to %d, and for more load the list anew", n, maxListChanges))
	}
	release, err := c.takeTurn()
	if err != nil {
		return err
	}
	defer release()
	name := cl.r.PathValue("name")
	c.mu.RLock()
	l := c.state.lists[name]
	c.mu.RUnlock()
	if l == nil {
		return noList(name)
	}
	set, err := c.shelf.set(l.Digest)
	if err != nil {
		return problem("unavailable", "the content of "+name+" can not be read any more; load it anew")
	}
	var n int
	if action == "added" {
		set, n, err = set.Add(x.Entries...)
	} else {
		set, n, err = set.Remove(x.Entries...)
	}
	var line *named.LineError
	switch {
	case errors.As(err, &line):
		return badField(fmt.Sprintf("entries[%d]", line.Line-1), line.Detail)
	case errors.Is(err, named.ErrEmpty):
		return badField("entries", "with them goes the last entry; lift what names the list and remove it")
	case err != nil:
		return badField("entries", err.Error())
	}
	if n > 0 {
		if _, err := c.changeList(cl, name, set, listBody{Action: action, Changed: int64(n), Reason: x.Reason}); err != nil {
			return err
		}
	}
	v, err := c.listView(name)
	if err != nil {
		return err
	}
	changed := int64(n)
	v.Changed = &changed
	return cl.reply(http.StatusOK, v)
}

// deleteList removes a list that no correction names.
func (c *Control) deleteList(cl *call) error {
	if err := cl.op.may("list.remove"); err != nil {
		return err
	}
	name, q := cl.r.PathValue("name"), cl.r.URL.Query()
	if err := onlyQuery(q, "reason"); err != nil {
		return err
	}
	reason, err := cl.listReason(q)
	if err != nil {
		return err
	}
	release, err := c.takeTurn()
	if err != nil {
		return err
	}
	defer release()
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, _ time.Time) ([]draft, error) {
		if s.lists[name] == nil {
			return nil, noList(name)
		}
		if ids := s.naming()[name]; len(ids) > 0 {
			some := strings.Join(ids[:min(len(ids), 10)], ", ")
			return nil, problem("list_in_use", fmt.Sprintf("%d corrections name %s (%s); lift them first", len(ids), name, some))
		}
		return []draft{{typeListRemoved, listRemovedBody{Name: name, Reason: reason}}}, nil
	})
	if err != nil {
		return err
	}
	c.clearShelf()
	cl.w.WriteHeader(http.StatusNoContent)
	return nil
}

// openShelf takes up the content of lists after a start.
func (c *Control) openShelf() error {
	refs := append(c.state.listRefs(), c.state.waitingLists()...)
	if err := c.shelf.open(refs); err != nil {
		return err
	}
	for _, l := range refs {
		if err := c.shelf.lost(l.Digest); err != nil {
			c.metrics.alarms.Inc()
			c.log.Error("ALARM: the content of a list is lost; load the list anew", "list", l.Name, "error", err)
		}
	}
	return nil
}

func noList(name string) error {
	return problem("not_found", "there is no list "+strconv.Quote(short(name)))
}

// onList gives gateways the content of lists.
func (c *Control) onList(m bus.Msg) {
	var q order.ListRequest
	if err := json.Unmarshal(m.Data, &q); err != nil {
		c.log.Warn("a request for a list cannot be read", "error", err)
		return
	}
	data, err := c.shelf.answer(q)
	if err != nil {
		c.metrics.alarms.Inc()
		c.log.Error("ALARM: the content of a list is damaged; load the list anew", "digest", q.Digest.String(), "error", err)
	}
	c.answer(m, data)
}
