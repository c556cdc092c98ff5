package control

import _ "embed"

// openAPI is the API's description, version 3.1. It is written by hand; tests
// hold it against the route table and against real answers.
//
//go:embed openapi.json
var openAPI []byte
