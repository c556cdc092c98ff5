package control

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"andon/authority"
	"andon/ledger"
	"andon/order"
)

// This room holds the concern channel: whoever sees that something is wrong can
// say so, without a name if they wish, and learn from a receipt what became of it.
//
// What is said stands beside the tree, under a salted commitment, so that it can
// be erased; who said it stands nowhere unless they say it themselves. The record
// has the day's order of entries and no address. Auditors read concerns, and
// administrators only where there is no auditor: a concern may be about them.

const (
	typeConcern        = "concern.raised"
	typeConcernStatus  = "concern.status"
	typeConcernMessage = "concern.message"
)

// nobody is the actor of what comes without a name.
const nobody = "anonymous"

const (
	receiptPrefix   = "cr_"
	maxConcern      = 16 << 10 // bytes of a text
	maxConcernLine  = 300      // bytes of about and contact
	maxOpenConcerns = 10_000
	maxMessages     = 100 // of one concern
)

// What a concern can be about, and where it stands. The order is the one it goes
// through; it can be closed from anywhere, and opened again by its reporter.
var (
	concernTopics = []string{"dangerous_capability", "misuse", "harm_to_people", "loss_of_control", "security", "process", "retaliation", "other"}
	concernStates = []string{"received", "acknowledged", "looking", "acted_on", "no_action", "referred"}
)

// closed says whether a state is an end.
func closedConcern(state string) bool { return slices.Index(concernStates, state) >= 3 }

type concernState struct {
	concerns  map[string]*concern
	list      []string
	byReceipt map[string]*concern // by hex SHA-256 of the receipt
	open      int
}

// concern is one, as the fold keeps it: never what it says.
type concern struct {
	id, topic, receipt string
	text, contact      string // commitments; contact may be ""
	about              string // commitment; may be ""
	at                 time.Time
	by                 string // commitment, if they gave their name
	named              string // operator, where an older entry says so openly
	state              string
	changed            time.Time
	entry              uint64
	messages           []concernMessage
}

// concernMessage is one text that goes to and fro.
type concernMessage struct {
	at       time.Time
	reporter bool // from whoever raised it
	by       string
	text     string // commitment
	state    string // that it was moved to; "" if it was not
}

var concernTable = []route{
	{"POST", "/api/v1/concerns", typeConcern, true, (*Control).postConcern},
	{"POST", "/api/v1/concerns/status", "", true, (*Control).postConcernStatus},
	{"POST", "/api/v1/concerns/reply", typeConcernMessage, true, (*Control).postConcernReply},
	{"GET", "/api/v1/concerns", "", false, (*Control).getConcerns},
	{"GET", "/api/v1/concerns/{id}", "", false, (*Control).getConcern},
	{"POST", "/api/v1/concerns/{id}", typeConcernStatus, false, (*Control).postConcernMove},
}

var concernPermits = map[string]authority.Set{
	"concern.read": authority.SetOf(authority.Auditor), "concern.move": authority.SetOf(authority.Auditor),
}

var concernCodes = map[string]code{
	"too_many_concerns": {429, "Too many at once"},
	"unknown_receipt":   {404, "The receipt is not known"},
}

var concernFolds = map[string]foldFunc{typeConcern: foldConcern, typeConcernStatus: foldConcernStatus, typeConcernMessage: foldConcernMessage}

// concernBody raises one. Text, about and contact are commitments.
type concernBody struct {
	ID      string `json:"id"` // k-1
	Topic   string `json:"topic"`
	Receipt string `json:"receipt_sha256"`
	Text    string `json:"text"`
	About   string `json:"about,omitempty"`
	Contact string `json:"contact,omitempty"`
	By      string `json:"by,omitempty"` // commitment to the id of the operator who gave their name: the record is read by others than the desk
}

// concernMessageBody is a message of the reporter, or of who looks into it.
type concernMessageBody struct {
	ID    string `json:"id"`
	Text  string `json:"text,omitempty"` // commitment
	State string `json:"state,omitempty"`
}

func foldConcern(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[concernBody](e.Body)
	if err != nil {
		return nil, err
	}
	if b.ID == "" || s.concern.concerns[b.ID] != nil || s.concern.byReceipt[b.Receipt] != nil {
		return nil, fmt.Errorf("concern %q is there already: %w", b.ID, errForm)
	}
	return func() {
		if s.concern.concerns == nil {
			s.concern.concerns, s.concern.byReceipt = map[string]*concern{}, map[string]*concern{}
		}
		k := &concern{id: b.ID, topic: b.Topic, receipt: b.Receipt, text: b.Text, about: b.About, contact: b.Contact, by: b.By, at: e.At.UTC(), state: concernStates[0], changed: e.At.UTC(), entry: e.Seq}
		if e.Actor != nobody {
			k.named = e.Actor
		}
		s.concern.concerns[b.ID], s.concern.byReceipt[b.Receipt] = k, k
		s.concern.list = append(s.concern.list, b.ID)
		s.concern.open++
	}, nil
}

