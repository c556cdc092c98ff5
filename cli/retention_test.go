package cli

import "testing"

const retentionAnswer = `{"clock":{"state":"in_doubt","why":"the record's time leapt","now":"2026-11-23T12:00:00Z"},"plan_version":2,
"classes":[{"class":"evidence","keep":"30d","basis":"basis of it","plan_version":2,"carried_out_from":"2026-11-28T00:00:00Z","former_keep":"90d","due":1,"notice":2,"held":3,"kept":4,"erased":5,"next_due_at":"2026-11-28T00:00:00Z"},
{"class":"accounts","due":0,"notice":0,"held":0,"kept":0,"erased":0}],
"items":[{"class":"evidence","item":"e-3","what":"evidence","state":"held","since":"2026-01-01T00:00:00Z","age":"300d","due_at":"2026-02-01T00:00:00Z","held_by":"legal hold lh-1"}],"more":7,
"holds":[{"id":"lh-1","of":"i-7","reason":"claim","reference":"A 1","by":"op-1","at":"2026-11-01T00:00:00Z","entry":9}],
"erased":[{"class":"concerns","keep":"5d","basis":"b","plan_version":1,"at":"2026-11-20T00:00:00Z","entry":12,"items":["k-1"]}],
"bounds":{"notice":"7d","pace":"10m","pass":100,"clock_gap":"1d","grace":"1d"}}`

func TestRetention(t *testing.T) {
	f := newFake(t).on("GET /retention", 200, retentionAnswer)
	f.run(t, "retention").want(t, 0, "NOTHING IS ERASED: the record's time leapt", "30d from 2026-11-28, 90d until then", "no rule", "legal hold lh-1 of i-7", "(A 1)",
		"erased under retention concerns (kept 5d, plan version 1) on 2026-11-20T00:00:00Z by entry 12: k-1", "and 7 more")
	f.run(t, "retention", "-o", "json").want(t, 0, `"held_by":"legal hold lh-1"`)
	f.run(t, "retention", "x").want(t, 2, "unknown command")

	const hold = `{"id":"lh-1","of":"i-7","reason":"claim","by":"op-1","at":"2026-11-01T00:00:00Z","entry":9}`
	f.on("POST /retention/holds", 201, hold).on("POST /retention/holds/lh-1/release", 200, hold).on("POST /retention/clock", 200, `{"state":"sound","now":"2026-11-23T12:00:00Z"}`)
	f.run(t, "retention", "hold", "i-7").want(t, 2, "a reason is required")
	f.run(t, "retention", "hold", "i-7", "--reason", "claim").want(t, 0, "legal hold lh-1 of i-7", "andon retention release lh-1")
	f.run(t, "retention", "release", "lh-1", "--reason", "settled").want(t, 0, "legal hold lh-1")
	f.run(t, "retention", "release", "lh-1").want(t, 2, "a reason is required")
	f.run(t, "retention", "clock", "noon", "--reason", "r").want(t, 2, "no time in RFC 3339")
	f.run(t, "retention", "clock", "2026-11-23T12:00:00Z", "--reason", "it was off").want(t, 0, "the time is confirmed")
}

// TestEvidenceThatRetentionErased is shown as such, and not as lost.
func TestEvidenceThatRetentionErased(t *testing.T) {
	const gone = `{"id":"e-1","state":"sealed","models":[],"corrections":[],"reason":"r","by":"op-1","at":"2026-01-01T00:00:00Z","sha256":"00","size":7,"stored":"erased","missing":[],
"erased":{"class":"evidence","keep":"30d","basis":"b","plan_version":1,"at":"2026-11-20T00:00:00Z","entry":12,"items":["e-1"]}}`
	f := newFake(t).on("GET /evidence/e-1", 200, gone).on("GET /evidence", 200, `{"evidence":[`+gone+`]}`)
	f.run(t, "evidence", "show", "e-1").want(t, 0, "erased under retention evidence (kept 30d, plan version 1: b) on 2026-11-20T00:00:00Z")
	f.run(t, "evidence", "ls").want(t, 0, "erased")
}
