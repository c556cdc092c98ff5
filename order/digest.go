package order

import "encoding/hex"

// SignDigest signs a SHA-256, written as 64 lower-case hex digits, for a format
// that is not ours and has its own envelope: CACAO playbooks, by JSS (ITU-T
// X.590, section 7.1.6). Whatever else this key signs begins with "DSSEv1", so
// neither can be mistaken for the other.
func (s Signer) SignDigest(digest [32]byte) ([]byte, error) {
	return s.sign([]byte(hex.EncodeToString(digest[:])))
}
