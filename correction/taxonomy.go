package correction

import (
	_ "embed"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
)

// Node is one class of use in the taxonomy. Of a node "a" the children are those
// under "a/".
type Node struct {
	ID         string   `json:"id"`
	Title      string   `json:"title"`
	Definition string   `json:"definition"` // in plain words of our own
	Sources    []string `json:"sources"`    // ailuminate, openai, anthropic: who lists it, in words of theirs
}

//go:embed taxonomy.json
var taxonomyJSON []byte

// taxonomy is read once; it is part of the program.
var taxonomy = sync.OnceValue(func() []Node {
	var file struct {
		Version int               `json:"version"`
		Sources map[string]string `json:"sources"`
		Nodes   []Node            `json:"nodes"`
	}
	if err := json.Unmarshal(taxonomyJSON, &file, json.RejectUnknownMembers(true)); err != nil {
		panic("correction: read taxonomy: " + err.Error())
	}
	return file.Nodes
})

// Taxonomy is the classes of use, on two levels: a class, then its parts. An
// operator may use nodes of its own beside them. The caller may change the outer
// slice, not what it holds.
func Taxonomy() []Node { return slices.Clone(taxonomy()) }

// KnownUse says whether a node is in the taxonomy, or below one of its second
// level: "legal/advice/tenancy" says more of what "legal/advice" is. A node that
// is not known can be meant; a caller may warn of it.
func KnownUse(node string) bool {
	if parts := strings.SplitN(node, "/", 3); len(parts) == 3 && parts[2] != "" {
		node = parts[0] + "/" + parts[1]
	}
	return slices.ContainsFunc(taxonomy(), func(n Node) bool { return n.ID == node })
}
