package control

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"andon/blob"
	"andon/incident"
)

// maxFiles bounds all attachments together, in bytes: the disk is the ledger's, too.
const maxFiles = 64 << 30

// openFiles opens the store of attachments. Without a folder there can be none.
func (c *Control) openFiles() (err error) {
	if c.cfg.Attachments == "" {
		return nil
	}
	c.files, err = blob.Open(c.cfg.Attachments, blob.Bounds{One: incident.MaxAttachment, All: maxFiles})
	return err
}

// postAttachment keeps a file: the body is its bytes, Content-Type what the
// sender calls it, and the query says its name and marking. It is durable before
// the ledger names it; what a failure in between leaves behind is taken up when
// the same file comes again.
func (c *Control) postAttachment(cl *call) error {
	if err := cl.op.may(attachCommand); err != nil {
		return err
	}
	q, err := cl.query("name", "text", "tlp", "operators", "teams", "roles")
	if err != nil {
		return err
	}
	if c.files == nil {
		return problem("unavailable", "no folder for attachments is configured")
	}
	x := incident.Attached{Name: q.Get("name"), Text: q.Get("text"), Marking: markingOf(q)}
	id := cl.r.PathValue("id")
	// Before a byte is read: who may not know of the incident writes nothing.
	c.mu.RLock()
	_, err = c.state.seen(cl.op, id)
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	content, err := incident.ReadAttachment(cl.r.Body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return badField("content", "has more than "+strconv.Itoa(incident.MaxAttachment)+" bytes")
	}
	if err != nil {
		return incidentProblem(err)
	}
	if x.Media, err = incident.Media(cl.r.Header.Get("Content-Type"), content); err != nil {
		return incidentProblem(err)
	}
	x.Size, x.SHA256 = int64(len(content)), blob.Digest(content)
	event := func(s *state, in *incident.Incident) (incident.Event, error) {
		if err := s.checkNeed(x.Marking); err != nil {
			return nil, err
		}
		return &incident.On[incident.Attached]{Incident: in.ID, Step: x}, nil
	}
	// Checked before it is kept: what is refused takes no room on the disk.
	c.mu.RLock()
	in, err := c.state.seen(cl.op, id)
	if err == nil {
		var e incident.Event
		if e, err = event(c.state, in); err == nil {
			_, err = c.state.incidentDraft(cl.op, e, c.cfg.Now())
		}
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	c.filing.Lock() // so that the same content is not removed in between
	defer c.filing.Unlock()
	if _, err := c.files.Put(content); err != nil {
		if errors.Is(err, blob.ErrFull) || errors.Is(err, syscall.ENOSPC) {
			c.log.Error("an attachment was not kept", "incident", id, "error", err)
			return problem("incident_full", "there is no more room for attachments; nothing was changed")
		}
		return err
	}
	return c.incidentStep(cl, event)
}

// markingOf reads a marking out of a query; nil if there is none.
func markingOf(q query) *incident.Marking {
	if !q.Has("tlp") && !q.Has("operators") && !q.Has("teams") && !q.Has("roles") {
		return nil
	}
	m := &incident.Marking{TLP: incident.TLP(q.Get("tlp"))}
	split := func(name string) []string {
		if !q.Has(name) {
			return nil
		}
		return strings.Split(q.Get(name), ",")
	}
	if q.Has("operators") || q.Has("teams") || q.Has("roles") {
		m.Need = &incident.Need{Operators: split("operators"), Teams: split("teams"), Roles: split("roles")}
	}
	return m
}

// seenAttachment is a file that the operator may know of.
func (s *state) seenAttachment(op *operator, id, attachment string) (*incident.Incident, *incident.Attachment, error) {
	in, err := s.seen(op, id)
	if err != nil {
		return nil, nil, err
	}
	a := in.Attachment(attachment)
	if a == nil || !in.Reads(s.readerOf(op), a.Entry) {
		return nil, nil, problem("not_found", id+" has no attachment "+strconv.Quote(short(attachment)))
	}
	return in, a, nil
}

// getAttachment gives a file to be saved, and never to be shown: whatever it
// holds, it runs nowhere.
func (c *Control) getAttachment(cl *call) error {
	if err := cl.op.may("incident.read"); err != nil {
		return err
	}
	c.mu.RLock()
	_, a, err := c.state.seenAttachment(cl.op, cl.r.PathValue("id"), cl.r.PathValue("attachment"))
	var v incident.Attachment
	if err == nil {
		v = *a
	}
	c.mu.RUnlock()
	switch {
	case err != nil:
		return err
	case v.Under != "":
		return problem("attachment_gone", v.ID+" was "+v.Under)
	case !v.RemovedAt.IsZero():
		return problem("attachment_gone", v.ID+" was removed at "+v.RemovedAt.Format(time.RFC3339)+" by "+v.RemovedBy+"; the timeline says why")
	case c.files == nil:
		return problem("unavailable", "no folder for attachments is configured")
	}
	content, err := c.files.Get(v.SHA256)
	if errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrGone) || errors.Is(err, blob.ErrDamaged) {
		c.log.Error("an attachment cannot be read", "incident", cl.r.PathValue("id"), "attachment", v.ID, "error", err)
		return problem("attachment_lost", "the disk no longer holds "+v.ID+" as it was; restore the file with SHA-256 "+v.SHA256+" from a backup, or attach it anew")
	}
	if err != nil {
		return err
	}
	h := cl.w.Header()
	h.Set("Content-Type", v.Media)
	if strings.HasPrefix(v.Media, "text/") || v.Media == "message/rfc822" {
		h.Set("Content-Type", v.Media+"; charset=utf-8")
	}
	h.Set("Content-Disposition", "attachment; filename*=UTF-8''"+strings.ReplaceAll(url.QueryEscape(v.Name), "+", "%20"))
	h.Set("Content-Length", strconv.Itoa(len(content)))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Andon-Sha256", v.SHA256)
	cl.w.Write(content)
	return nil
}

