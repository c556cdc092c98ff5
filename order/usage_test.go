package order

import (
	"bytes"
	"reflect"
	"testing"
)

func FuzzOpenUsage(f *testing.F) {
	full := Usage{Gateway: "gw-1", Boot: "r-1", To: "gw-2", Ask: true, All: true, Round: 1 << 40, Prev: 7, Part: 1, Parts: 2, Buckets: []UsageBucket{
		{Hash: [16]byte{1, 2}, N: 5, Window: 1e9, Values: []uint64{1, 1 << 63}, Seen: true}, {N: 1}}}
	f.Add(full.Append(nil))
	f.Add((&Usage{}).Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		u, err := OpenUsage(data)
		if err != nil {
			return
		}
		again, err := OpenUsage(u.Append(nil))
		if err != nil || !reflect.DeepEqual(u, again) {
			t.Fatalf("%+v became %+v: %v", u, again, err)
		}
	})
}

func TestUsageThatIsCutShortIsRefused(t *testing.T) {
	data := (&Usage{Gateway: "gw-1", Boot: "r-1", Parts: 1, Buckets: []UsageBucket{{N: 5, Window: 1e9, Values: []uint64{9}}}}).Append(nil)
	for n := range data {
		if _, err := OpenUsage(data[:n]); err == nil {
			t.Errorf("%d bytes of %d are taken for a message", n, len(data))
		}
	}
	if _, err := OpenUsage(append(bytes.Clone(data), 0)); err == nil {
		t.Error("a byte too many is taken")
	}
}
