package store_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// star is what stands for all columns: "*" where a column or a table's column
// may stand. count(*) is none.
var star = regexp.MustCompile(`(?is)(\b(select|returning|distinct)\s+|,\s*|\.)\*`)

// TestEachQuerySaysWhyAndListsItsColumns reads the queries as they are written:
// 'sqlc vet' sees them with their stars replaced already.
func TestEachQuerySaysWhyAndListsItsColumns(t *testing.T) {
	files, err := filepath.Glob("queries/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	queries := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, query := range strings.Split(string(data), "-- name: ")[1:] {
			queries++
			name, body, _ := strings.Cut(query, "\n")
			if !strings.HasPrefix(body, "-- ") {
				t.Errorf("%s: %s does not say why it exists", file, name)
			}
			if found := star.FindString(body); found != "" {
				t.Errorf("%s: %s says %q: list the columns, so that a migration does not change what it returns", file, name, found)
			}
		}
	}
	if queries < 50 {
		t.Errorf("only %d queries were read: this holds vacuously", queries)
	}
}

func TestStarsAreFound(t *testing.T) {
	for sql, want := range map[string]bool{
		"SELECT * FROM node":                 true,
		"select n.* from node n":             true,
		"SELECT name, * FROM node":           true,
		"UPDATE node SET a = 1\nRETURNING *": true,
		"SELECT count(*) FROM node":          false,
		"SELECT a * 2 FROM node":             false,
	} {
		if got := star.MatchString(sql); got != want {
			t.Errorf("%s: %v", sql, got)
		}
	}
}