// deleteAttachment removes a file for good. That it was there, and why it was
// removed, stays in the record.
func (c *Control) deleteAttachment(cl *call) error {
	if err := cl.op.may("incident.detach"); err != nil {
		return err
	}
	if err := cl.stepUp("remove an attachment"); err != nil {
		return err
	}
	q, err := cl.query("reason")
	if err != nil {
		return err
	}
	if err := reasonGiven(q.Get("reason")); err != nil {
		return err
	}
	digest := ""
	c.filing.Lock()
	defer c.filing.Unlock()
	c.mu.RLock()
	_, a, err := c.state.seenAttachment(cl.op, cl.r.PathValue("id"), cl.r.PathValue("attachment"))
	if err == nil {
		digest = a.SHA256
	}
	c.mu.RUnlock()
	if err != nil {
		return err
	}
	step := incident.Detached{Attachment: cl.r.PathValue("attachment"), Reason: q.Get("reason")}
	_, err = c.execute(cl.r.Context(), cl.op.id, func(s *state, now time.Time) ([]draft, error) {
		in, _, err := s.seenAttachment(cl.op, cl.r.PathValue("id"), step.Attachment)
		if err != nil {
			return nil, err
		}
		return s.incidentDraft(cl.op, &incident.On[incident.Detached]{Incident: in.ID, Step: step}, now)
	})
	if err != nil {
		return err
	}
	c.dropFile(digest)
	return c.showIncident(cl, http.StatusOK, cl.r.PathValue("id"))
}

// dropFile removes a file that no incident holds any more. The caller holds
// filing.
func (c *Control) dropFile(digest string) {
	c.mu.RLock()
	held := c.state.book().Holds(digest)
	c.mu.RUnlock()
	if held || c.files == nil {
		return
	}
	if err := c.files.Delete(digest, c.cfg.Now()); err != nil && !errors.Is(err, blob.ErrNotFound) {
		c.log.Error("a file that was removed is still on the disk; the next start removes it", "sha256", digest, "error", err)
	}
}

// dropFiles removes what entries removed and a crash, or a disk, has kept.
func (c *Control) dropFiles() {
	if c.files == nil {
		return
	}
	c.filing.Lock()
	defer c.filing.Unlock()
	for _, in := range c.state.book().Incidents() {
		for _, a := range in.Attachments {
			if a.RemovedAt.IsZero() {
				continue
			}
			if _, err := c.files.Stat(a.SHA256); err == nil {
				c.dropFile(a.SHA256)
			}
		}
	}
}
