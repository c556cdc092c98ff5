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
	numDims // how many there are; as what a rule is found by: none
	dimList // named lists, which stand beside the dimensions
)

// dimension describes the list of a scope that holds one dimension's values.
type dimension struct {
	dim     dim
	name    string // JSON name
	one     string // singular, for people
	subject bool   // tells who calls, rather than what is called
	unknown bool   // a request may have no value of it; where it has none of the others, it is known to have none
}

// dimensions are all of them, in the order of Scope's fields.
var dimensions = [...]dimension{
	{dimModel, "models", "model", false, false},
	{dimVersion, "versions", "version", false, true},
	{dimSurface, "surfaces", "surface", false, true},
	{dimOrg, "orgs", "org", true, true},
	{dimUser, "users", "user", true, true},
	{dimKey, "keys", "key", true, true},
	{dimTier, "tiers", "tier", true, true},
	{dimIP, "ips", "ip", true, true},
	{dimCountry, "countries", "country", true, true},
	{dimAttribute, "attributes", "attribute", true, true},
	{dimTool, "tools", "tool", false, false},
	{dimUseCase, "use_cases", "use case", false, true},
}

// subject says whether a dimension tells who calls. Every named list does.
func (d dim) subject() bool { return subjects[d] }

var subjects = func() (is [dimList + 1]bool) {
	for i := range dimensions {
		is[dimensions[i].dim] = dimensions[i].subject
	}
	is[dimList] = true
	return is
}()

// lists are the scope's lists, in the order of dimensions.
func (s *Scope) lists() [len(dimensions)]*[]string {
	return [...]*[]string{
		&s.Models, &s.Versions, &s.Surfaces, &s.Orgs, &s.Users, &s.Keys, &s.Tiers, &s.IPs, &s.Countries, &s.Attributes, &s.Tools, &s.UseCases,
	}
}

// values is the list of one dimension, users in their folded form, too; nil if
// it is none of a scope's.
func (s *Scope) values(d dim) []string {
	if d == dimUser {
		return foldUsers(s.Users)
	}
	for i, l := range s.lists() {
		if dimensions[i].dim == d {
			return *l
		}
	}
	return nil
}

// subjectNames are the dimensions that allow_only can list.
func subjectNames() []string {
	var names []string
	for i := range dimensions {
		if dimensions[i].subject {
			names = append(names, dimensions[i].name)
		}
	}
	return append(names, "lists")
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
