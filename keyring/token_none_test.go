//go:build !((linux || darwin) && (amd64 || arm64)) || static

package keyring

import (
	"errors"
	"testing"
)

func endTokens() {}

func TestABuildWithoutTokensSaysSo(t *testing.T) {
	if _, err := (Config{Module: "/m.so"}).Open("pkcs11:token=a;object=b"); !errors.Is(err, ErrSource) {
		t.Fatal(err)
	}
}
