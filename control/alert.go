package control

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"andon/authority"
	"andon/correction"
	"andon/ledger"
	"andon/order"
)

// This room is the second channel: what should wake somebody is sent to where the
// configuration says, besides standing in the record (alertsend.go). The ledger is
// the queue, so a crash loses nothing. It also watches what nobody commands: gaps
// in rosters (alertroster.go) and gateways in trouble (alertpoint.go).

const (
	typeGatewayAlarmed = "gateway.alarmed"
	typeGatewaySettled = "gateway.settled"
	typeRosterGap      = "roster.gap"
	typeAlertOff       = "alert.disabled" // the endpoint said that it is gone
	typeAlertOn        = "alert.enabled"
)

// The events that an endpoint can ask for.
const (
	eventPull      = "pull"       // a stop from L3 on, however it came about
	eventGlass     = "glass"      // the glass was broken
	eventOverdue   = "overdue"    // nobody ratified, agreed or reviewed in time
	eventGateway   = "gateway"    // it refused an order, is ahead of this control plane, or is there twice
	eventSplitView = "split_view" // it has seen another ledger
	eventRosterGap = "roster_gap" // nobody is on call, or soon will not be
	eventRevoked   = "revoked"    // a key, token, credential or signing key ended before its time
	eventEndpoint  = "endpoint"   // another endpoint takes no more alerts
	eventAlarm     = "alarm"      // any other alarm
)

// AlertEvents are all of them.
var AlertEvents = []string{eventPull, eventGlass, eventOverdue, eventGateway, eventSplitView, eventRosterGap, eventRevoked, eventEndpoint, eventAlarm}

// AlertEndpoint is where alerts are sent, as Standard Webhooks 1.0.
type AlertEndpoint struct {
	Name   string   // how people call it, unique; "": the host of URL
	URL    string   // https://…, or http:// on a loopback address
	Secret string   // whsec_ and 24 to 64 bytes in base64; signs what is sent
	Events []string // of AlertEvents; none: all
}

// MaxAlerts bounds how many endpoints there can be.
const MaxAlerts = 16

// AlertFault is something wrong with an endpoint.
type AlertFault struct {
	Index   int
	Field   string // url, secret, events, name
	Detail  string // without the secret
	Allowed []string
}

// CheckAlerts says what is wrong with endpoints.
func CheckAlerts(es []AlertEndpoint) (out []AlertFault) {
	if len(es) > MaxAlerts {
		out = append(out, AlertFault{MaxAlerts, "url", fmt.Sprintf("there are %d endpoints; at most %d", len(es), MaxAlerts), nil})
	}
	seen := map[string]bool{}
	for i := range es {
		e := &es[i]
		fail := func(field, detail string, allowed ...string) {
			out = append(out, AlertFault{i, field, detail, allowed})
		}
		if _, err := e.address(); err != nil {
			fail("url", err.Error())
		}
		if _, err := e.key(); err != nil {
			fail("secret", err.Error())
		}
		for _, ev := range e.Events {
			if !slices.Contains(AlertEvents, ev) {
				fail("events", strconv.Quote(short(ev))+" is no event", AlertEvents...)
			}
		}
		name := e.name()
		switch {
		case seen[name]:
			fail("name", strconv.Quote(short(name))+" is the name of another endpoint; give each its own")
		case name == "" || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == '%' || r == '?' || r == '#' }) || name == "." || name == "..":
			fail("name", "1 to 64 visible ASCII characters without / % ? #")
		}
		seen[name] = true
	}
	return out
}

