package list

import (
	"bytes"
	"io"
	"net/netip"
	"strconv"
	"sync"
	"testing"
)

const million = 1_000_000

// five is five million ids, as text and as a set.
var five = sync.OnceValues(func() ([]byte, *Set) {
	var b bytes.Buffer
	for i := range 5 * million {
		b.WriteString("user-")
		b.WriteString(strconv.Itoa(i * 7919))
		b.WriteByte('\n')
	}
	s, err := Build("users", bytes.NewReader(b.Bytes()), nil)
	if err != nil {
		panic(err)
	}
	return b.Bytes(), s
})

func BenchmarkBuild5M(b *testing.B) {
	text, s := five()
	for b.Loop() {
		if _, err := Build("users", bytes.NewReader(text), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(s.Bytes())/float64(s.Len()), "bytes/id")
}

func BenchmarkManifest5M(b *testing.B) {
	_, s := five()
	for b.Loop() {
		s.Manifest()
	}
}

func BenchmarkDecode5M(b *testing.B) {
	_, s := five()
	var enc bytes.Buffer
	s.WriteTo(&enc)
	for b.Loop() {
		if _, err := Decode(bytes.NewReader(enc.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAdd5M(b *testing.B) {
	_, s := five()
	for b.Loop() {
		if _, n, err := s.Add("one more"); n != 1 || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkHas5M(b *testing.B) {
	_, s := five()
	ids := make([]string, 1<<16)
	for i := range ids {
		ids[i] = "user-" + strconv.Itoa(i*611_953%(5*million)*7919+i%2)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.Has(ids[i&(1<<16-1)])
		i++
	}
}

// BenchmarkHasAddr asks a list with as many prefix lengths as real ones have.
func BenchmarkHasAddr(b *testing.B) {
	r, w := io.Pipe()
	go func() {
		for i := range million {
			a := netip.AddrFrom4([4]byte{byte(i >> 14), byte(i >> 8), byte(i), byte(i >> 3)})
			p, _ := a.Prefix(16 + i%17)
			io.WriteString(w, p.String()+"\n")
		}
		w.Close()
	}()
	s, err := Build("ips", r, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.HasAddr(netip.AddrFrom4([4]byte{255, byte(i >> 8), byte(i), 1}))
		i++
	}
}
