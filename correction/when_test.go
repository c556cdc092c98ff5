package correction

import (
	"strings"
	"sync"
	"testing"
)

// Every variable that the errors offer can be used.
func TestWhenVariables(t *testing.T) {
	r := Request{
		Model: "m", Version: "v", Surface: "s", Org: "o", Users: []string{"", "u", "w"}, Key: "k", Tier: "t", IP: addr("192.0.2.1"), Country: "de",
		Attributes: []string{"a=b"}, UseCases: []string{"x"}, Tools: []string{"y"}, Features: Tools | Streaming, OutputTokens: 7,
		Derivative: "ft:m:acme", Generates: true, Continues: true, Messages: 3, InputTokens: 9, Choices: 2, Temperature: 1.5, Reasoning: 4,
	}
	exprs := map[string]string{
		"model": `model == "m"`, "version": `version == "v"`, "surface": `surface == "s"`, "org": `org == "o"`, "user": `user == "u"`,
		"users": `"w" in users`, "key": `key == "k"`, "tier": `tier == "t"`, "country": `country == "DE"`, "ip": `ip == "192.0.2.1"`,
		"attributes": `attributes == ["a=b"]`, "use_cases": `use_cases[0] == "x"`, "tools": `tools.exists(t, t == "y")`,
		"stream": `stream`, "tools_offered": `tools_offered`, "output_tokens": `output_tokens == 7`,
		"derivative": `derivative.startsWith("ft:")`, "features": `features == ["tools", "streaming"]`, "generates": `generates`, "continues": `continues`,
		"messages": `messages == 3`, "input_tokens": `input_tokens > 8`, "choices": `choices > 1`, "temperature": `temperature > 1.0`, "reasoning_tokens": `reasoning_tokens == 4`,
	}
	for _, name := range whenNames {
		prg, err := compileWhen(exprs[name])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !holds(prg, &r, false) {
			t.Errorf("%s does not hold", exprs[name])
		}
		if holds(prg, &Request{}, false) {
			t.Errorf("%s holds for an empty request", exprs[name])
		}
	}
}

// An expression that would run for long fails, which counts against the caller.
func TestWhenHasABound(t *testing.T) {
	expr := `users.all(a, users.all(b, users.all(c, users.all(d, a + b + c + d != ""))))`
	users := make([]string, 50)
	fill(users, "u")
	r := Request{Users: users}
	p := compile(t, block("c", Scope{When: "!(" + expr + ")"}))
	if decide(p, &r).Allowed() {
		t.Error("an expression beyond its bound did not reach")
	}
	c := block("c", Scope{All: true})
	c.Except = &Scope{When: expr}
	if decide(compile(t, c), &r).Allowed() {
		t.Error("an expression beyond its bound spared")
	}
}

func TestWhenErrors(t *testing.T) {
	for expr, want := range map[string]string{
		`model ==`:                            "line 1, column 9: ",
		"stream &&\n  prompt":                 "line 2, column 3: undeclared reference to 'prompt'",
		`model == 3`:                          "line 1, column 7: found no matching overload for '_==_' applied to '(string, int)'",
		`model.matches("(")`:                  "cannot be evaluated: ",
		`1`:                                   "must be true or false, but is of type int",
		strings.Repeat("(", 2000):             "expression recursion limit exceeded: 250",
		`"` + strings.Repeat("x", 2048) + `"`: "has 2050 bytes; at most 2048",
		`dyn(model)`:                          "must be true or false, but is of type dyn",
		"model == \"\xff\"":                   "is not valid UTF-8",
	} {
		_, err := compileWhen(expr)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q: %v\nwant %s", expr, err, want)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	c := block("c", Scope{When: `users.exists(u, u == "eve")`})
	p := compile(t, c, block("d", Scope{Users: []string{"eve"}}))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var v Verdict
			for i := range 500 {
				user := []string{"eve", "bob"}[i%2]
				if p.Decide(&Request{Users: []string{user}}, At(at), &v); v.Allowed() != (user == "bob") {
					t.Errorf("%s is allowed: %v", user, v.Allowed())
					return
				}
			}
		})
	}
	wg.Wait()
}
