package control

import "time"

// strayAge is how old a document that no entry names is before a start removes it:
// it is what a crash left between the document and its entry.
const strayAge = 24 * time.Hour

// sweepEvidence removes what a crash left in the store of evidence. It runs before
// anything is taken, on the state of the whole record: what an entry names, whatever
// became of it since, is not touched. What cannot be removed keeps nothing from
// starting.
func (c *Control) sweepEvidence() {
	if c.evidence.store == nil {
		return
	}
	named := map[string]bool{}
	for _, x := range c.state.evidence.list {
		named[x.SHA256] = true
	}
	n, err := c.evidence.store.Sweep(time.Now().Add(-strayAge), func(digest string) bool { return named[digest] })
	if err != nil {
		c.log.Warn("files of evidence that no entry names could not be removed; the next start tries again", "removed", n, "error", err)
	} else if n > 0 {
		c.log.Info("removed files of evidence that no entry names: a crash had left them", "files", n)
	}
}
