package control

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"andon/people"
)

// When step-up is asked for, beside what is irreversible.
const (
	StepUpFactor = "factor" // of accounts that can prove more than a token
	StepUpAlways = "always"
)

// What one credential may ask for. Nobody at a console comes near; a program that
// has run wild does not take the control plane from the others. Tightening is
// counted apart, and below its measure it is never refused for being too much.
const (
	requestsPerSecond = 1000
	requestsAtOnce    = 10000
)

// How log-ins are slowed: five failures of an account from an address are free,
// then a second, doubling to a quarter of an hour; twenty of an address over all
// accounts.
const (
	freeByAccount = 5
	freeBySource  = 20
	firstDelay    = time.Second
	mostDelay     = 15 * time.Minute
	throttleRoom  = 1 << 16
	knownRoom     = 1 << 14
)

// Hashing one password takes 64 MiB. Two at once for anybody and one for whom this
// control plane knows (a device or an address that the account has come from, a
// session): a flood of strangers fills neither the memory nor the way of those.
const (
	lanesForAll   = 2
	lanesForKnown = 1
	laneWait      = 5 * time.Second
)

// desk is where people come in: what of this room is not state.
type desk struct {
	file     *peopleFile
	span     people.Span
	hashing  people.Params
	decoy    string
	actions  []string // that a scope can name
	proxies  []netip.Prefix
	csrf     *http.CrossOriginProtection
	sealing  cipher.AEAD
	naming   []byte // key of subjects' hashes
	issuer   *issuer
	byName   people.Throttle // (account, address), or (account, device)
	bySource people.Throttle
	devices  people.Meter // device log-ins begun, by address
	joins    people.Meter // tokens that were handed in, by address
	renewals people.Meter // of gateways
	general  people.Meter
	tighten  people.Meter
	forAll   chan struct{}
	forKnown chan struct{}
	past     chan struct{} // earlier states that are looked for, see Control.past

	setting sync.Mutex // held while a password is on its way from its file to its entry

	mu    sync.Mutex
	known map[string]bool      // account and address of log-ins that succeeded
	used  map[string]time.Time // what may be used once → until when it could be
	polls map[string]int       // device log-ins that wait, by address; "": of all
}

func (c *Control) newDesk() error {
	cfg := &c.cfg
	if cfg.Sessions == (people.Span{}) {
		cfg.Sessions = people.DefaultSpan
	}
	if cfg.hashing == (people.Params{}) {
		cfg.hashing = people.Standard
	}
	file, err := openPeopleFile(cfg.People, cfg.Now(), c.log)
	if err != nil {
		return err
	}
	d := &desk{
		file: file, span: cfg.Sessions, hashing: cfg.hashing, proxies: cfg.Proxies, csrf: http.NewCrossOriginProtection(),
		byName:   people.Throttle{Free: freeByAccount, First: firstDelay, Most: mostDelay, Room: throttleRoom},
		bySource: people.Throttle{Free: freeBySource, First: firstDelay, Most: mostDelay, Room: throttleRoom},
		devices:  people.Meter{PerSecond: 0.5, Burst: 20, Room: throttleRoom},
		joins:    people.Meter{PerSecond: 5, Burst: 100, Room: throttleRoom},
		renewals: people.Meter{PerSecond: 0.2, Burst: 30, Room: throttleRoom},
		general:  people.Meter{PerSecond: requestsPerSecond, Burst: requestsAtOnce, Room: throttleRoom},
		tighten:  people.Meter{PerSecond: requestsPerSecond, Burst: requestsAtOnce, Room: throttleRoom},
		forAll:   make(chan struct{}, lanesForAll), forKnown: make(chan struct{}, lanesForKnown), past: make(chan struct{}, maxPasts),
		known: map[string]bool{}, used: map[string]time.Time{}, polls: map[string]int{},
	}
	d.actions = knownActions()
	random := make([]byte, people.SaltBytes+32)
	rand.Read(random)
	d.decoy = people.Decoy(d.hashing, random)
	key, err := hkdf.Key(sha256.New, file.data.Key, nil, "andon people: sealing", 32)
	if err != nil {
		return err
	}
	if d.naming, err = hkdf.Key(sha256.New, file.data.Key, nil, "andon people: subjects", 32); err != nil {
		return err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	if d.sealing, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return err
	}
	if cfg.OIDC != nil {
		if d.issuer, err = newIssuer(cfg.OIDC); err != nil {
			return err
		}
	}
	c.desk = d
	// What a crash left behind, or a command that was refused.
	counts := map[string]bool{}
	for _, op := range c.state.operators {
		counts[op.verifier] = op.active()
	}
	return file.drop(func(v string) bool { return !counts[v] }, func(id string) bool {
		k := c.state.people.byID[id]
		return !c.state.operators[id].active() && (k == nil || !k.ended.IsZero())
	})
}

