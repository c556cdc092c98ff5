package correction

import "testing"

func TestClass(t *testing.T) {
	for class, c := range map[string]Correction{
		"stop.L3":            {Kind: Stop, Params: Params{Level: "L3"}},
		"access.block":       {Kind: Access, Params: Params{Mode: "block", Linked: []string{"org"}}},
		"rate.requests":      {Kind: Rate, Params: Params{Metric: "requests"}},
		"use.declared":       {Kind: Use, Params: Params{UseCase: "u"}},
		"use.inferred":       {Kind: Use, Params: Params{UseCase: "u", Basis: "inferred"}},
		"use.acknowledge":    {Kind: Use, Params: Params{UseCase: "u", Action: "acknowledge"}},
		"capability.clamp":   {Kind: Capability, Params: Params{Clamp: map[string]float64{"choices": 1}}},
		"capability.filter":  {Kind: Capability, Params: Params{Filter: &Filter{}}},
		"capability.disable": {Kind: Capability, Params: Params{Disable: []string{"tools"}}},
		"capability.pin":     {Kind: Capability, Params: Params{Pin: "v"}},
	} {
		if c.Class() != class {
			t.Errorf("%s, want %s", c.Class(), class)
		}
	}
}
