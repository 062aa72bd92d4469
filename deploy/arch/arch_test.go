package arch_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/warder-gateway/warder"

// goPackage is the part of 'go list -json' that the rules read.
type goPackage struct {
	ImportPath   string
	Dir          string
	Doc          string
	Imports      []string
	TestImports  []string
	XTestImports []string
	GoFiles      []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Doc,Imports,TestImports,XTestImports,GoFiles", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 20 {
		t.Fatalf("go list named only %d packages: the rules would hold vacuously", len(all))
	}
	return all
}

// layer says which part of the layout a package belongs to: "proto",
// "internal", "controlplane/internal", "controlplane", "cmd", and so on.
func layer(importPath string) string {
	rel := strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
	first, rest, _ := strings.Cut(rel, "/")
	switch first {
	case "controlplane", "dataplane", "agent":
		second, _, _ := strings.Cut(rest, "/")
		switch second {
		case "internal":
			return first + "/internal"
		case "cmd":
			return "cmd"
		}
	}
	return first
}

// allowed says which layers each may import: proto ← internal ←
// {plane}/internal ← run.go ← cmd. The planes never import each other.
var allowed = map[string][]string{
	"proto":                 {"proto"},
	"internal":              {"proto", "internal"},
	"dashboard":             {"proto", "internal"},
	"controlplane/internal": {"proto", "internal", "controlplane/internal"},
	"dataplane/internal":    {"proto", "internal", "dataplane/internal"},
	"agent/internal":        {"proto", "internal", "agent/internal"},
	"controlplane":          {"proto", "internal", "controlplane/internal", "dashboard"},
	"dataplane":             {"proto", "internal", "dataplane/internal"},
	"agent":                 {"proto", "internal", "agent/internal"},
	"cmd":                   {"proto", "internal", "controlplane", "dataplane", "agent", "dashboard", "cmd"},
	"deploy":                {"proto", "internal", "deploy"},
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range packages(t) {
		from := layer(p.ImportPath)
		may, known := allowed[from]
		if !known {
			t.Errorf("%s lies in %q, which the layout does not know; see design.md section 2", p.ImportPath, from)
			continue
		}
		for _, imported := range p.Imports {
			if !strings.HasPrefix(imported, module) {
				continue
			}
			if to := layer(imported); !contains(may, to) {
				t.Errorf("%s imports %s: %s may import only %v", p.ImportPath, imported, from, may)
			}
		}
	}
}

// edges are the packages of internal that are there for sockets, processes or
// clocks. All others say what is true, not when or over what: their callers hand
// them time and bytes.
var edges = []string{"filelock", "localpg", "localsock", "pgtest", "pgtest/cmd/withpg", "porttest", "httpserver", "identity", "doorman"}

// timed are those that measure how long somebody else takes, and hold nothing else
// by the clock.
var timed = []string{"tunnel"}

func TestTheDomainOpensNoSocketAndReadsNoClock(t *testing.T) {
	checked := 0
	for _, p := range packages(t) {
		name, inside := strings.CutPrefix(p.ImportPath, module+"/internal/")
		if !inside || contains(edges, name) {
			continue
		}
		checked++
		for _, imported := range p.Imports {
			switch imported {
			case "database/sql", "os/exec", "github.com/jackc/pgx/v5", "google.golang.org/grpc":
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
		for _, call := range outside(t, p) {
			if strings.HasPrefix(call, "time.") && contains(timed, name) {
				continue
			}
			t.Errorf("%s calls %s", p.ImportPath, call)
		}
	}
	if checked < 8 {
		t.Errorf("only %d packages were looked at: this holds vacuously", checked)
	}
}

// outside returns the calls of a package that read the clock or open a socket,
// with their places.
func outside(t *testing.T, p goPackage) (calls []string) {
	t.Helper()
	forbidden := map[string][]string{
		"time": {"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTicker", "NewTimer"},
		"net":  {"Dial", "DialTimeout", "Listen", "ListenPacket", "LookupHost", "LookupIP"},
		"http": {"Get", "Post", "PostForm", "Head", "ListenAndServe", "Serve"},
	}
	files := token.NewFileSet()
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if from, ok := selector.X.(*ast.Ident); ok && contains(forbidden[from.Name], selector.Sel.Name) {
				calls = append(calls, fmt.Sprintf("%s.%s at %s", from.Name, selector.Sel.Name, files.Position(n.Pos())))
			}
			return true
		})
	}
	return calls
}

// TestOnlyAgentsStartProcesses holds T-26: neither plane can be made to run a
// command, because neither contains the means to.
func TestOnlyAgentsStartProcesses(t *testing.T) {
	for _, p := range packages(t) {
		switch layer(p.ImportPath) {
		case "controlplane", "controlplane/internal", "dataplane", "dataplane/internal":
			if contains(p.Imports, "os/exec") {
				t.Errorf("%s imports os/exec", p.ImportPath)
			}
		}
	}
}

func TestUntrustedInputIsNotReadByEncodingJSON(t *testing.T) {
	// encoding/json folds case and takes duplicates: what it reads need not be
	// what a server reads.
	for _, p := range packages(t) {
		if layer(p.ImportPath) == "dataplane/internal" || p.ImportPath == module+"/internal/mcp" {
			if contains(p.Imports, "encoding/json") {
				t.Errorf("%s imports encoding/json", p.ImportPath)
			}
		}
	}
}

func TestEachPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 || strings.Contains(p.ImportPath, "/proto/gen/") || strings.HasSuffix(p.ImportPath, "/store/db") {
			continue
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func TestPackagesAreNamedByNouns(t *testing.T) {
	for _, p := range packages(t) {
		switch name := path.Base(p.ImportPath); name {
		case "util", "utils", "common", "helper", "helpers", "shared", "base", "misc", "manager", "processor":
			t.Errorf("%s: %q says nothing of what is in it", p.ImportPath, name)
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