func (k *concern) take(s *state, e ledger.Entry, b *concernMessageBody, reporter bool) {
	m := concernMessage{at: e.At.UTC(), reporter: reporter, text: b.Text, state: b.State}
	if !reporter {
		m.by = e.Actor
	}
	if b.State != "" {
		if was, is := closedConcern(k.state), closedConcern(b.State); was != is {
			s.concern.open += map[bool]int{true: -1, false: 1}[is]
		}
		k.state = b.State
	}
	k.changed = e.At.UTC()
	k.messages = append(k.messages, m)
}

func foldConcernStatus(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	return foldConcernSaid(s, e, false)
}
func foldConcernMessage(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	return foldConcernSaid(s, e, true)
}

func foldConcernSaid(s *state, e ledger.Entry, reporter bool) (func(), error) {
	b, err := read[concernMessageBody](e.Body)
	if err != nil {
		return nil, err
	}
	k := s.concern.concerns[b.ID]
	if k == nil || b.State != "" && !slices.Contains(concernStates, b.State) {
		return nil, fmt.Errorf("concern %q: %w", b.ID, errForm)
	}
	return func() { k.take(s, e, &b, reporter) }, nil
}

// newConcern is what somebody reports.
type newConcern struct {
	Topic   string `json:"topic"`
	Text    string `json:"text"`
	About   string `json:"about,omitempty"`   // a model, an incident, a person's function
	Contact string `json:"contact,omitempty"` // how to reach the reporter, if they wish
	Named   bool   `json:"named,omitempty"`   // with the operator's name, by the token of the request
}

// receiptView is the answer to a concern: the receipt is shown this once.
type receiptView struct {
	Receipt   string `json:"receipt"`
	State     string `json:"state"`
	Next      string `json:"next"`
	GoodFaith string `json:"good_faith"`
}

// concernText checks a text of several lines.
func concernText(field, text string, most int, needed bool) error {
	if needed && strings.TrimSpace(text) == "" {
		return badField(field, "missing: say what you saw")
	}
	if len(text) > most {
		return badField(field, fmt.Sprintf("has %d bytes; at most %d", len(text), most))
	}
	return nil
}

// sealed puts texts beside the tree; empty ones stay empty.
func sealed(values map[string][]byte, text string) string {
	if text == "" {
		return ""
	}
	name, s := ledger.Commit([]byte(text))
	values[name] = s
	return name
}

// postConcern takes a concern, from anybody. Nothing of the request but its body
// is kept, logged or recorded.
func (c *Control) postConcern(cl *call) error {
	b, err := decode[newConcern](cl)
	if err != nil {
		return err
	}
	if !slices.Contains(concernTopics, b.Topic) {
		return badField("topic", strconv.Quote(short(b.Topic))+" is no topic", concernTopics...)
	}
	for _, f := range []struct {
		name, text string
		most       int
	}{{"text", b.Text, maxConcern}, {"about", b.About, maxConcernLine}, {"contact", b.Contact, maxConcernLine}} {
		if err := concernText(f.name, f.text, f.most, f.name == "text"); err != nil {
			return err
		}
	}
	name := ""
	if b.Named {
		op, err := c.authenticate(cl.r)
		if err != nil {
			return err
		}
		name = op.id
	}
	if err := c.concerns.admit(c.desk.source(cl.r), c.cfg.Now()); err != nil {
		return err
	}
	var raw [32]byte
	rand.Read(raw[:])
	receipt := receiptPrefix + base64.RawURLEncoding.EncodeToString(raw[:])
	values := map[string][]byte{}
	body := concernBody{Topic: b.Topic, Receipt: receiptHash(receipt), Text: sealed(values, b.Text), About: sealed(values, b.About), Contact: sealed(values, b.Contact), By: sealed(values, name)}
	_, err = c.execute(cl.r.Context(), nobody, func(s *state, _ time.Time) ([]draft, error) {
		if s.concern.open >= maxOpenConcerns {
			return nil, problem("too_many_concerns", fmt.Sprintf("%d concerns are open; tell somebody in person", s.concern.open))
		}
		body.ID = "k-" + strconv.Itoa(len(s.concern.list)+1)
		return []draft{{typeConcern, private{body, values}}}, nil
	})
	if err != nil {
		return err
	}
	return cl.reply(http.StatusCreated, receiptView{receipt, concernStates[0], "keep the receipt: it alone shows what became of this, and lets you add to it", authority.GoodFaith})
}

func receiptHash(receipt string) string {
	sum := sha256.Sum256([]byte(receipt))
	return hex.EncodeToString(sum[:])
}

