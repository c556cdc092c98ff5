package control

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"andon/authority"
	"andon/correction"
	"andon/order"
)

// TestCustodyModel lets operators, who come and go, take any steps in any order,
// with restarts in between. Whatever they do: nothing is sealed, unsealed or
// destroyed without a quorum of others who are operators still, no copy before the
// cooling-off time has run out, and the model's stop stands as the case does.
func TestCustodyModel(t *testing.T) {
	signer, err := order.GenerateSigner()
	must(t, err)
	reached := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		log := &memory{}
		clk := &clock{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
		start := func() *Control {
			c, err := New(Config{Log: log, Signer: signer, Now: clk.Now, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		c := start()
		ctx := context.Background()
		active := map[string]bool{}
		hire := func(n int) {
			id := "op-" + strconv.Itoa(n)
			_, err := c.execute(ctx, system, func(s *state, _ time.Time) ([]draft, error) {
				_, hash := secret(tokenPrefix)
				return []draft{{typeOperator, operatorBody{ID: id, Name: id, Role: "administrator", Token: hash}}}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			active[id] = true
		}
		hired := 4
		for n := range hired {
			hire(n + 1)
		}
		spec := caseSpec{Level: "L6", Models: []string{"m"}, Reason: "r", LegalBasis: "l", Quorum: 2, CoolingOff: correction.Duration(time.Hour)}
		_, err := c.execute(ctx, "op-1", func(s *state, now time.Time) ([]draft, error) {
			cor := correction.Correction{ID: "c-1", AppliedAt: now, Kind: correction.Stop, Params: correction.Params{Level: "L4"}, Scope: correction.Scope{Models: spec.Models}, Reason: "r"}
			return []draft{{typeCreated, createdBody{Correction: cor}}, {typeOpened, openedBody{ID: "case-1", Correction: "c-1", caseSpec: spec}}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		// The plain model: who proposed, and who said yes when.
		proposer, yes := "op-1", map[string]time.Time{}
		agreed := func() (time.Time, bool) {
			var at []time.Time
			for id, when := range yes {
				if active[id] && id != proposer {
					at = append(at, when)
				}
			}
			slices.SortFunc(at, time.Time.Compare)
			if len(at) < 2 {
				return time.Time{}, false
			}
			return at[1], true
		}
		step := func(op, target, kind string, b stepBody) bool {
			return c.custodyStep(ctx, &operator{id: op, roles: authority.All}, "case-1", target, kind, b) == nil
		}
		yesNo := true
		for range 400 {
			op := "op-" + strconv.Itoa(rapid.IntRange(1, hired).Draw(t, "op"))
			k := c.state.cases["case-1"]
			m := "m-" + strconv.Itoa(1+rapid.IntRange(0, len(k.Copies)).Draw(t, "copy"))
			action := rapid.SampledFrom([]string{actionSeal, actionUnseal, actionDestroy, actionDestroy, actionDestroy, actionDestroy, actionDestroy}).Draw(t, "action")
			what := rapid.IntRange(0, 24).Draw(t, "step")
			if k.State == caseSealed && rapid.IntRange(0, 9).Draw(t, "on") > 0 { // towards the end, or nothing gets there
				what = rapid.SampledFrom([]int{9, 10, 11, 12, 17, 18, 19, 20, 21, 22, 23}).Draw(t, "next")
			}
			switch what {
			case 0:
				if rare := rapid.IntRange(0, 9).Draw(t, "found") == 0; (len(k.Copies) == 0 || rare && len(k.Copies) < 3) && step(op, "", typeListed, &copyStep{Kind: "weights", Location: "l", Holder: "h", Digest: digestA}) {
					yes = map[string]time.Time{}
				}
			case 1, 2:
				step(op, "", typeDeclared, &inventoryStep{None: copyKinds[1:], Statement: "s"})
			case 3, 4, 5:
				to := "op-" + strconv.Itoa(rapid.IntRange(1, hired).Draw(t, "to"))
				step(op, "", typeOffered, &transferStep{Copy: m, To: to, Holder: "h", Location: "l", Seal: "s"})
			case 6, 7, 8:
				if n := len(k.Transfers); n > 0 {
					last := k.Transfers[n-1]
					if step(op, last.ID, typeTaken, &acceptStep{Digest: digestA}) && (last.To != op || last.From == op) {
						t.Fatal("custody went to one who was not named")
					}
				}
			case 9:
				if again := rapid.IntRange(0, 5).Draw(t, "anew") == 0; (k.Motion == nil || again) && step(op, "", typeProposed, &proposeStep{Action: action, Reason: "r"}) {
					proposer, yes = op, map[string]time.Time{}
				}
			case 10, 11, 12, 13:
				if k.Motion != nil {
					action = k.Motion.Action
				}
				if step(op, "", typeApproved, &approveStep{Action: action, Reason: "r"}) {
					if _, twice := yes[op]; twice || op == proposer || !active[op] {
						t.Fatalf("%s counts although it proposed, counts already, or is gone", op)
					}
					yes[op] = clk.Now()
				}
			case 14, 15:
				_, ok := agreed()
				if step(op, "", typeSealed, &sealStep{Reason: "r"}) {
					if !ok {
						t.Fatal("sealed without a quorum")
					}
					reached["sealed"]++
					proposer, yes = "", map[string]time.Time{}
				}
			case 16:
				_, ok := agreed()
				if step(op, "", typeUnsealed, &unsealStep{Reason: "r"}) {
					if !ok {
						t.Fatal("unsealed without a quorum")
					}
					reached["unsealed"]++
				}
			case 17:
				step(op, "", typeLegalHold, &legalHoldStep{Clear: &yesNo, CheckedBy: "c", Reference: "r"})
			case 18, 19:
				at, ok := agreed()
				if step(op, m, typeDestroying, &destroyStep{Method: "m"}) && (!ok || clk.Now().Before(at.Add(time.Hour))) {
					t.Fatal("destroyed without a quorum, or too early")
				}
			case 20, 21:
				step(op, m, typeWitnessed, &witnessStep{Statement: "s"})
			case 22:
				if step(op, "", typeDestroyed, &finishStep{Reason: "r"}) {
					reached["destroyed"]++
				}
			case 23:
				clk.advance(time.Duration(rapid.IntRange(1, 240).Draw(t, "minutes")) * time.Minute)
			case 24:
				switch rapid.IntRange(0, 5).Draw(t, "rare") {
				case 0:
					c = start()
				case 1:
					if hired < 7 && len(active) > 3 {
						if _, err := c.execute(ctx, system, func(s *state, _ time.Time) ([]draft, error) {
							if !s.operators[op].active() {
								return nil, nil
							}
							return []draft{{typeOpRemoved, removedOperatorBody{op, "left"}}}, nil
						}); err != nil {
							t.Fatal(err)
						}
						delete(active, op)
						hired++
						hire(hired)
					}
				case 2:
					if rapid.IntRange(0, 5).Draw(t, "gives up") == 0 && step(op, "", typeWithdrawn, &withdrawStep{Reason: "r"}) {
						proposer, yes = "", map[string]time.Time{}
					}
				}
			}
			k = c.state.cases["case-1"]
			r := c.state.corrections["c-1"]
			level := map[string]string{caseOpen: "L4", caseSealed: "L5", caseDestroyed: "L6"}[k.State]
			if level != "" && (r.Params.Level != level || r.gone != "") || level == "" && r.gone != "lifted" {
				t.Fatalf("the case is %s, and the stop %s %s", k.State, r.Params.Level, r.gone)
			}
			if k.State == caseDestroyed {
				cert := c.state.certificate(k)
				if err := cert.Check(); err != nil {
					t.Fatal(err)
				}
			}
			if !k.live() {
				break
			}
		}
		again := start()
		if a, b := body(again.state.cases["case-1"]), body(c.state.cases["case-1"]); string(a) != string(b) {
			t.Fatalf("another process reads another case:\n%s\n%s", a, b)
		}
	})
	t.Log(reached)
	if reached["sealed"] == 0 || reached["destroyed"] == 0 || reached["unsealed"] == 0 {
		t.Error("the steps lead nowhere, so nothing is tested:", reached)
	}
}