// name is how the endpoint is called.
func (e *AlertEndpoint) name() string {
	if e.Name != "" {
		return e.Name
	}
	u, err := url.Parse(e.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

// address is the endpoint's URL. The control plane sends nothing in plaintext but
// on its own machine.
func (e *AlertEndpoint) address() (*url.URL, error) {
	u, err := url.Parse(e.URL)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must be https://, a host and a path; or http:// on a loopback address")
	case u.User != nil:
		return nil, errors.New("credentials do not belong here: what is sent is signed with secret")
	case u.Fragment != "":
		return nil, errors.New("a fragment has no meaning here")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, errors.New("http:// is taken on a loopback address alone; use https://")
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && neverSent(a) {
		return nil, fmt.Errorf("%s is no address that anything is sent to: link-local, multicast and unspecified ones are refused", a)
	}
	return u, nil
}

// neverSent says that nothing is sent to an address: there a machine's own
// metadata service answers, or nobody that was meant.
func neverSent(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified()
}

// key is the secret's bytes.
func (e *AlertEndpoint) key() ([]byte, error) {
	text, ok := strings.CutPrefix(e.Secret, "whsec_")
	switch {
	case e.Secret == "":
		return nil, errors.New("missing: whsec_ and 24 to 64 random bytes in base64, the same as the endpoint has")
	case !ok:
		return nil, errors.New("does not begin with whsec_")
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("what follows whsec_ is not base64")
	}
	if len(b) < 24 || len(b) > 64 {
		return nil, fmt.Errorf("has %d bytes after whsec_; 24 to 64", len(b))
	}
	return b, nil
}

// alertState is what the record says of this room.
type alertState struct {
	off      map[string]string               // endpoints that are off, with the digest of their address
	troubles map[string]map[string]time.Time // by gateway and what: when it was said
	gaps     map[string][]rosterGapBody      // said, by duty
}

var alertTable = []route{
	{"GET", "/api/v1/alerts", "", false, (*Control).getAlerts},
	{"POST", "/api/v1/alerts/{name}/test", "alert.test", false, (*Control).postAlertTest},
	{"GET", "/api/v1/on-call", "", false, (*Control).getOnCall},
}

var alertPermits = map[string]authority.Set{
	"alert.read": readers, "alert.test": actors, "on_call.read": authority.All,
}

var alertCodes = map[string]code{
	"alert_busy": {409, "A test is on its way"},
}

var alertFolds = map[string]foldFunc{
	typeGatewayAlarmed: foldGatewayAlarmed, typeGatewaySettled: foldGatewaySettled,
	typeRosterGap: foldRosterGap, typeAlertOff: foldAlertOff, typeAlertOn: foldAlertOn,
}

// alertClock drafts what nobody commands and somebody has to know.
func alertClock(c *Control, s *state, early time.Time) []draft {
	return append(c.troubledPoints(s, early), c.dueGaps(s, early)...)
}

// alertOffBody is an endpoint that takes no more alerts.
type alertOffBody struct {
	Name    string `json:"name"`
	Address string `json:"address_sha256"` // hex; another address under the same name is another endpoint
	Says    string `json:"says"`
}

// alertOnBody is one that was off and answered a test.
type alertOnBody struct {
	Name string `json:"name"`
}

func foldAlertOff(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[alertOffBody](e.Body)
	return func() {
		if s.alert.off == nil {
			s.alert.off = map[string]string{}
		}
		s.alert.off[b.Name] = b.Address
	}, err
}

func foldAlertOn(s *state, e ledger.Entry, _ *order.Order) (func(), error) {
	b, err := read[alertOnBody](e.Body)
	return func() { delete(s.alert.off, b.Name) }, err
}

// alertOf is what an entry is an alert about: the event, in words, and the
// correction that it is about, if any. event is "" if it is none. It reads the
// state, which may be younger than the entry. The caller holds mu.
func (s *state) alertOf(e ledger.Entry) (event, says, about string) {
	switch e.Type {
	case typeCreated:
		if b, err := read[createdBody](e.Body); err == nil && pullsCord(&b.Correction) {
			return eventPull, s.alarming(e), b.Correction.ID
		}
	case typeAdopted:
		if b, err := read[adoptedBody](e.Body); err == nil {
			return s.pulls("an emergency order by "+b.By+" was adopted, which pulled the cord: ", b.Corrections)
		}
	case typeRestored:
		if b, err := read[restoredBody](e.Body); err == nil {
			return s.pulls(s.nameOf(e.Actor)+" pulled the cord by restoring what was in force: ", b.Reinstate)
		}
	case typeRaised:
		if b, err := read[changedBody](e.Body); err == nil {
			return eventPull, s.nameOf(e.Actor) + " raised " + b.ID + " to " + b.Level, b.ID
		}
	case typeLifted: // by the clock: it lapsed, which loosens
		if b, err := read[changedBody](e.Body); err == nil && e.Actor == system && strings.HasPrefix(b.Reason, "not ratified in time") {
			return eventOverdue, b.ID + " lapsed: " + b.Reason, b.ID
		}
	case typeGlass:
		return eventGlass, s.alarming(e), ""
	case typeOverdue:
		b, _ := read[overdueBody](e.Body)
		return eventOverdue, s.alarming(e), b.ID
	case typeCarried:
		if b, err := read[endedBody](e.Body); err == nil && s.authority.acts[b.ID] != nil {
			return s.kinAlert(s.authority.acts[b.ID])
		}
	case typeRatified:
		if b, err := read[changedBody](e.Body); err == nil && s.corrections[b.ID] != nil {
			if note := s.kinOf(s.operators[e.Actor], s.corrections[b.ID].createdBy, e.At); note != "" {
				return eventAlarm, b.ID + " was ratified by " + s.nameOf(e.Actor) + " (" + note + ")", b.ID
			}
		}
	case typeReadmitted:
		b, _ := read[readmittedBody](e.Body)
		return eventAlarm, s.alarming(e), b.ID
	case typeLapsed, typeReviewDue:
		return eventOverdue, s.alarming(e), ""
	case typeWitnessAlarmed:
		if b, err := read[alarmedBody](e.Body); err == nil {
			return eventSplitView, b.Gateway + " has seen a ledger that does not go with this one: " + b.Detail, ""
		}
	case typeWitnessForked:
		if b, err := read[forkedBody](e.Body); err == nil {
			return eventSplitView, b.says() + " (" + b.detail() + ")", ""
		}
	case typeGatewayAlarmed:
		if b, err := read[gatewayBody](e.Body); err == nil {
			return eventGateway, b.words(), ""
		}
	case typeRosterGap:
		return eventRosterGap, alarmText(e), ""
	case typeCAOverdue:
		return eventOverdue, alarmText(e), ""
	case typeCAEnding:
		return eventAlarm, alarmText(e), ""
	case typeCAWithdrawn:
		if b, err := read[caWithdrawn](e.Body); err == nil {
			return s.revoked(e, "the certificate authority "+shortPrint(b.Authority), b.Reason)
		}
	case typeAlertOff:
		return eventEndpoint, alarmText(e), ""
	case typeRevoked:
		if b, err := read[revokedBody](e.Body); err == nil {
			return s.revoked(e, "the key "+b.ID, b.Reason)
		}
	case typeAPIRevoked:
		if b, err := read[apiRevokedBody](e.Body); err == nil {
			return s.revoked(e, "the token "+b.ID, b.Reason)
		}
	case typeCredRevoked:
		if b, err := read[credRevokedBody](e.Body); err == nil {
			return s.revoked(e, "the credential "+b.ID+" of "+b.Gateway, b.Reason)
		}
	case typeKeyRevoked:
		if b, err := read[distrustedBody](e.Body); err == nil {
			return s.revoked(e, "the signing key "+b.Key, b.Reason)
		}
	default: // an alarm of another room: which, and not what it says, which not everybody may read
		b, err := read0[struct {
			ID string `json:"id"`
		}](e.Body)
		if err != nil || s.alarming(e) == "" {
			return "", "", ""
		}
		event = eventAlarm
		if strings.HasSuffix(e.Type, "overdue") {
			event = eventOverdue
		}
		return event, strings.TrimSpace(strings.NewReplacer(".", " ", "_", " ").Replace(e.Type) + " " + b.ID), ""
	}
	return "", "", ""
}

// read0 reads the members that it knows and leaves out the others.
func read0[T any](raw jsontext.Value) (T, error) {
	var v T
	err := json.Unmarshal(raw, &v)
	return v, err
}

func (s *state) revoked(e ledger.Entry, what, reason string) (event, says, about string) {
	says = s.nameOf(e.Actor) + " revoked " + what
	if reason != "" {
		says += ": " + reason
	}
	return eventRevoked, says, ""
}

// pullsCord says whether a correction cuts what runs.
func pullsCord(c *correction.Correction) bool { return c.Level() >= 3 && c.Mode != correction.Shadow }

// pulls is an alert about the corrections that pull the cord, if any does.
func (s *state) pulls(how string, cs []correction.Correction) (event, says, about string) {
	n := 0
	for i := range cs {
		if !pullsCord(&cs[i]) {
			continue
		}
		if n++; n == 1 {
			about, says = cs[i].ID, how+correctionWords(&cs[i])+", "+cs[i].ID
		}
	}
	switch {
	case n == 0:
		return "", "", ""
	case n > 1:
		says += fmt.Sprintf(" and %d more", n-1)
	}
	return eventPull, says, about
}

// alarmText says what an entry of this room is an alarm about, "" if it is none.
// What gateways do is said in the log when it is seen.
func alarmText(e ledger.Entry) string {
	switch e.Type {
	case typeCAOverdue, typeCAEnding:
		return caAlarm(e)
	case typeRosterGap:
		if b, err := read[rosterGapBody](e.Body); err == nil {
			return b.words()
		}
	case typeAlertOff:
		if b, err := read[alertOffBody](e.Body); err == nil {
			return "the alert endpoint " + b.Name + " takes no more alerts: " + b.Says
		}
	}
	return ""
}

// digestOf tells addresses apart without saying them.
func digestOf(address string) string {
	sum := sha256.Sum256([]byte(address))
	return hex.EncodeToString(sum[:])
}