// close puts down what was last used.
func (d *desk) close(now time.Time) error {
	if !d.file.due(now, 0) {
		return nil
	}
	return d.file.keep()
}

// seal hides a value for its way through somebody's hands. It opens again for the
// same purpose only.
func (d *desk) seal(purpose string, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic("control: seal " + purpose + ": " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(d.sealing.Seal(nil, nil, data, []byte(purpose)))
}

func (d *desk) open(purpose, text string, v any) bool {
	if len(text) > 8<<10 {
		return false
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return false
	}
	data, err = d.sealing.Open(nil, nil, data, []byte(purpose))
	return err == nil && json.Unmarshal(data, v) == nil
}

// once says whether something is used for the first time; until then it could be
// used again. What this forgets under a flood, the issuer refuses.
func (d *desk) once(id string, until, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k, t := range d.used {
		if !now.Before(t) || len(d.used) > throttleRoom {
			delete(d.used, k)
		}
	}
	if _, again := d.used[id]; again {
		return false
	}
	d.used[id] = until
	return true
}

// poll takes a place among the device log-ins that wait; done gives it back, and is
// nil if there is none. No address takes all of them.
func (d *desk) poll(source string) (done func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.polls[""] >= maxPolls || d.polls[source] >= maxPollsBySource {
		return nil
	}
	d.polls[""]++
	d.polls[source]++
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.polls[""]--
		if d.polls[source]--; d.polls[source] == 0 {
			delete(d.polls, source)
		}
	}
}

func (d *desk) remember(account, source string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k := range d.known {
		if len(d.known) < knownRoom {
			break
		}
		delete(d.known, k)
	}
	d.known[account+" "+source] = true
}

func (d *desk) knows(account, source string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known[account+" "+source]
}

// subjectHash is how a person of an issuer is known in the record. Without the key
// nobody can try whose it is.
func (d *desk) subjectHash(issuer, subject string) string {
	m := hmac.New(sha256.New, d.naming)
	m.Write([]byte(strconv.Itoa(len(issuer)) + ":" + issuer + subject))
	return hex.EncodeToString(m.Sum(nil))
}

// lane waits for a place to hash in. release is nil if none became free in time.
func (d *desk) lane(ctx context.Context, known bool) (release func()) {
	lane := d.forAll
	if known {
		lane = d.forKnown
	}
	t := time.NewTimer(laneWait)
	defer t.Stop()
	select {
	case lane <- struct{}{}:
		return func() { <-lane }
	case <-t.C:
	case <-ctx.Done():
	}
	return nil
}

// source is where a request comes from: an address, or the /64 of one, since that
// is what one household has. What a proxy says is believed of trusted ones alone.
func (d *desk) source(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "unknown"
	}
	addr := at.Addr().Unmap()
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(forwarded) - 1; i >= 0 && d.trusts(addr); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(forwarded[i]))
		if err != nil {
			break
		}
		addr = next.Unmap().WithZone("")
	}
	if addr.Is6() {
		p, _ := addr.WithZone("").Prefix(64)
		return p.String()
	}
	return addr.String()
}

func (d *desk) trusts(addr netip.Addr) bool {
	for _, p := range d.proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// seconds writes a time as whole seconds, at least one.
func seconds(d time.Duration) string { return strconv.Itoa(max(1, int(math.Ceil(d.Seconds())))) }

// secure says whether the client's way here is encrypted, as far as can be known.
func (d *desk) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && d.trusts(at.Addr().Unmap()) && r.Header.Get("X-Forwarded-Proto") == "https"
}

const (
	sessionCookie = "andon-session"
	loginCookie   = "andon-login"
)

// cookie is a cookie's name. With the prefix a browser takes it over TLS alone, for
// this host alone.
func (d *desk) cookie(r *http.Request, name string) string {
	if d.secure(r) {
		return "__Host-" + name
	}
	return name
}

// setCookie sets a cookie, or takes it away if value is "".
func (d *desk) setCookie(cl *call, name, value string, age time.Duration, site http.SameSite) {
	k := &http.Cookie{Name: d.cookie(cl.r, name), Value: value, Path: "/", HttpOnly: true, Secure: d.secure(cl.r), SameSite: site, MaxAge: int(age / time.Second)}
	if value == "" {
		k.MaxAge = -1
	}
	http.SetCookie(cl.w, k)
}
