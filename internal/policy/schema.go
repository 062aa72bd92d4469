package policy

import _ "embed"

// Schema is the JSON Schema (2020-12) of policy documents, for editors. It accepts
// whatever ParseDocument does; what it refuses, that refuses too.
//
//go:embed schema.json
var Schema []byte
