package main

import (
	"strings"
	"testing"
)

func TestParseAndCompare(t *testing.T) {
	direct := parse("=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n    b_test.go:1: broken\n--- FAIL: TestB (0.01s)\n=== RUN   TestC\n    --- SKIP: TestC/sub (0.00s)\n--- PASS: TestC (0.00s)\nFAIL\n")
	if len(direct) != 4 || direct["TestA"].status != "PASS" || direct["TestB"].status != "FAIL" || !strings.Contains(direct["TestB"].said, "broken") || direct["TestC/sub"].status != "SKIP" {
		t.Fatalf("%+v", direct)
	}
	s := sdk{name: "x", least: 2}
	if report, same := compare(s, direct, direct); !same {
		t.Errorf("the same differs: %s", report)
	}
	through := parse("--- PASS: TestA (0.00s)\n--- PASS: TestB (0.01s)\n    c_test.go:9: 404\n--- FAIL: TestC (0.00s)\n")
	report, same := compare(s, direct, through)
	for _, want := range []string{"TestB: FAIL directly, PASS through", "TestC: PASS directly, FAIL through", "404"} {
		if same || !strings.Contains(report, want) {
			t.Errorf("the report lacks %q: %s", want, report)
		}
	}
	if s.least = 3; !strings.Contains(func() string { r, _ := compare(s, direct, direct); return r }(), "only 2 tests pass") {
		t.Error("a mock that fails proves something")
	}
}
