package keyring

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// ckr is a return value of PKCS#11.
type ckr uint64

const (
	ckrDeviceError          ckr = 0x30
	ckrDeviceRemoved        ckr = 0x32
	ckrAttributeSensitive   ckr = 0x11
	ckrAttributeTypeInvalid ckr = 0x12
	ckrFunctionNotSupported ckr = 0x54
	ckrKeyHandleInvalid     ckr = 0x60
	ckrKeyTypeInconsistent  ckr = 0x63
	ckrMechanismInvalid     ckr = 0x70
	ckrObjectHandleInvalid  ckr = 0x82
	ckrPINIncorrect         ckr = 0xA0
	ckrPINLocked            ckr = 0xA4
	ckrSessionClosed        ckr = 0xB0
	ckrSessionHandleInvalid ckr = 0xB3
	ckrTokenNotPresent      ckr = 0xE0
	ckrTokenNotRecognized   ckr = 0xE1
	ckrUserAlreadyLoggedIn  ckr = 0x100
	ckrUserNotLoggedIn      ckr = 0x101
	ckrBufferTooSmall       ckr = 0x150
	ckrNotInitialized       ckr = 0x190
	ckrAlreadyInitialized   ckr = 0x191
)

var ckrNames = map[ckr]string{
	ckrDeviceError: "CKR_DEVICE_ERROR", ckrDeviceRemoved: "CKR_DEVICE_REMOVED", ckrFunctionNotSupported: "CKR_FUNCTION_NOT_SUPPORTED",
	ckrKeyHandleInvalid: "CKR_KEY_HANDLE_INVALID", ckrKeyTypeInconsistent: "CKR_KEY_TYPE_INCONSISTENT", ckrMechanismInvalid: "CKR_MECHANISM_INVALID",
	ckrObjectHandleInvalid: "CKR_OBJECT_HANDLE_INVALID", ckrPINIncorrect: "CKR_PIN_INCORRECT", ckrPINLocked: "CKR_PIN_LOCKED", ckrSessionClosed: "CKR_SESSION_CLOSED",
	ckrSessionHandleInvalid: "CKR_SESSION_HANDLE_INVALID", ckrTokenNotPresent: "CKR_TOKEN_NOT_PRESENT", ckrTokenNotRecognized: "CKR_TOKEN_NOT_RECOGNIZED",
	ckrUserNotLoggedIn: "CKR_USER_NOT_LOGGED_IN",
}

// ckError is what a function of a module answered.
type ckError struct {
	code ckr
	fn   string
}

// in is the error of a function; nil if it succeeded.
func (r ckr) in(fn string) error {
	if r == 0 {
		return nil
	}
	return &ckError{r, fn}
}

func (e *ckError) Error() string {
	if name := ckrNames[e.code]; name != "" {
		return e.fn + " says " + name
	}
	return fmt.Sprintf("%s says %#x", e.fn, uint64(e.code))
}

func (e *ckError) Unwrap() error {
	switch e.code {
	case ckrPINIncorrect, ckrPINLocked:
		return ErrPIN
	case ckrMechanismInvalid, ckrKeyTypeInconsistent:
		return ErrKind
	}
	return ErrAway
}

// lost reports whether a new session may help.
func lost(err error) bool {
	var e *ckError
	if !errors.As(err, &e) {
		return false
	}
	switch e.code {
	case ckrSessionClosed, ckrSessionHandleInvalid, ckrDeviceError, ckrDeviceRemoved, ckrTokenNotPresent, ckrTokenNotRecognized,
		ckrUserNotLoggedIn, ckrKeyHandleInvalid, ckrObjectHandleInvalid:
		return true
	}
	return false
}

// What is asked of objects.
const (
	ckaClass   = 0x0
	ckaLabel   = 0x3
	ckaKeyType = 0x100
	ckaID      = 0x102
	ckaECPoint = 0x181

	ckoPublicKey  = 2
	ckoPrivateKey = 3
	ckkEdwards    = 0x40
	ckmEdDSA      = 0x1057

	ckfLoginRequired = 0x4
	ckfPINFinalTry   = 0x20000
	ckfPINLocked     = 0x40000
)

// attribute is one property of an object.
type attribute struct {
	kind  uint64
	value []byte
}

// number is a CK_ULONG.
func number(n uint64) []byte { return binary.NativeEndian.AppendUint64(nil, n) }

type tokenInfo struct {
	label, manufacturer, model, serial string
	flags                              uint64
}

// unpad ends a text that is filled up with blanks.
func unpad(b []byte) string {
	return strings.TrimRight(string(bytes.TrimRight(b, "\x00")), " ")
}

