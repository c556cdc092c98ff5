package plan

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"andon/correction"
)

// Words of what is outside.
const (
	Permitted  = "permitted" // a correction may be applied
	WithNotice = "notice"    // it may, with notice
	Forbidden  = "forbidden" // it may not, but by the authority's own rule

	CriticalitySafety = "safety" // somebody's safety depends on it
)

// Criticalities are how much depends on a model, from little to most.
var Criticalities = []string{"low", "medium", "high", CriticalitySafety}

// RetentionClasses are the classes of records. Prompts are the texts of system
// prompts in evidence; left out, they are kept as long as the evidence.
var RetentionClasses = []string{"requests", "incidents", "evidence", "prompts", "concerns", "accounts"}

var (
	termWords    = []string{Permitted, WithNotice, Forbidden}
	channelKinds = []string{"email", "phone", "webhook", "chat"}
)

func (c *checker) dependants() {
	c.entries("dependants", len(c.p.Dependants), func(i int) string { return c.p.Dependants[i].Name })
	for i := range c.p.Dependants {
		d, path := &c.p.Dependants[i], func(field string) string { return at("dependants", i, field) }
		if c.names["contacts"][d.Name] {
			c.wrong(path("name"), quote(d.Name)+" is the name of a contact, too; a notice to it would not say whom it means")
		}
		c.values(path("orgs"), d.Orgs, correction.MaxValueBytes, true)
		c.refs(path("models"), "models", d.Models, true)
		c.word(path("criticality"), d.Criticality, true, Criticalities...)
		if c.ref(path("fallback"), "fallbacks", d.Fallback, false) {
			for _, m := range d.Models {
				if f := c.p.Fallback(d.Fallback); !contains(f.For, m) && f.Model != m {
					c.wrong(path("fallback"), quote(d.Fallback)+" is not for the model "+quote(m)+", which this dependant uses")
				}
			}
		}
		c.length(path("notice"), d.Notice, correction.Duration(60e9), 366*day, false)
		c.refs(path("contacts"), "contacts", d.Contacts, true)
	}
}

func (c *checker) terms() {
	c.entries("terms", len(c.p.Terms), func(i int) string { return c.p.Terms[i].Name })
	whose := map[string]string{}
	for i := range c.p.Terms {
		t, path := &c.p.Terms[i], func(field string) string { return at("terms", i, field) }
		c.values(path("orgs"), t.Orgs, correction.MaxValueBytes, true)
		for j, org := range t.Orgs {
			if other, twice := whose[org]; twice && other != t.Name {
				c.wrong(at(path("orgs"), j, ""), quote(org)+" is under the terms "+quote(other)+" already; they would contradict")
			}
			whose[org] = t.Name
		}
		c.word(path("default"), t.Default, true, termWords...)
		c.line(path("source"), t.Source, true)
		c.count(path("clauses"), len(t.Clauses), maxRefs)
		for j := range t.Clauses[:min(len(t.Clauses), maxRefs)] {
			c.clause(at(path("clauses"), j, ""), &t.Clauses[j])
		}
	}
}

func (c *checker) clause(path string, t *TermClause) {
	if len(t.Kinds) == 0 {
		c.wrong(path+".kinds", "missing: say which corrections the clause is about", kindWords...)
	}
	c.count(path+".kinds", len(t.Kinds), 20)
	for i, k := range t.Kinds {
		if !slices.Contains(Kinds, k) && !levelWord.MatchString(k) {
			c.add(Fault{Position: c.p.Pos(at(path+".kinds", i, "")), Path: at(path+".kinds", i, ""), Detail: quote(k) + " is neither a kind of correction nor a level", Allowed: kindWords, Near: near(k, Kinds)})
		}
	}
	c.distinct(path+".kinds", t.Kinds)
	if c.word(path+".word", t.Word, true, termWords...) && t.Word != WithNotice && t.Notice != 0 {
		c.wrong(path+".notice", "belongs to a clause that says notice; this one says "+t.Word)
	}
	c.length(path+".notice", t.Notice, correction.Duration(60e9), 366*day, t.Word == WithNotice)
	c.line(path+".section", t.Section, false)
}

var (
	levelWord = regexp.MustCompile(`^L[0-6]\+?$`)
	kindWords = append(slices.Clone(Kinds), "L0 to L6", "L0+ to L6+")
)

func (c *checker) contacts() {
	c.entries("contacts", len(c.p.Contacts), func(i int) string { return c.p.Contacts[i].Name })
	for i := range c.p.Contacts {
		k, path := &c.p.Contacts[i], func(field string) string { return at("contacts", i, field) }
		if len(k.Channels) == 0 {
			c.wrong(path("channels"), "missing: give at least one way to reach it")
		}
		c.count(path("channels"), len(k.Channels), 16)
		for j, ch := range k.Channels[:min(len(k.Channels), 16)] {
			if c.word(at(path("channels"), j, "kind"), ch.Kind, true, channelKinds...) {
				c.address(at(path("channels"), j, "address"), ch.Kind, ch.Address)
			}
		}
		c.length(path("verify_every"), k.Every, day, 366*day, false)
	}
}

var (
	mailAddress = regexp.MustCompile(`^[^\s@<>"]{1,64}@[^\s@<>"]+$`)
	phoneNumber = regexp.MustCompile(`^\+[0-9][0-9 ()-]{4,30}$`)
)

// address checks the form of an address; that somebody answers there is for a
// test message to show. It is not quoted: it may be a person's.
func (c *checker) address(path, kind, s string) {
	c.value(path, s, maxLine*2, true)
	if s == "" {
		return
	}
	switch kind {
	case "email":
		if !mailAddress.MatchString(s) {
			c.wrong(path, "is no e-mail address; write name@example.org")
		}
	case "phone":
		if !phoneNumber.MatchString(s) {
			c.wrong(path, `is no telephone number; write it with its country, "+49 30 1234567", in quotes`)
		}
	case "webhook":
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Contains(s, "#") {
			c.wrong(path, "is no address of a webhook; write https://host/path, without a password")
		}
	}
}

func (c *checker) retention() {
	c.count("retention", len(c.p.Retention), len(RetentionClasses))
	seen := map[string]bool{}
	for i := range c.p.Retention {
		r, path := &c.p.Retention[i], func(field string) string { return at("retention", i, field) }
		c.word(path("class"), r.Class, true, RetentionClasses...)
		if seen[r.Class] {
			c.wrong(path("class"), quote(r.Class)+" stands here twice; one class has one time")
		}
		seen[r.Class] = true
		c.length(path("keep"), r.Keep, correction.Duration(3600e9), 36525*day, true)
		c.text(path("basis"), r.Basis, true)
	}
}
