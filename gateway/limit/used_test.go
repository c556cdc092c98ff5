package limit

import (
	"fmt"
	"testing"
	"time"
)

func TestUsedTellsTheFullest(t *testing.T) {
	l := New()
	spec := Spec{Limit: 1000, Window: time.Minute}
	for i := range 50 {
		for range i + 1 {
			if _, _, ok := l.Reserve(Key{"c-1", fmt.Sprint(i)}, spec, 0, 1, false); !ok {
				t.Fatal("refused")
			}
		}
	}
	l.Reserve(Key{"c-2", ""}, spec, 0, 7, false)
	u := l.Used(0, func(rule string) bool { return rule == "c-1" }, 3)
	if len(u) != 1 || u["c-1"].Buckets != 50 || u["c-1"].Used != 50*51/2 || fmt.Sprint(u["c-1"].Most) != "[{49 50} {48 49} {47 48}]" {
		t.Errorf("%+v", u)
	}
	if u := l.Used(int64(2*time.Minute), func(string) bool { return true }, 3); len(u) != 0 {
		t.Errorf("after the window: %+v", u)
	}
}
