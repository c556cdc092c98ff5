package limit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Over restarts, with any time between them, no interval of the window's
// length admits more than the limit; the time between counts once somebody
// vouches for it, and then as time that has passed.
func TestKeptCountsAgainstALog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window := time.Duration(rapid.Int64Range(int64(KeptFrom), int64(31*24*time.Hour)).Draw(t, "window"))
		limit := rapid.Int64Range(1, 20).Draw(t, "limit")
		distinct := rapid.Bool().Draw(t, "distinct")
		spec, k := Spec{limit, window}, Key{"c-1", "u"}
		l := New()
		var clock, boot int64 // true time, and when this life began
		var hits log
		users := map[string]int64{}
		var unknown time.Duration // between the lives, and not vouched for yet
		for range rapid.IntRange(1, 80).Draw(t, "events") {
			clock += rapid.Int64Range(0, int64(window)/4).Draw(t, "gap")
			now := l.Now(clock - boot)
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				data := l.Keep(nil, now, clock)
				wall := clock
				clock += rapid.Int64Range(0, int64(window)).Draw(t, "down")
				l, boot = New(), clock
				if got, err := l.Restore(data, 0); err != nil || got != wall {
					t.Fatal(got, err)
				}
				unknown = time.Duration(clock - wall)
			case 1:
				l.Passed(clock-boot, unknown)
				unknown = 0
			default:
				u := fmt.Sprint("u", rapid.IntRange(0, 30).Draw(t, "user"))
				_, _, ok := l.Take(k, spec, now, Ask{N: 1, Each: distinct, Value: u})
				if !ok {
					continue
				}
				hits.add(clock, 1)
				users[u] = clock
				n := int64(0)
				for _, at := range users {
					if clock-at < int64(window) {
						n++
					}
				}
				if distinct && n > limit {
					t.Fatalf("%d users within %v, limit %d", n, window, limit)
				}
				if !distinct && hits.most(window) > limit {
					t.Fatalf("%d admitted within %v, limit %d", hits.most(window), window, limit)
				}
			}
		}
		// A window and a step later everything is free again.
		l.Passed(clock-boot, unknown)
		clock += int64(window) + int64(window)/(steps-1) + steps
		for i := range limit {
			if _, _, ok := l.Take(k, spec, l.Now(clock-boot), Ask{N: 1, Each: distinct, Value: fmt.Sprint("new", i)}); !ok {
				t.Fatalf("a window later %d of %d are refused", limit-i, limit)
			}
		}
	})
}

func TestShortWindowsAndPlacesAreNotKept(t *testing.T) {
	l := New()
	l.Reserve(Key{"c-1", ""}, Spec{5, time.Second}, 1, 1, false)
	l.Reserve(Key{"c-2", ""}, Spec{5, 0}, 1, 1, false)
	l.Reserve(Key{"c-3", ""}, Spec{5, time.Hour}, 1, 1, false)
	m := New()
	if _, err := m.Restore(l.Keep(nil, 2, 0), 0); err != nil || m.Len() != 1 {
		t.Fatalf("%v, %d buckets, want 1", err, m.Len())
	}
}

func FuzzRestore(f *testing.F) {
	l := New()
	l.Reserve(Key{"c-1", "u"}, Spec{5, time.Hour}, int64(time.Minute), 1, false)
	l.Take(Key{"c-2", "u"}, Spec{5, time.Hour}, int64(time.Minute), Ask{N: 1, Each: true, Value: "x"})
	good := l.Keep(nil, int64(time.Minute), 1)
	f.Add(good)
	f.Add([]byte(keptMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, d := range [][]byte{data, resum(data)} {
			l := New()
			if _, err := l.Restore(d, 0); err != nil {
				if !errors.Is(err, ErrBroken) || l.Len() != 0 {
					t.Fatal(err, l.Len())
				}
				continue
			}
			l.Passed(5, time.Hour)
			l.Sweep(l.Now(10), func(string) bool { return true })
			l.Keep(nil, l.Now(20), 1)
		}
	})
}

// resum makes the checksum right, so that what is behind it is read.
func resum(data []byte) []byte {
	l := New().Keep(nil, 0, 0)
	if len(data) < len(l) {
		return data
	}
	body := data[:len(data)-4]
	return binary.LittleEndian.AppendUint32(append([]byte(nil), body...), crc32.Checksum(body, castagnoli))
}
