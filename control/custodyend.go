package control

import "strconv"

// legalHoldStep is the answer to whether anybody must keep the model.
type legalHoldStep struct {
	Clear     *bool  `json:"clear"` // true: nobody has to
	CheckedBy string `json:"checked_by"`
	Reference string `json:"reference"`
}

func (b *legalHoldStep) apply(x *custodyStep) error {
	if err := x.during("a legal-hold check has no place", caseOpen, caseSealed); err != nil {
		return err
	}
	if b.Clear == nil {
		return badField("clear", "missing: true if nobody has to keep the model, else false")
	}
	if err := lines("checked_by", b.CheckedBy, "reference", b.Reference); err != nil {
		return err
	}
	x.k.LegalHolds = append(x.k.LegalHolds, legalHold{*b.Clear, b.CheckedBy, b.Reference, x.actor, x.at})
	return nil
}

// destroyStep says that a copy was destroyed. It takes a witness to count.
type destroyStep struct {
	Method   string `json:"method"`
	Evidence string `json:"evidence,omitempty"`
}

func (b *destroyStep) apply(x *custodyStep) error {
	if err := x.during("nothing can be destroyed", caseSealed); err != nil {
		return err
	}
	c := x.k.copy(x.target)
	if c == nil {
		return problem("not_found", "the case has no copy "+strconv.Quote(short(x.target)))
	}
	if err := line("method", b.Method); err != nil {
		return err
	}
	if err := checkLine("evidence", b.Evidence, maxCustodyText); err != nil {
		return err
	}
	if lacks := x.k.lacksDestruction(x.s, x.at); len(lacks) > 0 {
		return outOfOrder("copy "+c.ID+" can not be destroyed yet", lacks...)
	}
	if c.Status != copySealed {
		return outOfOrder("copy "+c.ID+" can not be destroyed", "it is "+c.Status)
	}
	if m := x.k.Motion; !m.Begun {
		m.Begun, m.Approvals = true, m.counted(x.s)
	}
	c.Status, c.Destroyed = copyDestroying, &destruction{By: x.actor, At: x.at, Method: b.Method, Evidence: b.Evidence}
	return nil
}

// witnessStep says that somebody else saw it.
type witnessStep struct {
	Statement string `json:"statement"`
}

func (b *witnessStep) apply(x *custodyStep) error {
	if err := x.during("nothing can be witnessed", caseSealed); err != nil {
		return err
	}
	c := x.k.copy(x.target)
	if c == nil {
		return problem("not_found", "the case has no copy "+strconv.Quote(short(x.target)))
	}
	if err := reasonField("statement", b.Statement); err != nil {
		return err
	}
	switch {
	case c.Status != copyDestroying:
		return outOfOrder("there is nothing to witness", "copy "+c.ID+" is "+c.Status)
	case c.Destroyed.By == x.actor:
		return problem("not_independent", "you have destroyed it; the witness is somebody else")
	}
	d := *c.Destroyed
	d.Witness, d.Witnessed, d.Statement = x.actor, x.at, b.Statement
	c.Status, c.Destroyed = copyDestroyed, &d
	return nil
}

// finishStep makes it L6.
type finishStep struct {
	Reason string `json:"reason"`
}

func (b *finishStep) apply(x *custodyStep) error {
	if err := reasonGiven(b.Reason); err != nil {
		return err
	}
	if err := x.during("the destruction can not be closed", caseSealed); err != nil {
		return err
	}
	lacks := x.k.undestroyed()
	if len(x.k.Copies) == 0 || !x.k.begun() {
		lacks = append(lacks, "no copy was destroyed")
	}
	if len(lacks) > 0 {
		return outOfOrder("the destruction can not be closed yet", lacks...)
	}
	x.retire() // with all that approved it while copies were destroyed
	x.k.Level = "L6"
	x.end(caseDestroyed)
	return nil
}
