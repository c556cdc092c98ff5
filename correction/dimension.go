package correction

// dim is one dimension of a scope, or the node of a use correction.
type dim uint8

// In the order in which a rule's index is chosen when two would do equally
// well: what is most likely to tell callers apart stands first.
const (
	dimKey dim = iota
	dimUser
	dimOrg
	dimIP
	dimAttribute
	dimTool
	dimNode // Params.UseCase: matches a use case and all below it
	dimUseCase
	dimTier
	dimCountry
	dimVersion
	dimSurface
	dimModel
	numDims
)

// dimension describes the list of a scope that holds one dimension's values.
type dimension struct {
	dim     dim
	name    string // JSON name
	one     string // singular, for people
	subject bool   // tells who calls, rather than what is called
	values  func(*Scope) []string
}

// dimensions are all of them, in the order of Scope's fields.
var dimensions = [...]dimension{
	{dimModel, "models", "model", false, func(s *Scope) []string { return s.Models }},
	{dimVersion, "versions", "version", false, func(s *Scope) []string { return s.Versions }},
	{dimSurface, "surfaces", "surface", false, func(s *Scope) []string { return s.Surfaces }},
	{dimOrg, "orgs", "org", true, func(s *Scope) []string { return s.Orgs }},
	{dimUser, "users", "user", true, func(s *Scope) []string { return s.Users }},
	{dimKey, "keys", "key", true, func(s *Scope) []string { return s.Keys }},
	{dimTier, "tiers", "tier", true, func(s *Scope) []string { return s.Tiers }},
	{dimIP, "ips", "ip", true, func(s *Scope) []string { return s.IPs }},
	{dimCountry, "countries", "country", true, func(s *Scope) []string { return s.Countries }},
	{dimAttribute, "attributes", "attribute", true, func(s *Scope) []string { return s.Attributes }},
	{dimTool, "tools", "tool", false, func(s *Scope) []string { return s.Tools }},
	{dimUseCase, "use_cases", "use case", false, func(s *Scope) []string { return s.UseCases }},
}

// subjectNames are the dimensions that allow_only can list.
func subjectNames() []string {
	var names []string
	for i := range dimensions {
		if dimensions[i].subject {
			names = append(names, dimensions[i].name)
		}
	}
	return names
}

// country is the upper-case form of an ISO 3166-1 alpha-2 code, or "" if s is
// not shaped like one. It does not allocate.
func country(s string) string {
	if len(s) != 2 {
		return ""
	}
	a, b := s[0]&^0x20, s[1]&^0x20
	if a < 'A' || a > 'Z' || b < 'A' || b > 'Z' {
		return ""
	}
	i := (int(a-'A')*26 + int(b-'A')) * 2
	return countries[i : i+2]
}

// countries holds all pairs of letters, so that country can return a part of it.
var countries = func() string {
	b := make([]byte, 0, 26*26*2)
	for i := byte('A'); i <= 'Z'; i++ {
		for j := byte('A'); j <= 'Z'; j++ {
			b = append(b, i, j)
		}
	}
	return string(b)
}()
