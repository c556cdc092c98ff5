package control

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"andon/authority"
	"andon/ledger"
	"andon/order"
)

// A room of the control plane is a set of files that share a name. Each brings
// routes, problem codes, what each role may do, entries of its own, and what its
// clocks bring about; here they are put together.

// table is the whole API. The OpenAPI document says the same; a test compares.
var table = slices.Concat(coreTable, authorityTable, planTable, readinessTable, peopleTable, joinTable, caTable, signingTable, incidentTable,
	decisionTable, playbookTable, evidenceTable, termsTable, witnessTable, restoreTable, concernTable, exchangeTable, alertTable, retentionTable)

// permits says which roles may do what. An action that is not listed is the
// administrator's alone.
var permits = joined(corePermits, authorityPermits, planPermits, readinessPermits, peoplePermits, joinPermits, caPermits, signingPermits, incidentPermits,
	decisionPermits, playbookPermits, evidencePermits, termsPermits, witnessPermits, restorePermits, concernPermits, exchangePermits, alertPermits, retentionPermits)

// codes are the problems' stable codes.
var codes = joined(coreCodes, authorityCodes, planCodes, readinessCodes, peopleCodes, joinCodes, caCodes, signingCodes, incidentCodes,
	decisionCodes, playbookCodes, evidenceCodes, termsCodes, witnessCodes, restoreCodes, concernCodes, exchangeCodes, alertCodes, retentionCodes)

// folds read entries, by their type. See state.prepare.
var folds = joined(authorityFolds, planFolds, readinessFolds, peopleFolds, joinFolds, caFolds, signingFolds, incidentFolds,
	decisionFolds, playbookFolds, evidenceFolds, termsFolds, witnessFolds, restoreFolds, concernFolds, exchangeFolds, alertFolds, retentionFolds)

// clocks say what is to be written because time has passed. Each runs as a
// command decides: the state has no other writer. They must not wait.
var clocks = []func(c *Control, s *state, early time.Time) []draft{
	authorityClock, planClock, readinessClock, peopleClock, joinClock, caClock, incidentClock, decisionClock, playbookClock, evidenceClock, termsClock, restoreClock, alertClock,
}

// code is a problem's status and title.
type code struct {
	status int
	title  string
}

// foldFunc checks an entry, adds what it changes to the order, and returns what
// changes the state, which cannot fail. See state.prepare.
type foldFunc func(s *state, e ledger.Entry, o *order.Order) (func(), error)

// parts are the rooms' own states.
type parts struct {
	authority authorityState
	plan      planState
	readiness readinessState
	people    peopleState
	join      joinState
	ca        caState
	signing   signingState
	incident  incidentState
	decision  decisionState
	playbook  playbookState
	evidence  evidenceState
	terms     termsState
	witness   witnessState
	restore   restoreState
	concern   concernState
	alert     alertState
	retention retentionState
}

// joined puts maps together. The same key twice is a programming error.
func joined[V any](sets ...map[string]V) map[string]V {
	out := map[string]V{}
	for _, s := range sets {
		for k, v := range s {
			if _, twice := out[k]; twice {
				panic("control: " + k + " is there twice")
			}
			out[k] = v
		}
	}
	return out
}

// may is the first statement of every operation: whether the operator's roles
// allow it. action names it: "correction.lift".
func (op *operator) may(action string) error {
	allowed := permits[action] | authority.SetOf(authority.Administrator)
	if op != nil && op.roles.Meets(allowed) {
		return op.via.asks(action)
	}
	who := "nobody may do it unknown"
	if op != nil {
		who = "you have " + op.roles.String()
	}
	p := problem("forbidden", fmt.Sprintf("%s takes the role %s; %s", action, orList(allowed.Names()), who))
	p.Allowed = allowed.Names()
	return p
}

// orList is names as a sentence lists them: "a, b or c".
func orList(names []string) string {
	out := ""
	for i, n := range names {
		switch {
		case i == 0:
		case i == len(names)-1:
			out += " or "
		default:
			out += ", "
		}
		out += n
	}
	return out
}

//go:embed openapi/*.json
var openAPIFiles embed.FS

// openAPI is the API's description, version 3.1: core.json, with the paths and
// schemas of the other files. They are written by hand; tests hold them against
// the route table and against real answers.
var openAPI = sync.OnceValue(func() []byte {
	read := func(name string) map[string]any {
		data, err := openAPIFiles.ReadFile("openapi/" + name)
		var doc map[string]any
		if err == nil {
			err = json.Unmarshal(data, &doc)
		}
		if err != nil {
			panic("control: read openapi/" + name + ": " + err.Error())
		}
		return doc
	}
	doc := read("core.json")
	files, err := fs.ReadDir(openAPIFiles, "openapi")
	if err != nil {
		panic("control: read openapi: " + err.Error())
	}
	for _, f := range files {
		if f.Name() == "core.json" {
			continue
		}
		more := read(f.Name())
		for _, at := range [][]string{{"paths"}, {"components", "schemas"}} {
			to, from := doc, more
			for _, key := range at {
				to, _ = to[key].(map[string]any)
				from, _ = from[key].(map[string]any)
			}
			for name := range from {
				if _, twice := to[name]; twice {
					panic("control: openapi/" + f.Name() + ": " + name + " is there twice")
				}
			}
			maps.Copy(to, from)
		}
	}
	schemas := doc["components"].(map[string]any)["schemas"].(map[string]any)
	problem := schemas["Problem"].(map[string]any)["properties"].(map[string]any)["code"].(map[string]any)
	problem["enum"] = slices.Sorted(maps.Keys(codes))
	data, err := json.Marshal(doc, json.Deterministic(true))
	if err != nil {
		panic("control: encode openapi: " + err.Error())
	}
	return data
})
