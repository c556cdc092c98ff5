package plan

import _ "embed"

// SchemaFile is the name under which the schema stands beside a plan's files, so
// that their first line leads editors to it.
const SchemaFile = "plan.schema.json"

//go:embed plan.schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of each file of a plan, made from
// the types of this package. Editors complete and check with it while people
// write; what it cannot say, Load does.
func Schema() []byte { return schema }
