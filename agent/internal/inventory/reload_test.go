package inventory

import (
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/agent/internal/manifest"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// fieldsOf are the names of a type's fields in the file.
func fieldsOf(of any) (names []string) {
	kind := reflect.TypeOf(of)
	for i := range kind.NumField() {
		if name := kind.Field(i).Tag.Get("yaml"); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

func (v *Inventory) running(name string) server {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if e := v.entries[name]; e != nil {
		return e.server
	}
	return nil
}

// An edit of any field of a server has it run as the file says now, and leaves the server beside it alone.
func TestEachFieldOfAServerCountsWhenItIsEdited(t *testing.T) {
	program := os.Args[0]
	edits := map[string][2]string{
		"name":        {"name: s, command: [" + program + ", serve]", "name: other, command: [" + program + ", serve]"},
		"command":     {"name: s, command: [" + program + ", serve]", "name: s, command: [" + program + ", serve, more]"},
		"directory":   {"name: s, command: [" + program + ", serve]", "name: s, command: [" + program + ", serve], directory: /"},
		"environment": {"name: s, command: [" + program + ", serve], environment: {A: b}", "name: s, command: [" + program + ", serve], environment: {A: c}"},
		"pass":        {"name: s, command: [" + program + ", serve]", "name: s, command: [" + program + ", serve], pass: [HTTPS_PROXY]"},
		"shared":      {"name: s, command: [" + program + ", serve]", "name: s, command: [" + program + ", serve], shared: true"},
		"url":         {"name: s, url: 'http://127.0.0.1:1/a'", "name: s, url: 'http://127.0.0.1:1/b'"},
		"headers":     {"name: s, url: 'http://127.0.0.1:1/a', headers: {X-Key: a}", "name: s, url: 'http://127.0.0.1:1/a', headers: {X-Key: b}"},
	}
	beside := "  - {name: beside, command: [" + program + ", serve]}\n"
	for _, field := range fieldsOf(manifest.Server{}) {
		edit, known := edits[field]
		if !known {
			t.Errorf("the field %q is not tried", field)
			continue
		}
		v := New("test", slog.New(slog.DiscardHandler))
		apply := func(s string) (edited, other server) {
			v.Apply(parse(t, "servers:\n  - {"+s+"}\n"+beside), nil)
			return v.running("s"), v.running("beside")
		}
		before, neighbour := apply(edit[0])
		if again, other := apply(edit[0]); again != before || other != neighbour || before == nil {
			t.Errorf("%s: a server that was not edited was replaced", field)
		}
		after, other := apply(edit[1])
		if after == before {
			t.Errorf("%s: the server runs as before", field)
		}
		if other != neighbour {
			t.Errorf("%s: the server beside it was replaced", field)
		}
		if _, there := pids(v)["other"]; there != (field == "name") {
			t.Errorf("%s: the servers are %v", field, pids(v))
		}
		v.Close()
	}
}

// An edit of any field of a rule decides anew about what is assigned: what is allowed from now on is served, and what is
// allowed no more is served no more.
func TestEachFieldOfARuleCountsWhenItIsEdited(t *testing.T) {
	stdio := &enrollv1.AssignedServer{Name: "s", Command: []string{os.Args[0], "serve"}, Environment: map[string]string{"A": "b"}, Directory: "/"}
	http := &enrollv1.AssignedServer{Name: "s", Url: "http://127.0.0.1:1/mcp"}
	good := map[string]string{"command": os.Args[0], "args": "[serve]", "environment": "[A]", "directories": "[/]"}
	bad := map[string]string{"command": "other", "args": "[other]", "environment": "[B]", "directories": "[/srv]"}
	rule := func(edited string) string {
		var fields []string
		for name, value := range good {
			if name == edited {
				value = bad[name]
			}
			fields = append(fields, name+": "+value)
		}
		return "servers: []\nallow:\n  - {" + strings.Join(fields, ", ") + "}\n"
	}
	allowing := map[string]string{"url": "servers: []\nallow:\n  - {url: 'http://127.0.0.1:*/mcp'}\n"}
	refusing := map[string]string{"url": "servers: []\nallow:\n  - {url: 'http://127.0.0.1:*/other'}\n"}
	for name := range good {
		allowing[name], refusing[name] = rule(""), rule(name)
	}
	allowing["allow_any"], refusing["allow_any"] = "allow_any: true\n", "allow_any: false\n"
	for _, field := range append(fieldsOf(manifest.Rule{}), "allow_any") {
		assigned := stdio
		if field == "url" {
			assigned = http
		}
		v := New("test", slog.New(slog.DiscardHandler))
		for i, text := range []string{refusing[field], allowing[field], refusing[field], allowing[field]} {
			v.Apply(parse(t, text), []*enrollv1.AssignedServer{assigned})
			if served := v.running("s") != nil; served != (i%2 == 1) || len(v.States()) != i%2 {
				t.Errorf("%s: after edit %d it is served: %v", field, i, served)
			}
		}
		v.Close()
	}
}

// Whether the file declares what is assigned as well is no reason to end it, and is reported as it is.
func TestAServerThatTheFileDeclaresNoMoreGoesOnAsAnAssignedOne(t *testing.T) {
	v := New("test", slog.New(slog.DiscardHandler))
	defer v.Close()
	assigned := []*enrollv1.AssignedServer{{Name: "s", Command: []string{os.Args[0], "serve"}}}
	declared := fmt.Sprintf("servers:\n  - {name: s, command: [%s, serve]}\nallow_any: true\n", os.Args[0])
	v.Apply(parse(t, declared), assigned)
	if a := initialize(t, v, "s"); a.status != 200 {
		t.Fatalf("it answered %+v", a)
	}
	before := pids(v)["s"]
	for _, local := range []bool{false, true} {
		text := "allow_any: true\n"
		if local {
			text = declared
		}
		v.Apply(parse(t, text), assigned)
		report := v.Reports()[0]
		if report.GetLocal() != local || report.GetPid() != before || v.States()[0].GetName() != "s" {
			t.Errorf("declared %v: the report is %v", local, report)
		}
		if a := initialize(t, v, "s"); a.status != 200 || a.reset != tunnelv1.ResetCode_RESET_CODE_UNSPECIFIED {
			t.Errorf("declared %v: it answered %+v", local, a)
		}
		before = pids(v)["s"]
	}
}
