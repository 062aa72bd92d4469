package admin

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// written finds the queries that write, by their text.
var written = regexp.MustCompile(`(?s)-- name: (\w+) :\w+\n(.*?)(?:\n\n|\z)`)

// Every mutation is audited: the store rolls back a transaction that recorded
// nothing, and no handler writes but in such a transaction.
func TestEveryMutationIsAudited(t *testing.T) {
	writes := map[string]bool{"InTx": true, "Pool": true}
	files, err := filepath.Glob("../store/queries/*.sql")
	if err != nil || len(files) < 15 {
		t.Fatal(files, err)
	}
	statement := regexp.MustCompile(`(?m)^\s*(INSERT|UPDATE|DELETE|LOCK)\b`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, query := range written.FindAllStringSubmatch(string(text), -1) {
			if statement.MatchString(query[2]) {
				writes[query[1]] = true
			}
		}
	}
	if len(writes) < 40 || !writes["RevokeAPIKey"] || writes["GetUser"] {
		t.Fatalf("queries that write: %v", writes)
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			method, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if on, ok := method.X.(*ast.SelectorExpr); ok && on.Sel.Name == "Store" {
				seen++
				if writes[method.Sel.Name] {
					t.Errorf("%s: %s writes outside of change and act", set.Position(method.Pos()), method.Sel.Name)
				}
			}
			return true
		})
	}
	if seen < 10 {
		t.Errorf("only %d uses of the store found; this proves nothing", seen)
	}
}
