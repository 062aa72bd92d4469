package catalog

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	difference "github.com/warder-gateway/warder/internal/definition"
)

// pinned are definitions of each kind with every member that the protocol knows, and
// some that it does not.
var pinned = map[Kind]string{
	Tool: `{"name":"list_files","title":"List files","description":"Lists.","icons":[{"src":"https://cdn.example.com/i.png","mimeType":"image/png","sizes":["48x48"],"theme":"dark"}],
		"inputSchema":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","title":"In","description":"Input.","additionalProperties":false,"properties":{
			"path":{"type":"string","title":"Path","description":"Where.","default":"a","examples":["b"],"pattern":"^a$","format":"uri","const":"c","enum":["d","e"],"$comment":"f","maxLength":9007199254740993},
			"nested":{"type":"array","items":{"anyOf":[{"type":"object","properties":{"deep":{"description":"Deep.","minimum":1.10,"exclusiveMaximum":1e400}},"required":["deep"]},{"$ref":"#/$defs/x"}]}}},
			"required":["path"],"$defs":{"x":{"description":"Def.","default":null}},"patternProperties":{"^x-":{"description":"Pattern."}}},
		"outputSchema":{"type":"object","properties":{"out":{"type":"string","description":"Out."}}},
		"annotations":{"title":"List","readOnlyHint":true,"destructiveHint":false,"idempotentHint":true,"openWorldHint":false},
		"execution":{"taskSupport":"optional"},"_meta":{"com.example/k":{"a":["v",1]}},"x-unknown":{"y":"z","n":-0}}`,
	Prompt: `{"name":"review","title":"Review","description":"Reviews.","icons":[{"src":"https://a.example/i.png"}],
		"arguments":[{"name":"code","title":"Code","description":"What.","required":true,"x":1}],"_meta":{"k":"v"},"x-unknown":[{}]}`,
	Resource: `{"uri":"file:///a","name":"a","title":"A","description":"A file.","mimeType":"text/plain","size":1,"icons":[{"src":"https://a.example/i.png"}],
		"annotations":{"audience":["user"],"priority":1,"lastModified":"2026-01-01"},"_meta":{"k":"v"},"x-unknown":""}`,
	Template: `{"uriTemplate":"file:///{p}","name":"t","title":"T","description":"Files.","mimeType":"text/plain","icons":[{"src":"https://a.example/i.png"}],
		"annotations":{"audience":["user"]},"_meta":{"k":"v"},"x-unknown":null}`,
}

// mutation is a definition with one thing different.
type mutation struct{ what, definition string }

// mutations changes each token of a definition, one at a time: values of every kind, the
// names of members, and, at the end of each object and array, one thing more.
func mutations(t *testing.T, whole string) (all []mutation) {
	t.Helper()
	d := jsontext.NewDecoder(strings.NewReader(whole))
	for {
		token, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		end := int(d.InputOffset())
		begin, now := end, ""
		comma := map[bool]string{false: ","}[end > 1 && strings.ContainsRune("{[", rune(whole[end-2]))]
		switch token.Kind() {
		case '{', '[': // Its end is where it grows.
			continue
		case '}':
			begin, now = end-1, comma+`"x-more":null}`
		case ']':
			begin, now = end-1, comma+"null]"
		case '"':
			begin, now = end-1, `\u200b"`
		case 't', 'f', 'n':
			begin, now = end-len(token.String()), map[jsontext.Kind]string{'t': "false", 'f': "true", 'n': `""`}[token.Kind()]
		default: // A number: as one that is equal to it, or nearly.
			switch text := token.String(); {
			case strings.Contains(text, "e"):
				begin, now = end-1, "1"
			case strings.Contains(text, "."):
				now = "0"
			default:
				begin, now = end-1, string(text[len(text)-1]^1)
			}
		}
		all = append(all, mutation{string(d.StackPointer()), whole[:begin] + now + whole[end:]})
	}
}

// TestT03_EveryFieldIsPinned changes every single thing in a definition of each kind:
// what was approved becomes changed, and the person who looks sees a difference. What
// names an entry makes another one of it, and the approved one is missing.
func TestT03_EveryFieldIsPinned(t *testing.T) {
	total := 0
	for i := range listings {
		l := &listings[i]
		whole := pinned[l.kind]
		approved, refused := sift("s", l, [][]byte{[]byte(whole)}, 1<<20)
		if len(refused) > 0 {
			t.Fatalf("%s: %v", l.kind, refused)
		}
		known := []Known{{ID: 1, Kind: l.kind, Name: approved[0].Name, State: Approved, Offered: approved[0].Hash, Risk: "read"}}
		if plan := Reconcile(known, approved); !plan.Empty() {
			t.Errorf("%s: without a change: %+v", l.kind, plan)
		}
		for _, m := range mutations(t, whole) {
			total++
			offered, _ := sift("s", l, [][]byte{[]byte(m.definition)}, 1<<20)
			plan := Reconcile(known, offered)
			same := len(plan.Update) == 1 && plan.Update[0].Redefined && plan.Update[0].State == Changed
			other := len(plan.Missing) == 1 && len(plan.Update) == 0
			if !same && !other || other && m.what != "/"+l.key && m.what != "" && len(offered) > 0 {
				t.Errorf("%s %s is not pinned: %s\n%+v", l.kind, m.what, m.definition, plan)
			}
			differences, err := difference.Diff([]byte(whole), []byte(m.definition))
			if err != nil || len(differences) == 0 {
				t.Errorf("%s %s is no difference for who looks: %v", l.kind, m.what, err)
			}
		}
	}
	if total < 230 {
		t.Errorf("only %d changes", total)
	}
	t.Logf("%d changes", total)
}

// TestT03_InstructionsArePinned: they are an entry like the others.
func TestT03_InstructionsArePinned(t *testing.T) {
	var before, after Discovery
	before.instruct("Read first.")
	after.instruct("Read first.\u200b")
	known := []Known{{ID: 1, Kind: Instructions, Name: InstructionsName, State: Approved, Offered: before.Entries[0].Hash}}
	if plan := Reconcile(known, after.Entries); len(plan.Update) != 1 || plan.Update[0].State != Changed {
		t.Errorf("%+v", plan)
	}
	if plan := Reconcile(known, nil); len(plan.Missing) != 1 {
		t.Errorf("gone: %+v", plan)
	}
}
