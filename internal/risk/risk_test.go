package risk_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

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
		"delete_file":       destructive,
		"delete-file":       destructive,
		"delete.file":       destructive,
		"FILEDelete":        destructive,
		"deleteFile":        destructive,
		"execute":           execute,
		"bash":              execute,
		"start_process":     execute,
		"interact_process":  execute,

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
		"email_list":          read,
		"issue_comment_get":   read,
		"monitor_run":         execute,
		"push_files":          write,
		"push_message":        external,
		"web_search":          external,
		"create_deployment":   execute,
		"create_job_offer":    write,
		"apply_migration":     execute,
		"list_migrations":     read,
		"update_config":       admin,
		"get_config":          read,
		"get_secret":          admin,
		"rotate_key":          admin,
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
		{"a claim to meet the world raises what speaks of the web", `{"name":"get_x","description":"Asks websites.","annotations":{"openWorldHint":true}}`, external},
		{"a claim to meet the world says nothing else", `{"name":"get_x","description":"Asks.","annotations":{"openWorldHint":true}}`, read},
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

func TestDescriptionSpeaksWhereTheNameIsSilent(t *testing.T) {
	for _, test := range []struct {
		name, description string
		want              snapshotv1.Risk
	}{
		{"widget", "This tool deletes widgets.", destructive},
		{"widget", "Acme | Delete a widget", destructive},
		{"widget", "Use this tool to read or replace widgets.", write},
		{"widget", "Creates, updates, or removes a widget.", destructive},
		{"widget", "Manage widgets: list widgets, create a widget, delete a widget.", destructive},
		{"widget", "A tool that retrieves widgets.", read},
		{"widget", "Runs a widget.", unclassified},
		{"widget", "Runs a shell command.", execute},
		{"widget", "With progress updates.", unclassified},
		{"team_email", "Returns the mail sent to a team.", read},
		{"team_email", "For teams.", external},

		// A name that says something is raised by the first verb and by alarms.
		{"get_widget", "Deletes a widget.", destructive},
		{"get_widget", "Gets a widget, which someone may delete.", read},
		{"get_widget", "Gets a widget and deletes it.", destructive},
		{"get_widget", "Gets a widget and its deletes.", read},
		{"get_widget", "Gets and deletes a widget.", destructive},
		{"list_widgets", "Searches the web for widgets.", external},
		{"get_widget", "Gets the API key of a widget.", admin},
		{"get_widget", "Gets a widget, using your API key.", read},
		{"write_widget", "Overwrites a widget.", destructive},

		// Negations, quotations and other tools are not what the tool does.
		{"update_widget", "Updates a widget. Never overwrites it.", write},
		{"get_widget", "Gets a widget. It is not permanently deleted.", read},
		{"get_widget", "Gets a widget. For example: \"Deleting cannot be undone\".", read},
		{"get_widget", "Gets a widget. See `run sql`.", read},
		{"get_widget", "Gets a widget. To remove one permanently, use delete_widget or deleteWidget.", read},
		{"widget", "Does not delete widgets.", unclassified},
	} {
		definition := fmt.Appendf(nil, `{"name":%q,"description":%q}`, test.name, test.description)
		if got := risk.Assess(definition); got.Category != test.want {
			t.Errorf("%s, %q: %v, want %s", test.name, test.description, got.Reasons, risk.Name(test.want))
		}
	}
}

