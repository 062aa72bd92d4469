package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func TestCallsAreShownWithTheirMethods(t *testing.T) {
	for _, c := range []struct {
		call *adminv1.Call
		want []string // METHOD and CALL
	}{
		{&adminv1.Call{Method: "tools/call", Server: "s", Tool: "add"}, []string{"tools/call", "s/add"}},
		{&adminv1.Call{Method: "sampling/createMessage", Server: "s", Tool: "add"}, []string{"sampling/createMessage", "s/add"}},
		{&adminv1.Call{Method: "tools/call", Tool: "s__none"}, []string{"tools/call", "s__none"}},
		{&adminv1.Call{Method: "resources/templates/list"}, []string{"resources/templates/list", "-"}},
		{&adminv1.Call{Method: strings.Repeat("x", 1000)}, []string{strings.Repeat("x", methodWidth-1) + "…", "-"}},
	} {
		c.call.User, c.call.Application, c.call.Decision, c.call.Rule, c.call.Outcome = "ana", "ide", "allow", "r", "ok"
		var list, line bytes.Buffer
		printCalls(&list, []*adminv1.Call{c.call})
		lines := strings.Split(list.String(), "\n")
		column := slices.Index(strings.Fields(lines[0]), "METHOD")
		// The time is empty, so that each column is one word.
		if got := strings.Fields(lines[1]); column < 0 || !slices.Equal(got[column:column+2], c.want) {
			t.Errorf("a list shows %q under %q", lines[1], lines[0])
		}
		if err := (&cli{stdout: &line}).printTailed(c.call); err != nil {
			t.Fatal(err)
		}
		shown := strings.Fields(line.String())
		if at := slices.Index(shown, c.want[0]); at < 0 || c.want[1] != "-" && shown[at+1] != c.want[1] || !slices.Contains(shown, "allow") || !slices.Contains(shown, "ok") {
			t.Errorf("a tail shows %q", line.String())
		}
	}
}
