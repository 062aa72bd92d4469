package risk_test

import (
	"fmt"
	"testing"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/risk"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

const (
	read         = snapshotv1.Risk_RISK_READ
	write        = snapshotv1.Risk_RISK_WRITE
	destructive  = snapshotv1.Risk_RISK_DESTRUCTIVE
	admin        = snapshotv1.Risk_RISK_ADMIN
	execute      = snapshotv1.Risk_RISK_EXECUTE
	external     = snapshotv1.Risk_RISK_EXTERNAL
	unclassified = snapshotv1.Risk_RISK_UNCLASSIFIED
)

// The first five are a predecessor's errors, security.md 6.5: it looked for
// "read" and "info" anywhere in a name, and knew no camel case.
func TestNameIsReadAsWholeWords(t *testing.T) {
	for name, want := range map[string]snapshotv1.Risk{
		"post_thread_reply": write,
		"nuke_info":         destructive,
		"deleteFile":        destructive,
		"execute":           execute,
		"bash":              execute,

		"get_issue":           read,
		"listIssues":          read,
		"github_search-code":  read,
		"get_comment":         read,
		"search.email":        read,
		"HTTPDelete2":         destructive,
		"get_and_delete":      destructive,
		"read_and_frobnicate": unclassified,
		"comment_issue":       write,
		"createIssue":         write,
		"send_email":          external,
		"slack_message":       external,
		"create_user":         admin,
		"delete_role":         admin,
		"list_users":          read,
		"grant":               admin,
		"run_tests":           execute,
		"undeletable":         unclassified,
		"frobnicate":          unclassified,
		"spreadsheet":         unclassified,
		"":                    unclassified,
		"_-_":                 unclassified,
		"удалить":             unclassified,
	} {
		if got := risk.Classify(fmt.Appendf(nil, `{"name":%q}`, name)); got != want {
			t.Errorf("%s: %s, want %s", name, risk.Name(got), risk.Name(want))
		}
	}
}

func TestRestOfDefinitionRaisesButNeverLowers(t *testing.T) {
	for _, test := range []struct {
		why, definition string
		want            snapshotv1.Risk
	}{
		{"a description helps a silent name", `{"name":"widget","description":"Deletes a widget."}`, destructive},
		{"a description helps a silent name", `{"name":"widget","description":"Copies a widget."}`, write},
		{"a soft description lowers nothing", `{"name":"drop_table","description":"Lists tables."}`, destructive},
		{"an alarming phrase raises", `{"name":"get_x","description":"Gets x. This cannot be undone."}`, destructive},
		{"a command parameter raises", `{"name":"get_x","inputSchema":{"properties":{"shellCommand":{}}}}`, execute},
		{"an address parameter raises", `{"name":"fetch","inputSchema":{"properties":{"url":{}}}}`, external},
		{"a claim to be harmless is ignored", `{"name":"delete_x","annotations":{"readOnlyHint":true,"destructiveHint":false}}`, destructive},
		{"a claim to be harmless does not classify", `{"name":"x","annotations":{"readOnlyHint":true}}`, unclassified},
		{"a claim to destroy raises", `{"name":"get_x","annotations":{"destructiveHint":true}}`, destructive},
		{"a claim to write raises", `{"name":"get_x","annotations":{"readOnlyHint":false}}`, write},
		{"a claim to destroy does not lower what is unknown", `{"name":"x","annotations":{"destructiveHint":true}}`, unclassified},
		{"two names are no name", `{"name":"get_x","name":"get_y"}`, unclassified},
		{"not an object", `["get_x"]`, unclassified},
		{"a name that is no string", `{"name":1}`, unclassified},
		{"not JSON", `{"name":"get_x"`, unclassified},
	} {
		if got := risk.Classify([]byte(test.definition)); got != test.want {
			t.Errorf("%s: %s is %s, want %s", test.why, test.definition, risk.Name(got), risk.Name(test.want))
		}
	}
}

func TestNamesAndCategoriesAgree(t *testing.T) {
	if len(risk.Names()) != len(snapshotv1.Risk_name)-1 {
		t.Fatalf("names %v do not cover the enum", risk.Names())
	}
	for _, name := range risk.Names() {
		r, err := risk.Parse(name)
		if err != nil || risk.Name(r) != name {
			t.Errorf("%s parses to %v (%v)", name, r, err)
		}
	}
}

func TestUnknownCategoryIsUnclassified(t *testing.T) {
	for _, r := range []snapshotv1.Risk{-1, 0, 8, 1000} {
		if got := risk.Name(r); got != "unclassified" {
			t.Errorf("category %d is called %s", r, got)
		}
	}
	for _, name := range []string{"", "Read", "reads", "safe"} {
		if _, err := risk.Parse(name); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q parses: %v", name, err)
		}
	}
}

func FuzzClassifyIsTotal(f *testing.F) {
	f.Add([]byte(`{"name":"deleteFile","description":"x","inputSchema":{"properties":{"a":1}},"annotations":{}}`))
	f.Fuzz(func(t *testing.T, definition []byte) {
		got := risk.Classify(definition)
		if got != risk.Known(got) {
			t.Errorf("category %d", got)
		}
		if again := risk.Classify(definition); again != got {
			t.Errorf("%v, then %v", got, again)
		}
	})
}
