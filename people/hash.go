package people

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// Params are the parameters of argon2id.
type Params struct {
	Memory uint32 // KiB
	Passes uint32
	Lanes  uint8
}

// Standard is the second recommended option of RFC 9106, section 4: 64 MiB, three
// passes, four lanes. OWASP's least (19 MiB, two passes, one lane) is below it.
var Standard = Params{Memory: 64 << 10, Passes: 3, Lanes: 4}

// What a hash that is read may ask for. A file that somebody else wrote must not
// take the machine down.
var mostParams = Params{Memory: 256 << 10, Passes: 16, Lanes: 16}

// SaltBytes and tagBytes are those of RFC 9106.
const (
	SaltBytes = 16
	tagBytes  = 32
)

const argonVersion = "v=19" // 0x13, the only one that argon2.Version has

// errHash is a text that is no hash of ours.
var errHash = errors.New(`not an argon2id hash in PHC form: "$argon2id$v=19$m=65536,t=3,p=4$salt$hash"`)

var b64 = base64.RawStdEncoding.Strict()

// Hash is a password's hash in PHC form. salt is SaltBytes random bytes, used once.
func Hash(password string, p Params, salt []byte) string {
	return encode(p, salt, argon2.IDKey(prepare(password), salt, p.Passes, p.Memory, p.Lanes, tagBytes))
}

// Decoy is a hash that takes as long to verify as one made with p, and that no
// password fits. random is SaltBytes+32 random bytes.
func Decoy(p Params, random []byte) string {
	return encode(p, random[:SaltBytes], random[SaltBytes:SaltBytes+tagBytes])
}

func encode(p Params, salt, tag []byte) string {
	return fmt.Sprintf("$argon2id$%s$m=%d,t=%d,p=%d$%s$%s", argonVersion, p.Memory, p.Passes, p.Lanes, b64.EncodeToString(salt), b64.EncodeToString(tag))
}

// Verify says whether the password is the one that was hashed. What it compares,
// it compares in constant time. An error is a hash that cannot be read.
func Verify(hash, password string) (bool, error) {
	p, salt, tag, err := decodeHash(hash)
	if err != nil {
		return false, err
	}
	got := argon2.IDKey(prepare(password), salt, p.Passes, p.Memory, p.Lanes, uint32(len(tag)))
	return subtle.ConstantTimeCompare(got, tag) == 1, nil
}

// Outdated says whether a hash was made with other parameters than p: who logs in
// with the right password gets a new one.
func Outdated(hash string, p Params) bool {
	q, salt, tag, err := decodeHash(hash)
	return err != nil || q != p || len(salt) != SaltBytes || len(tag) != tagBytes
}

// CheckHash says what is wrong with a hash, without taking the time to verify it.
func CheckHash(hash string) error {
	_, _, _, err := decodeHash(hash)
	return err
}

func decodeHash(hash string) (p Params, salt, tag []byte, err error) {
	parts := strings.Split(hash, "$")
	if len(hash) > 512 || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != argonVersion {
		return p, nil, nil, errHash
	}
	values := strings.Split(parts[3], ",")
	if len(values) != 3 {
		return p, nil, nil, errHash
	}
	var n [3]uint64
	for i, name := range []string{"m=", "t=", "p="} {
		text, ok := strings.CutPrefix(values[i], name)
		n[i], err = strconv.ParseUint(text, 10, 32)
		if !ok || err != nil || text != strconv.FormatUint(n[i], 10) {
			return p, nil, nil, errHash
		}
	}
	if n[0] < 8 || n[0] > uint64(mostParams.Memory) || n[1] < 1 || n[1] > uint64(mostParams.Passes) || n[2] < 1 || n[2] > uint64(mostParams.Lanes) || n[0] < 8*n[2] {
		return p, nil, nil, fmt.Errorf("argon2id with m=%d,t=%d,p=%d: out of bounds; at most m=%d,t=%d,p=%d, and m at least 8 a lane", n[0], n[1], n[2], mostParams.Memory, mostParams.Passes, mostParams.Lanes)
	}
	p = Params{uint32(n[0]), uint32(n[1]), uint8(n[2])}
	if salt, err = b64.DecodeString(parts[4]); err != nil || len(salt) < 8 || len(salt) > 64 {
		return p, nil, nil, errHash
	}
	if tag, err = b64.DecodeString(parts[5]); err != nil || len(tag) < 16 || len(tag) > 64 {
		return p, nil, nil, errHash
	}
	return p, salt, tag, nil
}

// prepare is the password as it is hashed: composed (NFC), as RFC 8265 has it, so
// that the same keys on another machine give the same bytes.
func prepare(password string) []byte { return norm.NFC.Bytes([]byte(password)) }
