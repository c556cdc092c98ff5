package plan

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"time"
)

//go:embed example
var examples embed.FS

// Examples are the examples that Example knows, by name: a small company that
// buys models, and a developer of frontier models.
var Examples = []string{"company", "frontier"}

// Example is a complete plan as files, by name, with the schema that editors
// use. Its days are counted from today, so that it is as fresh as it claims: an
// example, to be replaced by what was really tested and agreed.
func Example(name string, today time.Time) (map[string][]byte, error) {
	if !slices.Contains(Examples, name) {
		return nil, fmt.Errorf("there is no example %s", quote(name))
	}
	out := map[string][]byte{SchemaFile: Schema()}
	err := fs.WalkDir(examples, "example/"+name, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := examples.ReadFile(file)
		out[path.Base(file)] = exampleDay.ReplaceAllFunc(data, func(m []byte) []byte {
			n, _ := strconv.Atoi(string(m[3:])) // the pattern takes digits alone
			return []byte(today.UTC().AddDate(0, 0, n).Format(dateForm))
		})
		return err
	})
	return out, err
}

// exampleDay stands for a day in the examples: "DAY-10" is ten days ago.
var exampleDay = regexp.MustCompile(`\bDAY[+-][0-9]{1,4}\b`)
