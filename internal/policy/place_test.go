package policy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// However a condition is written in YAML, an error points at the character.
func TestConditionErrorPointsIntoTheDocument(t *testing.T) {
	const rule = "rules:\n  - name: r\n    effect: deny\n"
	for why, when := range map[string]string{
		"plain":          "    when: principal.user == 'ü' && usr == 'b'\n",
		"single quotes":  "    when: 'principal.user == ''a'' && usr == \"b\"'\n",
		"double quotes":  "    when: \"principal.user == \\\"a\\\" && usr == 'b'\"\n",
		"literal":        "    when: |\n      principal.user == 'a' &&\n        usr == 'b'\n",
		"literal, clip":  "    when: |-\n\n      principal.user == 'a' &&\n\n      usr == 'b'\n",
		"folded":         "    when: >\n      principal.user == 'a' &&\n      usr == 'b'\n",
		"plain, folded":  "    when: principal.user == 'a' &&\n      usr == 'b'\n",
		"quotes, folded": "    when: 'principal.user == \"a\" &&\n      usr == \"b\"'\n",
		"flow":           "  - {name: s, effect: allow, when: 'usr == \"b\"'}\n",
		"windows":        "    when: |\r\n      principal.user == 'a' &&\r\n        usr == 'b'\r\n",
	} {
		document := rule + when
		before, _, _ := strings.Cut(document, "usr ==")
		line, column := 1+strings.Count(before, "\n"), 1+len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
		_, err := policy.ParseDocument([]byte(document))
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", why, err)
			continue
		}
		got := policy.RemarkOf(err)
		if got.Line != line || got.Column != column || got.Check != policy.CheckInvalid || !strings.Contains(got.Text, "when: there is no 'usr'") {
			t.Errorf("%s: %+v, want it at %d:%d", why, got, line, column)
		}
	}
	// An escape that stands for another character: the place is that of the text.
	_, err := policy.ParseDocument([]byte(rule + `    when: "\u0075sr == 'b' && usr == 'c'"`))
	if got := policy.RemarkOf(err); got.Line != 4 {
		t.Errorf("%+v", got)
	}
}

func TestConditionOfATestSeesItsFacts(t *testing.T) {
	const document = `rules:
  - {name: prod, effect: deny, when: 'arguments.repo.startsWith("prod-")'}
  - {name: night, effect: deny, when: 'now.getHours() < 6'}
  - {name: old, effect: deny, when: 'client.name == "cursor" && client.version < "2"'}
  - {name: corp, effect: deny, when: 'principal.issuer == "corp" || principal.key == "k1" || "ops" in principal.groups'}
  - {name: all, effect: allow, priority: 1}
tests:
`
	for test, want := range map[string]bool{
		"{as: {user: a}, call: s/t, expect: allow}":                                                  true,
		"{as: {user: a}, call: s/t, arguments: {repo: prod-x}, expect: deny}":                        true,
		"{as: {user: a}, call: s/t, arguments: {repo: dev}, expect: deny}":                           false,
		"{as: {user: a}, call: s/t, arguments: {repo: 7}, expect: deny}":                             true,
		"{as: {user: a}, call: s/t, at: 2026-11-22T03:00:00Z, expect: deny}":                         true,
		"{as: {user: a}, call: s/t, at: 2026-11-22T03:00:00-05:00, expect: allow}":                   true,
		"{as: {user: a}, call: s/t, client: {name: cursor, version: '1'}, expect: deny}":             true,
		"{as: {user: a}, call: s/t, client: {name: cursor}, expect: allow}":                          true,
		"{as: {user: a, issuer: corp}, call: s/t, expect: deny}":                                     true,
		"{as: {user: a, groups: [ops], issuer: x, key: x}, call: s/t, expect: deny}":                 true,
		"{as: {user: a}, call: s/t, arguments: {n: 9007199254740993, f: 1.5, l: []}, expect: allow}": true,
	} {
		failures, err := parse(t, document+"  - "+test+"\n").Failures(t.Context(), nil, func(policy.Target) (category snapshotv1.Risk, ok bool) { return read, true }, func(string) ([]string, bool) { return nil, true })
		if err != nil || (len(failures) == 0) != want {
			t.Errorf("%s: %+v, %v", test, failures, err)
		}
		if len(failures) > 0 && (failures[0].Line != 8 || failures[0].Column != 5 || failures[0].Check != policy.CheckTest || failures[0].Severity != policy.SeverityError) {
			t.Errorf("%+v", failures[0])
		}
	}
	for test, want := range map[string]string{
		"{as: {user: a}, call: s/t, at: noon, expect: allow}":                          `line 8, column 36: tests[0].at: "noon" is not a time`,
		"{as: {user: a}, read: s/t, arguments: {uri: x}, expect: allow}":               `tests[0].arguments: requests of resources/read have no arguments`,
		"{as: {user: a}, call: s/t, client: {nam: x}, expect: allow}":                  `tests[0].client.nam: unknown field`,
		"{as: {user: a}, call: s/t, arguments: {n: 0x1F}, expect: allow}":              `tests[0].arguments.n: 0x1F is not a number of JSON`,
		"{as: {user: a}, call: s/t, arguments: {n: .inf}, expect: allow}":              `tests[0].arguments.n: this is no value of JSON`,
		"{as: {user: a}, call: s/t, arguments: {n: [1, {a: 1, a: 2}]}, expect: allow}": `line 8`,
		"{as: {user: a}, call: s/t, arguments: {1: 2}, expect: allow}":                 `a field's name is text`,
	} {
		if _, err := policy.ParseDocument([]byte(document + "  - " + test + "\n")); err == nil || !strings.Contains(fault.Text(err), want) {
			t.Errorf("%s: %v, want %s", test, err, want)
		}
	}
}

// Whoever may read may have a document checked: what it costs must end with his
// patience, or with that of the control plane.
func TestP13_TestsOfADocumentEndWithTheContext(t *testing.T) {
	document := "rules:\n"
	for i := range 20 {
		document += fmt.Sprintf("  - {name: r%d, effect: deny, when: 'principal.groups.exists(g, principal.groups.exists(h, g + h == \"x%d\"))'}\n", i, i)
	}
	groups := make([]string, 500)
	for i := range groups {
		groups[i] = fmt.Sprint("g", i)
	}
	document += "tests:\n"
	for i := range 300 {
		document += fmt.Sprintf("  - {as: {user: u%d, groups: [%s]}, call: a/b, expect: deny}\n", i, strings.Join(groups, ","))
	}
	parsed := parse(t, document)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := parsed.Failures(ctx, nil, func(policy.Target) (category snapshotv1.Risk, ok bool) { return read, true }, func(string) ([]string, bool) { return nil, true })
	if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 10*time.Second {
		t.Errorf("%v after %v", err, took)
	}
}
