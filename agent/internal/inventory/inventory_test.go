package inventory

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/agent/internal/manifest"
	"github.com/warder-gateway/warder/internal/tunnel"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// TestMain runs the tests, or, as a child of theirs, a server that knows initialize.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			if _, id, ok := strings.Cut(in.Text(), `"id":"`); ok {
				id, _, _ = strings.Cut(id, `"`)
				fmt.Printf(`{"jsonrpc":"2.0","id":"%s","result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}`+"\n", id)
			}
		}
		return
	}
	os.Exit(m.Run())
}

type answer struct {
	status int
	reset  tunnelv1.ResetCode
}

func (a *answer) Head(status int, _ []tunnel.Field) error { a.status = status; return nil }
func (a *answer) Write(piece []byte) (int, error)         { return len(piece), nil }
func (a *answer) Reply(status int, _ []tunnel.Field, _ []byte) error {
	a.status = status
	return nil
}
func (a *answer) Reset(code tunnelv1.ResetCode, _ string) { a.reset = code }

func initialize(t *testing.T, v *Inventory, server string) *answer {
	t.Helper()
	a := &answer{}
	v.Serve(t.Context(), &tunnel.Incoming{Server: server, Method: "POST", Body: strings.NewReader(
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)}, a)
	return a
}

func parse(t *testing.T, text string) *manifest.File {
	t.Helper()
	file, err := manifest.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func pids(v *Inventory) map[string]int32 {
	found := map[string]int32{}
	for _, report := range v.Reports() {
		found[report.GetName()] = report.GetPid()
	}
	return found
}

func TestAChangeRestartsOnlyWhatItIsAbout(t *testing.T) {
	v := New("test", slog.New(slog.DiscardHandler))
	defer v.Close()
	line := "  - {name: %s, command: [" + os.Args[0] + ", serve], environment: {KEY: %s}}\n"
	v.Apply(parse(t, "servers:\n"+fmt.Sprintf(line, "one", "a")+fmt.Sprintf(line, "two", "a")+fmt.Sprintf(line, "three", "a")), nil)
	for _, name := range []string{"one", "two", "three"} {
		if a := initialize(t, v, name); a.status != 200 {
			t.Fatalf("%s answered %+v", name, a)
		}
	}
	before := pids(v)
	v.Apply(parse(t, "servers:\n"+fmt.Sprintf(line, "one", "a")+fmt.Sprintf(line, "two", "b")), nil)
	after := pids(v)
	if before["one"] == 0 || after["one"] != before["one"] {
		t.Errorf("a server that did not change was replaced: %v, %v", before, after)
	}
	if after["two"] != 0 {
		t.Errorf("a server that changed runs on: %v", after)
	}
	if _, there := after["three"]; there || initialize(t, v, "three").reset != tunnelv1.ResetCode_RESET_CODE_REFUSED {
		t.Errorf("a server that is gone is served: %v", after)
	}
	if a := initialize(t, v, "two"); a.status != 200 {
		t.Errorf("the new one answered %+v", a)
	}
	v.Close()
	if len(v.Reports()) != 0 {
		t.Error("something is left")
	}
}

func TestAssignedServersRunOnlyIfTheFileAllowsThem(t *testing.T) {
	v := New("test", slog.New(slog.DiscardHandler))
	defer v.Close()
	file := parse(t, "servers:\n  - {name: mine, command: ["+os.Args[0]+", serve]}\nallow:\n  - {command: "+os.Args[0]+", args: [serve]}\n")
	v.Apply(file, []*enrollv1.AssignedServer{
		{Name: "good", Command: []string{os.Args[0], "serve"}},
		{Name: "bad", Command: []string{"sh", "-c", "id"}},
		{Name: "mine", Command: []string{"sh", "-c", "id"}},
	})
	want := []*tunnelv1.ServerState{{Name: "good", Ready: true}, {Name: "mine", Ready: true}}
	if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(v.States())); diff != "" {
		t.Errorf("the states are others: %s", diff)
	}
	for _, report := range v.Reports() {
		refused := report.GetPhase() == enrollv1.ServerPhase_SERVER_PHASE_REFUSED
		if refused != (report.GetName() == "bad") || refused != strings.Contains(report.GetLastError(), "does not allow") || report.GetLocal() != (report.GetName() == "mine") {
			t.Errorf("reported %v", report)
		}
	}
	if a := initialize(t, v, "bad"); a.reset != tunnelv1.ResetCode_RESET_CODE_REFUSED {
		t.Errorf("the refused one answered %+v", a)
	}
	for _, name := range []string{"good", "mine"} {
		if a := initialize(t, v, name); a.status != 200 {
			t.Errorf("%s answered %+v", name, a)
		}
	}
	// What is allowed later runs then.
	v.Apply(&manifest.File{AllowAny: true}, []*enrollv1.AssignedServer{{Name: "bad", Command: []string{os.Args[0], "serve"}}})
	if a := initialize(t, v, "bad"); a.status != 200 {
		t.Errorf("it answered %+v", a)
	}
	select {
	case <-v.Changed():
	case <-time.After(10 * time.Second):
		t.Error("nobody was told")
	}
}