func TestParametersRaise(t *testing.T) {
	for _, test := range []struct {
		name, properties string
		want             snapshotv1.Risk
	}{
		{"get_x", `{"command":{"type":"string"}}`, execute},
		{"get_x", `{"sql":{}}`, execute},
		{"get_x", `{"query":{"description":"The SQL to run"}}`, execute},
		{"get_x", `{"query":{"description":"What to look for"}}`, read},
		{"get_x", `{"code":{"description":"Python code to execute"}}`, execute},
		{"get_x", `{"code":{"description":"Country code"}}`, read},
		{"get_x", `{"code":{},"language":{"enum":["python","bash"]}}`, execute},
		{"get_x", `{"commandId":{"type":"string"}}`, read},
		{"get_x", `{"command":{"enum":["status","info"]}}`, read},
		{"get_x", `{"url":{"type":"string"}}`, external},
		{"get_x", `{"projectUrl":{"type":"string"}}`, read},
		{"update_x", `{"webhookUrl":{"type":"string"}}`, external},
		{"create_x", `{"recipient":{"type":"string"}}`, external},
		{"create_x", `{"to":{"type":"string"},"subject":{},"body":{}}`, external},
		{"get_x", `{"from":{"type":"string"},"to":{"type":"string"}}`, read},
		{"get_x", `{"path":{"type":"string"},"content":{"type":"string"}}`, write},
		{"create_x", `{"overwrite":{"type":"boolean"}}`, destructive},
		{"get_x", `{"delete":{"type":"boolean"}}`, destructive},
		{"get_x", `{"action":{"enum":["get","delete"]}}`, destructive},
		{"list_x", `{"action":{"enum":["get","delete"]}}`, read}, // by which the list is filtered
		{"x", `{"action":{"enum":["get","create"]}}`, write},
		{"x", `{"action":{"enum":["get","frobnicate"]}}`, unclassified},
		{"x", `{"mode":{"enum":["get"]}}`, unclassified},
		{"manage_credentials", `{"action":{"enum":["get","delete"]}}`, admin},
		{"x", `{"url":{}}`, unclassified}, // what else it does nobody knows
		{"x", `{"command":{}}`, execute},  // but nothing is riskier than this
		{"get_x", `{"params":{"properties":{"command":{}}}}`, execute},
		{"get_x", `{"a":1,"b":"c","d":[],"command":true}`, execute},
		{"get_x", `{"a":{"type":["string","null"],"enum":3,"description":{},"properties":[]}}`, read},
		{"get_x", `[]`, read},
	} {
		definition := fmt.Appendf(nil, `{"name":%q,"inputSchema":{"properties":%s}}`, test.name, test.properties)
		if got := risk.Assess(definition); got.Category != test.want {
			t.Errorf("%s(%s): %v, want %s", test.name, test.properties, got.Reasons, risk.Name(test.want))
		}
	}
}

