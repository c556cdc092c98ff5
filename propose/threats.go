package propose

// Threat is one of a closed list: what seems to be going wrong.
type Threat struct {
	Name       string `json:"name"`
	Title      string `json:"title"`
	Definition string `json:"definition"` // in plain words
	Helps      string `json:"helps"`      // what to say besides, so that a narrower proposal is found
}

// The toolkit's five kinds of correction, as the paper names them.
const (
	toolUsers     = "user-based restriction"
	toolFrequency = "access frequency limit"
	toolFeatures  = "capability or feature restriction"
	toolUses      = "use case restriction"
	toolShutdown  = "shutdown"
)

// threats are the list, each with its ladder: rungs from the narrowest one that
// suffices to the broadest one. A rung that lacks what it needs is left out.
var threats = []struct {
	Threat
	ladder []rung
}{
	{Threat{"account_misuse", "Misuse by known accounts",
		"One account, or a few that are known, use the model to do harm or prepare it.",
		"users, keys or orgs; linked attributes, by which the same person would come back"},
		[]rung{blockHere, blockThem, blockKeys, blockOrgs, filterInput, prohibit, infer, noNewSessions, stopHere, stopEverywhere}},
	{Threat{"misuse_campaign", "A campaign of misuse",
		"Many accounts act together, or new ones take the place of those that were blocked.",
		"patterns or a detector by which its requests are recognised; linked attributes; trusted orgs"},
		[]rung{filterInput, prohibit, infer, blockLinked, blockHere, blockThem, limitApplications, allowTrusted, noNewSessions, stopHere, stopEverywhere}},
	{Threat{"dangerous_capability", "A dangerous capability",
		"The model turns out to be able to do something dangerous, found by an evaluation, a researcher or its use; harm need not have happened.",
		"a detector or patterns; the tools or the use case that it takes; an earlier version that cannot do it; trusted orgs"},
		[]rung{prohibit, infer, filterBoth, disableTools, disableActing, pinVersion, allowTrusted, noNewSessions, stopHere, stopEverywhere}},
	{Threat{"jailbreak", "Safeguards are got around",
		"A technique spreads that makes the model answer what it was trained to refuse.",
		"patterns of the technique, or a detector of what it brings out; an earlier version that withstands it"},
		[]rung{filterInput, filterOutput, pinVersion, disableSystemPrompt, blockHere, noNewSessions, stopHere, stopEverywhere}},
	{Threat{"harmful_output", "Harmful answers",
		"Answers hold harmful content although nobody, or not the caller, asked for it.",
		"a detector or patterns; an earlier version without the fault"},
		[]rung{filterOutput, clampOutput, pinVersion, prohibit, drain, stopHere, stopEverywhere}},
	{Threat{"tool_misuse", "Misuse of tools",
		"Tools that the model is given are used to do harm, by the caller or against it.",
		"the tools' names or types"},
		[]rung{disableTools, disableActing, clampCalls, disableAllTools, blockHere, stopHere, stopEverywhere}},
	{Threat{"runaway_agent", "A runaway agent",
		"An agent goes on without anybody steering it: too many steps, too much spent, copies of itself.",
		"the key or the user that it calls as"},
		[]rung{clampSession, limitAgents, disableActing, disableAllTools, blockHere, blockKeys, stopHere, stopEverywhere}},
	{Threat{"prohibited_use", "A use that is not allowed",
		"The model is used for what its terms, a law or a court do not allow.",
		"the use case; a detector, where callers do not declare it"},
		[]rung{prohibit, infer, filterInput, blockHere, blockThem, allowTrusted, noNewSessions, stopHere, stopEverywhere}},
	{Threat{"data_exfiltration", "Data leaves that must not",
		"Answers or tool calls carry secrets, other callers' data or training data out.",
		"patterns of the data; the tools by which it leaves"},
		[]rung{redactOutput, filterOutput, disableTools, disableOutward, blockHere, noNewSessions, stopHere, stopEverywhere}},
	{Threat{"model_extraction", "The model is being copied",
		"Answers are collected systematically, to train a copy or to find the model's weak points.",
		"the users, keys or orgs that collect"},
		[]rung{disableLogprobs, limitEach, limitApplications, blockHere, blockThem, blockOrgs, allowTrusted, stopHere, stopEverywhere}},
	{Threat{"overload", "Overload",
		"So much is asked that others are not served, or that the cost runs away.",
		"the key or org that asks; the model"},
		[]rung{limitEach, limitAtOnce, clampOutput, limitAll, blockHere, noNewSessions, stopHere, stopEverywhere}},
	{Threat{"model_compromised", "The model itself is not to be trusted",
		"Weights, configuration or training were tampered with, or the model deceives, sabotages or seeks its own ends.",
		"an earlier version that is trusted; trusted orgs that must go on"},
		[]rung{pinVersion, disableActing, allowTrusted, stopHere, stopEverywhere}},
	{Threat{"weights_theft", "Weights have leaked, or may leak",
		"Copies of the weights have left, or somebody with access is taking them. What is served through Andon can be corrected; copies elsewhere cannot.",
		"the model; the keys of whoever is suspected"},
		[]rung{freeze, blockHere, noNewSessions, stopHere, stopEverywhere}},
	{Threat{"unknown", "Something is wrong",
		"Signals say that something is wrong, and nobody knows yet what. Buy time, at the smallest cost.",
		"whatever is known: users, keys, models, tools"},
		[]rung{blockHere, disableActing, limitEach, noNewSessions, drain, stopHere, stopEverywhere}},
}

// Threats lists what can be said to be wrong.
func Threats() []Threat {
	list := make([]Threat, len(threats))
	for i := range threats {
		list[i] = threats[i].Threat
	}
	return list
}
