package openai

import "andon/wire"

// begun says of the pieces of an event that adds an item or a part which texts
// they begin: those go on in deltas.
func (r *pieces) begun(typ string, from int, at wire.Channel) {
	if typ == "response.output_item.added" {
		at.Text = wire.Nth(0)
	}
	for i, n := from, len(r.Dst); i < n; i++ {
		p := &r.Dst[i]
		if !p.Whole() || p.Spelled {
			continue
		}
		name := ""
		switch {
		case typ == "response.reasoning_summary_part.added":
			name = "response.reasoning_summary_text"
		case p.Kind == wire.PieceText:
			name = "response.output_text"
		case p.Kind == wire.PieceRefusal:
			name = "response.refusal"
		case p.Kind == wire.PieceReasoning:
			name = "response.reasoning_text"
		case p.Kind == wire.PieceToolArguments: // of whichever tool
			first := *p
			for _, name := range [...]string{"response.function_call_arguments", "response.custom_tool_call_input", "response.mcp_call_arguments", "response.code_interpreter_call_code"} {
				again := first
				again.Channel = wire.Channel{Group: at.Group, Text: wire.Name(name)}
				r.Dst = append(r.Dst, again)
			}
			continue
		default:
			continue
		}
		p.Channel = wire.Channel{Group: at.Group, Text: at.Text + wire.Name(name)}
	}
}
