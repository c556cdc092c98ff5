//go:build (linux || darwin) && (amd64 || arm64) && !static

package keyring

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/ebitengine/purego"
)

// PKCS#11 modules are C libraries. They are opened without a C compiler, and
// called with the layout of 64-bit Unix: CK_ULONG has 8 bytes, structs are not
// packed. What is here is a translation and nothing more; the rules are in
// token.go.

// The functions that are called, by their place in CK_FUNCTION_LIST.
const (
	fnInitialize        = 0
	fnFinalize          = 1
	fnGetSlotList       = 4
	fnGetTokenInfo      = 6
	fnOpenSession       = 12
	fnCloseSession      = 13
	fnCloseAllSessions  = 14
	fnLogin             = 18
	fnGetAttributeValue = 24
	fnFindObjectsInit   = 26
	fnFindObjects       = 27
	fnFindObjectsFinal  = 28
	fnSignInit          = 42
	fnSign              = 43
	fnGenerateKeyPair   = 59
	functions           = 68
)

// module is an initialised PKCS#11 module.
type module struct {
	fn       *[functions]uintptr
	mu       sync.RWMutex // held for writing while it starts anew
	sessions atomic.Int64 // that are open; it starts anew only at none
}

var (
	modulesMu sync.Mutex
	modules   = map[string]*module{} // by path; none is ever let go of, as other sessions may use it
)

// call calls a function. It is told of pointers, so that what they point to stays
// where it is.
//
//go:uintptrescapes
func call(fn uintptr, args ...uintptr) ckr {
	if fn == 0 {
		return ckrFunctionNotSupported
	}
	r, _, _ := purego.SyscallN(fn, args...)
	return ckr(r)
}

// openModule loads a module once, and initialises it for many threads.
func openModule(path string) (*module, error) {
	modulesMu.Lock()
	defer modulesMu.Unlock()
	if m := modules[path]; m != nil {
		return m, nil
	}
	lib, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("%w: load PKCS#11 module: %w", ErrAway, err)
	}
	get, err := purego.Dlsym(lib, "C_GetFunctionList")
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not a PKCS#11 module: %w", ErrSource, path, err)
	}
	var list unsafe.Pointer
	if r := call(get, uintptr(unsafe.Pointer(&list))); r != 0 || list == nil {
		return nil, r.in("C_GetFunctionList")
	}
	// The list begins with a version of two bytes, and each pointer stands at a multiple of eight.
	m := &module{fn: (*[functions]uintptr)(unsafe.Add(list, 8))}
	if err := m.initialize(); err != nil {
		return nil, err
	}
	modules[path] = m
	return m, nil
}

func (m *module) initialize() error {
	init := struct {
		create, destroy, lock, unlock uintptr
		flags                         uint64
		reserved                      uintptr
	}{flags: 2} // CKF_OS_LOCKING_OK
	if r := call(m.fn[fnInitialize], uintptr(unsafe.Pointer(&init))); r != 0 && r != ckrAlreadyInitialized {
		return r.in("C_Initialize")
	}
	return nil
}

// restart lets the module look for tokens as at its start, since some look but
// then. It is left alone while anybody else has a session, or asks.
func (m *module) restart() bool {
	if !m.mu.TryLock() {
		return false
	}
	defer m.mu.Unlock()
	if m.sessions.Load() > 0 {
		return false
	}
	call(m.fn[fnFinalize], 0)
	return m.initialize() == nil
}

// slots are those that hold a token now.
func (m *module) slots() ([]uint64, error) {
	for range 3 { // one may be plugged in between
		var n uint64
		if r := call(m.fn[fnGetSlotList], 1, 0, uintptr(unsafe.Pointer(&n))); r != 0 {
			return nil, r.in("C_GetSlotList")
		}
		if n == 0 {
			return nil, nil
		}
		if n > 4096 {
			return nil, fmt.Errorf("%w: the module says that it has %d slots", ErrAway, n)
		}
		ids := make([]uint64, n)
		switch r := call(m.fn[fnGetSlotList], 1, uintptr(unsafe.Pointer(&ids[0])), uintptr(unsafe.Pointer(&n))); r {
		case 0:
			return ids[:min(n, uint64(len(ids)))], nil
		case ckrBufferTooSmall:
		default:
			return nil, r.in("C_GetSlotList")
		}
	}
	return nil, fmt.Errorf("%w: the list of slots does not hold still", ErrAway)
}

// tokenInfo is CK_TOKEN_INFO.
func (m *module) tokenInfo(slot uint64) (t tokenInfo, err error) {
	var raw struct {
		label, manufacturer [32]byte
		model, serial       [16]byte
		flags               uint64
		rest                [256]byte // 104 bytes are used
	}
	if r := call(m.fn[fnGetTokenInfo], uintptr(slot), uintptr(unsafe.Pointer(&raw))); r != 0 {
		return t, r.in("C_GetTokenInfo")
	}
	return tokenInfo{unpad(raw.label[:]), unpad(raw.manufacturer[:]), unpad(raw.model[:]), unpad(raw.serial[:]), raw.flags}, nil
}

