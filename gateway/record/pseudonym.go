package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
)

// Pseudonyms stand for end users and addresses in everything that a gateway
// keeps or tells. Whoever has the key can say whether a name belongs to a
// pseudonym; whoever has not learns nothing from one. They are immutable, and
// safe for concurrent use.
//
//   - A user's is the first 8 bytes of HMAC-SHA256.
//   - An address keeps its network, 16 bits of an IPv4 address and 32 of an IPv6
//     one. The rest is replaced bit by bit, each bit under AES of all that stand
//     before it (as Crypto-PAn does). So two addresses have as many leading bits
//     in common as their pseudonyms, and a prefix of any length can be looked for.
type Pseudonyms struct {
	user  []byte
	block cipher.Block
	id    string
}

// The leading bits of an address that are kept as they are.
const (
	clear4 = 16
	clear6 = 32
)

// NewPseudonyms derives pseudonyms from a secret that the gateways of one
// deployment share. scope keeps deployments apart that have the same secret.
func NewPseudonyms(secret, scope []byte) *Pseudonyms {
	derive := func(what string, from []byte) []byte {
		m := hmac.New(sha256.New, from)
		m.Write([]byte(what))
		return m.Sum(nil)
	}
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("andon pseudonyms v1\x00"))
	m.Write(scope)
	key := m.Sum(nil)
	block, err := aes.NewCipher(derive("address", key)[:16])
	if err != nil {
		panic(err) // 16 bytes are a key
	}
	return &Pseudonyms{user: derive("user", key), block: block, id: hex.EncodeToString(derive("id", key)[:8])}
}

// ID tells keys apart: pseudonyms of equal ids can be compared.
func (p *Pseudonyms) ID() string { return p.id }

// User is the pseudonym of an end user; "" stays "".
func (p *Pseudonyms) User(name string) string {
	if name == "" {
		return ""
	}
	return text(p.number(name))
}

// Number is User as a number, which is never 0.
func (p *Pseudonyms) Number(name string) uint64 { return p.number(name) }

func (p *Pseudonyms) number(name string) uint64 {
	m := hmac.New(sha256.New, p.user)
	m.Write([]byte(name))
	var sum [sha256.Size]byte
	return max(binary.BigEndian.Uint64(m.Sum(sum[:0])), 1)
}

// text writes a user's pseudonym, 16 hex digits.
func text(n uint64) string {
	var raw [8]byte
	var b [16]byte
	binary.BigEndian.PutUint64(raw[:], n)
	hex.Encode(b[:], raw[:])
	return string(b[:])
}

// Addr is the pseudonym of an address.
func (p *Pseudonyms) Addr(a netip.Addr) netip.Addr {
	if !a.IsValid() {
		return a
	}
	a = a.Unmap().WithZone("")
	from, bits := clear6, 128
	if a.Is4() {
		from, bits = clear4, 32
	}
	in, out := [16]byte{}, [16]byte{}
	if a.Is4() {
		b := a.As4()
		copy(in[:], b[:])
	} else {
		in = a.As16()
	}
	out = in
	var plain [16]byte
	copy(plain[:], in[:from/8])
	var room [32]byte // one that goes to the heap, and not two for each bit
	block, sealed := room[:16], room[16:]
	for i := from; i < bits; i++ {
		// The first i bits of the address, a bit that ends them, and how many they are.
		at, mask := i/8, byte(0x80)>>(i%8)
		copy(block, plain[:])
		block[15] ^= byte(i)
		p.block.Encrypt(sealed, block)
		if sealed[0]&1 != 0 {
			out[at] ^= mask
		}
		plain[at] |= in[at] & mask
	}
	if bits == 32 {
		return netip.AddrFrom4([4]byte(out[:4]))
	}
	return netip.AddrFrom16(out)
}

// Prefix is the prefix under which the pseudonyms of a prefix's addresses stand.
func (p *Pseudonyms) Prefix(x netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(p.Addr(x.Masked().Addr()), x.Bits()).Masked()
}
