//go:build !((linux || darwin) && (amd64 || arm64)) || static

package keyring

import (
	"fmt"
	"sync"
)

// module is what this build lacks: it calls no C library.
type module struct{ mu sync.RWMutex }

func openModule(string) (*module, error) {
	return nil, fmt.Errorf("%w: this build reads no PKCS#11 modules: they need 64-bit Linux or macOS, and a build without the tag static", ErrSource)
}

func (*module) slots() ([]uint64, error)                         { return nil, ErrSource }
func (*module) tokenInfo(uint64) (tokenInfo, error)              { return tokenInfo{}, ErrSource }
func (*module) openSession(uint64, bool) (uint64, error)         { return 0, ErrSource }
func (*module) closeSession(uint64)                              {}
func (*module) login(uint64, string) error                       { return ErrSource }
func (*module) find(uint64, int, ...attribute) ([]uint64, error) { return nil, ErrSource }
func (*module) attribute(session, object, kind uint64) ([]byte, bool, error) {
	return nil, false, ErrSource
}
func (*module) sign(session, key uint64, message []byte) ([]byte, error) { return nil, ErrSource }
func (*module) restart() bool                                            { return false }
