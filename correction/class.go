package correction

// Class is the kind with the parameter that makes the difference: stop.L3,
// access.block, rate.requests, use.declared, capability.filter. Times to effect are measured by class.
func (c *Correction) Class() string {
	p := &c.Params
	what := ""
	switch c.Kind {
	case Stop:
		what = p.Level
	case Access:
		what = p.Mode
	case Rate:
		what = p.Metric
	case Use:
		if what = "declared"; p.Action == acknowledge {
			what = p.Action
		} else if p.Basis != "" {
			what = p.Basis
		}
	case Capability:
		switch {
		case p.Filter != nil:
			what = "filter"
		case p.Pin != "":
			what = "pin"
		case len(p.Clamp) > 0:
			what = "clamp"
		default:
			what = "disable"
		}
	}
	return string(c.Kind) + "." + what
}