// ofReceipt finds the concern of a receipt.
func (s *state) ofReceipt(receipt string) (*concern, error) {
	k := s.concern.byReceipt[receiptHash(receipt)]
	if k == nil {
		return nil, problem("unknown_receipt", "no concern has this receipt; it begins with "+receiptPrefix+" and was shown once")
	}
	return k, nil
}

// withReceipt is what a reporter asks with.
type withReceipt struct {
	Receipt string `json:"receipt"`
	Text    string `json:"text,omitempty"` // of a reply
}

// saidView is a message as it is shown.
type saidView struct {
	At     time.Time `json:"at"`
	From   string    `json:"from"` // reporter, or desk: who looks into it
	By     string    `json:"by,omitempty"`
	Text   string    `json:"text,omitempty"`
	Erased bool      `json:"erased,omitempty"`
	Under  string    `json:"erased_under,omitempty"` // the retention that erased it, in words
	State  string    `json:"state,omitempty"`
}

// statusView is a concern as its reporter sees it.
type statusView struct {
	State    string     `json:"state"`
	Changed  time.Time  `json:"changed_at"`
	Raised   time.Time  `json:"raised_at"`
	Messages []saidView `json:"messages"`
}

// postConcernStatus shows a reporter what became of it. It is a POST so that the
// receipt stands in no log of addresses.
func (c *Control) postConcernStatus(cl *call) error {
	b, err := decode[withReceipt](cl)
	if err != nil {
		return err
	}
	if b.Text != "" {
		return badField("text", "belongs to a reply", "receipt")
	}
	v, err := c.reporterView(cl, b.Receipt)
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}

func (c *Control) reporterView(cl *call, receipt string) (statusView, error) {
	c.mu.RLock()
	k, err := c.state.ofReceipt(receipt)
	if err != nil {
		c.mu.RUnlock()
		return statusView{}, err
	}
	copied := *k
	c.mu.RUnlock()
	v := statusView{State: copied.state, Changed: copied.changed, Raised: copied.at}
	v.Messages, err = c.said(cl, copied.messages, false)
	return v, err
}

// said shows messages; who wrote them is for the desk alone.
func (c *Control) said(cl *call, ms []concernMessage, desk bool) ([]saidView, error) {
	out := []saidView{}
	for _, m := range ms {
		v := saidView{At: m.at, From: "desk", State: m.state}
		if m.reporter {
			v.From = "reporter"
		} else if desk {
			v.By = m.by
		}
		if m.text != "" {
			var err error
			if v.Text, v.Erased, err = c.personal(cl.r.Context(), m.text); err != nil {
				return nil, err
			}
			v.Under = c.erasedUnder(m.text)
		}
		out = append(out, v)
	}
	return out, nil
}

// postConcernReply adds a message of the reporter. One that was closed is open
// again: they know what they saw.
func (c *Control) postConcernReply(cl *call) error {
	b, err := decode[withReceipt](cl)
	if err != nil {
		return err
	}
	if err := concernText("text", b.Text, maxConcern, true); err != nil {
		return err
	}
	if err := c.concerns.admit(c.desk.source(cl.r), c.cfg.Now()); err != nil {
		return err
	}
	values := map[string][]byte{}
	text := sealed(values, b.Text)
	_, err = c.execute(cl.r.Context(), nobody, func(s *state, _ time.Time) ([]draft, error) {
		k, err := s.ofReceipt(b.Receipt)
		if err != nil {
			return nil, err
		}
		if len(k.messages) >= maxMessages {
			return nil, problem("too_many_concerns", fmt.Sprintf("it has %d messages already; raise another concern", maxMessages))
		}
		m := concernMessageBody{ID: k.id, Text: text}
		if closedConcern(k.state) {
			m.State = "acknowledged"
		}
		return []draft{{typeConcernMessage, private{m, values}}}, nil
	})
	if err != nil {
		return err
	}
	v, err := c.reporterView(cl, b.Receipt)
	if err != nil {
		return err
	}
	return cl.reply(http.StatusOK, v)
}

// concernDoor bounds how fast concerns come in, without keeping who sent them:
// addresses are hashed with a key that ends with the process.
type concernDoor struct {
	mu    sync.Mutex
	key   [32]byte
	since time.Time
	all   int
	from  map[[8]byte]int
}

const (
	doorWindow = 10 * time.Minute
	doorEach   = 20
	doorAll    = 600
)

func (d *concernDoor) admit(source string, now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.from == nil {
		rand.Read(d.key[:])
	}
	if d.from == nil || now.Sub(d.since) >= doorWindow || now.Before(d.since) {
		d.since, d.all, d.from = now, 0, map[[8]byte]int{}
	}
	sum := sha256.Sum256(append(d.key[:], source...))
	who := [8]byte(sum[:8])
	if d.from[who] >= doorEach || d.all >= doorAll {
		return problem("too_many_concerns", "more concerns come in than can be taken; try again in 10 minutes")
	}
	d.from[who]++
	d.all++
	return nil
}
