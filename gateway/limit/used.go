package limit

import (
	"cmp"
	"slices"
)

// Use is what is counted under one correction.
type Use struct {
	Buckets int      // values that something is counted for
	Used    int64    // by all of them
	Most    []Bucket // the fullest, the fullest first
}

// Bucket is what is counted for one value. In a window of distinct values, Used
// is how many there are.
type Bucket struct {
	Value string
	Used  int64
}

// Used tells what is counted at time now under the corrections that want names,
// with up to most values each. It looks at every bucket, and holds each for a
// moment.
func (l *Limiter) Used(now int64, want func(rule string) bool, most int) map[string]Use {
	out := map[string]Use{}
	l.buckets.Range(func(k Key, b *bucket) bool {
		if !want(k.Rule) {
			return true
		}
		b.mu.Lock()
		b.advanceLocked(now)
		n, gone := b.sum, b.gone
		b.mu.Unlock()
		if gone || n <= 0 {
			return true
		}
		u := out[k.Rule]
		u.Buckets++
		u.Used += n
		at, _ := slices.BinarySearchFunc(u.Most, n, func(x Bucket, n int64) int { return cmp.Compare(n, x.Used) })
		if at < most {
			u.Most = slices.Insert(u.Most, at, Bucket{k.Value, n})
			u.Most = u.Most[:min(len(u.Most), most)]
		}
		out[k.Rule] = u
		return true
	})
	return out
}