// refusedPINs are those that a token did not take, by its serial number: none is
// tried again, or a clock that tries again would lock the token.
var refusedPINs = struct {
	sync.Mutex
	m map[string][sha256.Size]byte
}{m: map[string][sha256.Size]byte{}}

// token is one key in a token. turn holds a value while nobody uses it.
type token struct {
	uri  tokenURI
	turn chan struct{}

	mu    sync.Mutex
	since time.Time // of the question that is not answered; zero: none

	// Below belongs to whoever has the turn.
	m            *module
	session, key uint64
	open         bool
	public       ed25519.PublicKey // as it was found first
}

func (c Config) openToken(source string) (*Key, error) {
	u, err := parseTokenURI(source)
	if err == nil {
		err = u.within(&c)
	}
	if err != nil {
		return nil, err
	}
	t := &token{uri: u, turn: make(chan struct{}, 1)}
	t.turn <- struct{}{}
	if _, err := t.ask(c.Timeout, func() ([]byte, error) { return nil, t.reopen() }); err != nil {
		return nil, err
	}
	public := t.public // set before the turn was given back
	return &Key{Source: source, Public: public,
		sign: func(message []byte) ([]byte, error) {
			return t.ask(c.Timeout, func() ([]byte, error) { return t.sign(message) })
		},
		close: func() error {
			_, err := t.ask(c.Timeout, func() ([]byte, error) { t.shut(); return nil, nil })
			return err
		}}, nil
}

// ask takes a turn at the token and waits for no longer than the bound. A call
// into C cannot be broken off: it keeps the turn, and whoever comes meanwhile is
// told so.
func (t *token) ask(bound time.Duration, f func() ([]byte, error)) ([]byte, error) {
	end := time.NewTimer(bound)
	defer end.Stop()
	select {
	case <-t.turn:
	case <-end.C:
		t.mu.Lock()
		defer t.mu.Unlock()
		return nil, fmt.Errorf("%w: %w: the token has been busy since %s", ErrAway, ErrTimeout, t.since.UTC().Format(time.RFC3339))
	}
	t.mu.Lock()
	t.since = time.Now()
	t.mu.Unlock()
	type answer struct {
		data []byte
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		data, err := f()
		t.turn <- struct{}{}
		done <- answer{data, err}
	}()
	select {
	case a := <-done:
		return a.data, a.err
	case <-end.C:
		return nil, fmt.Errorf("%w: %w: the token has not answered for %v", ErrAway, ErrTimeout, bound)
	}
}

func (t *token) sign(message []byte) ([]byte, error) {
	for again := false; ; again = true {
		if !t.open {
			if err := t.reopen(); err != nil {
				return nil, err
			}
		}
		sig, err := t.m.sign(t.session, t.key, message)
		if err == nil {
			return sig, nil
		}
		t.shut() // a signature that was begun may still be open
		if again || !lost(err) {
			return nil, err
		}
	}
}

func (t *token) shut() {
	if t.open {
		t.m.closeSession(t.session)
	}
	t.open = false
}

// reopen finds the token and the key, from the start.
func (t *token) reopen() (err error) {
	t.shut()
	if t.m, err = openModule(t.uri.module); err != nil {
		return err
	}
	t.m.mu.RLock()
	err = t.find()
	t.m.mu.RUnlock()
	var e *ckError
	if (errors.Is(err, errNoToken) || errors.As(err, &e) && e.code == ckrNotInitialized) && t.m.restart() {
		t.m.mu.RLock()
		defer t.m.mu.RUnlock()
		return t.find()
	}
	return err
}

// errNoToken is a token that is not there, as far as the module knows.
var errNoToken = fmt.Errorf("%w: no such token", ErrAway)

// find is reopen with a module that holds still.
func (t *token) find() (err error) {
	slot, info, err := t.slot()
	if err != nil {
		return err
	}
	if t.session, err = t.m.openSession(slot, false); err != nil {
		return err
	}
	t.open = true
	defer func() {
		if err != nil {
			t.shut()
		}
	}()
	if info.flags&ckfLoginRequired != 0 {
		if err := t.login(info); err != nil {
			return err
		}
	}
	public, err := t.findKey()
	if err != nil {
		return err
	}
	if t.public != nil && !public.Equal(t.public) {
		return fmt.Errorf("%w: %s in token %q was replaced", ErrOther, t.uri.name(), info.label)
	}
	t.public = public
	return nil
}