func (m *module) openSession(slot uint64, write bool) (session uint64, err error) {
	flags := uintptr(4) // CKF_SERIAL_SESSION
	if write {
		flags |= 2
	}
	if r := call(m.fn[fnOpenSession], uintptr(slot), flags, 0, 0, uintptr(unsafe.Pointer(&session))); r != 0 {
		return 0, r.in("C_OpenSession")
	}
	m.sessions.Add(1)
	return session, nil
}

func (m *module) closeSession(session uint64) {
	call(m.fn[fnCloseSession], uintptr(session))
	m.sessions.Add(-1)
}

func (m *module) closeAllSessions(slot uint64) { call(m.fn[fnCloseAllSessions], uintptr(slot)) }

func (m *module) login(session uint64, pin string) error {
	b := []byte(pin)
	r := call(m.fn[fnLogin], uintptr(session), 1, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b))) // CKU_USER
	if r == 0 || r == ckrUserAlreadyLoggedIn {
		return nil
	}
	return r.in("C_Login")
}

// ckAttribute is CK_ATTRIBUTE.
type ckAttribute struct {
	kind  uint64
	value unsafe.Pointer
	size  uint64
}

// template is attributes as C reads them. The values are pinned until unpin.
func template(pin *runtime.Pinner, attributes []attribute) []ckAttribute {
	out := make([]ckAttribute, len(attributes))
	for i, a := range attributes {
		out[i] = ckAttribute{kind: a.kind, size: uint64(len(a.value))}
		if len(a.value) > 0 {
			out[i].value = unsafe.Pointer(&a.value[0])
			pin.Pin(&a.value[0])
		}
	}
	return out
}

// find returns at most limit objects that have all attributes.
func (m *module) find(session uint64, limit int, attributes ...attribute) ([]uint64, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	t := template(&pin, attributes)
	if r := call(m.fn[fnFindObjectsInit], uintptr(session), uintptr(unsafe.Pointer(&t[0])), uintptr(len(t))); r != 0 {
		return nil, r.in("C_FindObjectsInit")
	}
	found := make([]uint64, limit)
	var n uint64
	r := call(m.fn[fnFindObjects], uintptr(session), uintptr(unsafe.Pointer(&found[0])), uintptr(limit), uintptr(unsafe.Pointer(&n)))
	call(m.fn[fnFindObjectsFinal], uintptr(session))
	if r != 0 {
		return nil, r.in("C_FindObjects")
	}
	return found[:min(n, uint64(limit))], nil
}

// attribute reads one attribute; ok is false if the object does not have it, or
// does not give it.
func (m *module) attribute(session, object, kind uint64) (value []byte, ok bool, err error) {
	buf := make([]byte, 1024)
	var pin runtime.Pinner
	defer pin.Unpin()
	t := template(&pin, []attribute{{kind, buf}})
	switch r := call(m.fn[fnGetAttributeValue], uintptr(session), uintptr(object), uintptr(unsafe.Pointer(&t[0])), 1); r {
	case 0:
		if t[0].size > uint64(len(buf)) {
			return nil, false, nil
		}
		return buf[:t[0].size], true, nil
	case ckrAttributeTypeInvalid, ckrAttributeSensitive, ckrBufferTooSmall:
		return nil, false, nil
	default:
		return nil, false, r.in("C_GetAttributeValue")
	}
}

// ckMechanism is CK_MECHANISM without a parameter.
type ckMechanism struct {
	kind uint64
	_    unsafe.Pointer
	_    uint64
}

// sign signs with CKM_EDDSA: without a parameter, that is plain Ed25519.
func (m *module) sign(session, key uint64, message []byte) ([]byte, error) {
	mechanism := ckMechanism{kind: ckmEdDSA}
	if r := call(m.fn[fnSignInit], uintptr(session), uintptr(unsafe.Pointer(&mechanism)), uintptr(key)); r != 0 {
		return nil, r.in("C_SignInit")
	}
	message = append(message[:len(message):len(message)], 0) // never empty: it has an address
	sig := make([]byte, 512)
	n := uint64(len(sig))
	if r := call(m.fn[fnSign], uintptr(session), uintptr(unsafe.Pointer(&message[0])), uintptr(len(message)-1), uintptr(unsafe.Pointer(&sig[0])), uintptr(unsafe.Pointer(&n))); r != 0 {
		return nil, r.in("C_Sign")
	}
	return sig[:min(n, uint64(len(sig)))], nil
}

// generate makes a key pair in the token: what tests need, and nothing else does.
func (m *module) generate(session, mechanism uint64, public, private []attribute) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	pub, priv := template(&pin, public), template(&pin, private)
	var a, b uint64
	ck := ckMechanism{kind: mechanism}
	return call(m.fn[fnGenerateKeyPair], uintptr(session), uintptr(unsafe.Pointer(&ck)), uintptr(unsafe.Pointer(&pub[0])), uintptr(len(pub)),
		uintptr(unsafe.Pointer(&priv[0])), uintptr(len(priv)), uintptr(unsafe.Pointer(&a)), uintptr(unsafe.Pointer(&b))).in("C_GenerateKeyPair")
}