func TestAssessmentSaysWhy(t *testing.T) {
	for _, test := range []struct {
		definition string
		want       []string
	}{
		{`{"name":"delete_issue"}`, []string{`destructive: "delete" in the name`}},
		{
			`{"name":"get_page","description":"Returns a page. Shell commands: run shell commands.",
			  "inputSchema":{"properties":{"url":{}}},"annotations":{"destructiveHint":true}}`,
			[]string{
				`execute: "run shell command" in the description`, `destructive: "true" in the annotation destructiveHint`,
				`external: "url" in the parameter url`, `read: "get" in the name`, `read: "return" in the description`,
			},
		},
		{
			`{"name":"frobnicate","inputSchema":{"properties":{"url":{}}}}`,
			[]string{`unclassified: neither the name nor the description says what it does`, `external: "url" in the parameter url`},
		},
		{`[]`, []string{`unclassified: the definition cannot be read`}},
	} {
		var got []string
		for _, reason := range risk.Assess([]byte(test.definition)).Reasons {
			got = append(got, reason.String())
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.definition, diff)
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

func TestReasonsAreBoundedAndTheRiskiestIsKept(t *testing.T) {
	var properties strings.Builder
	for n := range 5000 {
		fmt.Fprintf(&properties, `"url%d":{},`, n)
	}
	got := risk.Assess(fmt.Appendf(nil, `{"name":"get_x","inputSchema":{"properties":{%s"zsh_command":{}}}}`, properties.String()))
	if len(got.Reasons) > 40 {
		t.Errorf("%d reasons", len(got.Reasons))
	}
	if got.Category != execute {
		t.Errorf("the last parameter was passed over: %v", got.Reasons)
	}
}

// claims are annotations that a server might add to a definition.
var claims = []string{
	`{}`, `null`, `{"readOnlyHint":true}`, `{"readOnlyHint":false}`, `{"destructiveHint":true}`, `{"destructiveHint":false}`,
	`{"openWorldHint":true}`, `{"openWorldHint":false}`, `{"idempotentHint":true}`, `{"title":"Get"}`, `{"readOnlyHint":"yes"}`,
	`{"readOnlyHint":true,"destructiveHint":false,"openWorldHint":false,"idempotentHint":true}`,
}

// neverLowered fails if a claim makes a definition look safer than it does
// without any.
func neverLowered(t *testing.T, definition []byte) {
	t.Helper()
	var members map[string]jsontext.Value
	if json.Unmarshal(definition, &members) != nil || members == nil {
		return // not an object
	}
	claimed := func(claim string) snapshotv1.Risk {
		delete(members, "annotations")
		if claim != "" {
			members["annotations"] = jsontext.Value(claim)
		}
		raw, err := json.Marshal(members, json.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		return risk.Classify(raw)
	}
	silent := claimed("")
	for _, claim := range claims {
		if got := claimed(claim); severity(got) < severity(silent) {
			t.Errorf("%s: %s lowers %s to %s", definition, claim, risk.Name(silent), risk.Name(got))
		}
	}
}

func TestNoClaimLowersAnyDefinitionOfTheCorpus(t *testing.T) {
	for _, x := range readCorpora(t, "*") {
		neverLowered(t, x.definition)
	}
}

func FuzzAssess(f *testing.F) {
	f.Add([]byte(`{"name":"deleteFile","description":"x","inputSchema":{"properties":{"a":1}},"annotations":{}}`))
	f.Add([]byte(`{"name":"x","description":"Manage 'x: list, don't “delete”. ","inputSchema":{"properties":{"action":{"enum":["get",1]}}}}`))
	for _, x := range readCorpora(f, "heldout") {
		f.Add(x.definition)
	}
	f.Fuzz(func(t *testing.T, definition []byte) {
		got := risk.Assess(definition)
		if got.Category != risk.Known(got.Category) {
			t.Errorf("category %d", got.Category)
		}
		if len(got.Reasons) == 0 || got.Reasons[0].Category != got.Category {
			t.Errorf("%s for %v", risk.Name(got.Category), got.Reasons)
		}
		if diff := cmp.Diff(got, risk.Assess(definition)); diff != "" {
			t.Errorf("another time another answer:\n%s", diff)
		}
		neverLowered(t, definition)
	})
}

// A definition of 10 KiB as servers send them, and ones made to cost much.
func BenchmarkAssess(b *testing.B) {
	const size = 10 << 10
	property := `"p%d":{"type":"string","description":"Where to look. One of many, and never the last"},`
	var properties strings.Builder
	for n := 0; properties.Len() < size/2; n++ {
		fmt.Fprintf(&properties, property, n)
	}
	prose := strings.Repeat("This is how it works: give a name, get what it stands for. ", size/2/60)
	for name, definition := range map[string]string{
		"usual":     fmt.Sprintf(`{"name":"get_x","description":%q,"inputSchema":{"properties":{%s"q":{}}}}`, prose, properties.String()),
		"quotation": fmt.Sprintf(`{"name":"get_x","description":%q}`, strings.Repeat("'\"`“ ", size/8)),
		"one word":  fmt.Sprintf(`{"name":"get_x","description":%q}`, strings.Repeat("a", size)),
		"deep":      `{"name":"get_x","inputSchema":` + strings.Repeat(`{"properties":{"a":`, size/20) + `1` + strings.Repeat(`}}`, size/20) + `}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(definition)))
			b.ReportAllocs()
			for b.Loop() {
				risk.Assess([]byte(definition))
			}
		})
	}
}