// slot is that of the one token that fits.
func (t *token) slot() (slot uint64, info tokenInfo, err error) {
	slots, err := t.m.slots()
	if err != nil {
		return 0, info, err
	}
	fits, there := 0, []string{}
	for _, s := range slots {
		i, err := t.m.tokenInfo(s)
		if err != nil {
			continue // it was taken out just now
		}
		if len(there) < 10 && i.label != "" {
			there = append(there, fmt.Sprintf("%q", i.label))
		}
		u := &t.uri
		if (u.token == "" || u.token == i.label) && (u.serial == "" || u.serial == i.serial) &&
			(u.manufacturer == "" || u.manufacturer == i.manufacturer) && (u.model == "" || u.model == i.model) {
			slot, info = s, i
			fits++
		}
	}
	switch {
	case fits == 0 && len(there) == 0:
		return 0, info, fmt.Errorf("%w: none at all is there", errNoToken)
	case fits == 0:
		return 0, info, fmt.Errorf("%w; there are %s", errNoToken, strings.Join(there, ", "))
	case fits > 1:
		return 0, info, fmt.Errorf("%w: %d tokens; add serial=…", ErrTwice, fits)
	}
	return slot, info, nil
}

func (t *token) login(info tokenInfo) error {
	pin, err := readPIN(t.uri.pin)
	if err != nil {
		return fmt.Errorf("token %q: %w", info.label, err)
	}
	sum, id := sha256.Sum256([]byte(pin)), t.uri.module+" "+info.serial
	refusedPINs.Lock()
	refused := refusedPINs.m[id] == sum
	refusedPINs.Unlock()
	switch {
	case refused:
		return fmt.Errorf("%w: token %q has refused the PIN in %s, and it is not tried again before the file says another", ErrPIN, info.label, t.uri.pin)
	case info.flags&ckfPINLocked != 0:
		return fmt.Errorf("%w: token %q is locked: its security officer can set a new PIN", ErrPIN, info.label)
	case info.flags&ckfPINFinalTry != 0:
		return fmt.Errorf("%w: token %q has one try left before it locks itself; log in by hand first, to see that the PIN is right", ErrPIN, info.label)
	}
	if err = t.m.login(t.session, pin); errors.Is(err, ErrPIN) {
		refusedPINs.Lock()
		refusedPINs.m[id] = sum
		refusedPINs.Unlock()
		return fmt.Errorf("token %q: the PIN in %s: %w", info.label, t.uri.pin, err)
	}
	return err
}

// findKey finds the one private key that fits, and its public half.
func (t *token) findKey() (ed25519.PublicKey, error) {
	private, err := t.one(ckoPrivateKey, t.uri.id)
	if err != nil {
		return nil, err
	}
	kind, ok, err := t.m.attribute(t.session, private, ckaKeyType)
	if err != nil {
		return nil, err
	}
	if !ok || !bytes.Equal(kind, number(ckkEdwards)) {
		return nil, fmt.Errorf("%s: %w: the token has it as another kind; make one with CKM_EC_EDWARDS_KEY_PAIR_GEN", t.uri.name(), ErrKind)
	}
	id := t.uri.id
	if own, ok, err := t.m.attribute(t.session, private, ckaID); err != nil {
		return nil, err
	} else if ok && len(own) > 0 {
		id = string(own)
	}
	public, err := t.one(ckoPublicKey, id)
	if err != nil {
		return nil, err
	}
	point, ok, err := t.m.attribute(t.session, public, ckaECPoint)
	if err != nil {
		return nil, err
	}
	key := rawPoint(point)
	if !ok || key == nil {
		return nil, fmt.Errorf("%s: %w: its public half is not 32 bytes", t.uri.name(), ErrKind)
	}
	t.key = private
	return key, nil
}

// one is the one object of a class that fits.
func (t *token) one(class uint64, id string) (uint64, error) {
	want := []attribute{{ckaClass, number(class)}}
	if t.uri.object != "" {
		want = append(want, attribute{ckaLabel, []byte(t.uri.object)})
	}
	if id != "" {
		want = append(want, attribute{ckaID, []byte(id)})
	}
	half := "private"
	if class == ckoPublicKey {
		half = "public"
	}
	found, err := t.m.find(t.session, 2, want...)
	switch {
	case err != nil:
		return 0, err
	case len(found) == 0:
		return 0, fmt.Errorf("%w: the token holds no %s %s", ErrAway, half, t.uri.name())
	case len(found) > 1:
		return 0, fmt.Errorf("%w: the token holds several %s halves of %s: add id=…", ErrTwice, half, t.uri.name())
	}
	return found[0], nil
}

// rawPoint reads CKA_EC_POINT: a DER octet string as the standard has it, or the
// bare point as some tokens do.
func rawPoint(b []byte) ed25519.PublicKey {
	if len(b) == ed25519.PublicKeySize+2 && b[0] == 4 && b[1] == ed25519.PublicKeySize {
		b = b[2:]
	}
	if len(b) != ed25519.PublicKeySize {
		return nil
	}
	return bytes.Clone(b)
}
