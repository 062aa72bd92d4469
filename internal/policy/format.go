package policy

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/warder-gateway/warder/internal/risk"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// FormatRule returns a rule as one entry of the rules of a document: YAML, each field
// on a line of its own, always in the same order.
func FormatRule(r *snapshotv1.Rule) string {
	var e entry
	e.text("name", r.GetName())
	if r.GetPriority() != 0 {
		e.field("priority", fmt.Sprint(r.GetPriority()))
	}
	e.field("effect", effectName(r.GetEffect()))
	e.text("reason", r.GetReason())
	e.subjects(r)
	e.targets(r)
	e.list("methods", r.GetMethods())
	e.text("when", r.GetWhen())
	return e.String()
}

// FormatLimit is FormatRule for a limit.
func FormatLimit(l *snapshotv1.Limit) string {
	var e entry
	e.text("name", l.GetName())
	e.text("per", PerName(l.GetPer()))
	e.field("calls", fmt.Sprint(l.GetCalls()))
	e.field("window", Span(l.GetWindow().AsDuration()))
	e.field("burst", fmt.Sprint(l.GetBurst()))
	e.subjects(l)
	e.targets(l)
	return e.String()
}

// Span returns a span of time as people write it, also in a document: 1h, where
// time.Duration says 1h0m0s.
func Span(d time.Duration) string {
	text := d.String()
	for _, unit := range []string{"m", "h"} {
		if before, whole := strings.CutSuffix(text, unit+zeros[unit]); whole {
			text = before + unit
		}
	}
	return text
}

// zeros are what is left out behind a unit of time.
var zeros = map[string]string{"m": "0s", "h": "0m"}

// entry is an entry of a list in YAML.
type entry struct{ strings.Builder }

func (e *entry) field(name, value string) {
	lead := "  "
	if e.Len() == 0 {
		lead = "- "
	}
	fmt.Fprintf(e, "%s%s: %s\n", lead, name, value)
}

func (e *entry) text(name, value string) {
	if value != "" {
		e.field(name, quoted(value))
	}
}

func (e *entry) list(name string, values []string) {
	if len(values) == 0 {
		return
	}
	all := make([]string, len(values))
	for i, value := range values {
		all[i] = quoted(value)
	}
	e.field(name, "["+strings.Join(all, ", ")+"]")
}

func (e *entry) subjects(of interface {
	GetUsers() []string
	GetGroups() []string
	GetRoles() []string
	GetApplications() []string
}) {
	e.list("users", of.GetUsers())
	e.list("groups", of.GetGroups())
	e.list("roles", of.GetRoles())
	e.list("applications", of.GetApplications())
}

func (e *entry) targets(of interface {
	GetTools() []string
	GetPrompts() []string
	GetResources() []string
	GetRisks() []snapshotv1.Risk
}) {
	e.list("tools", of.GetTools())
	e.list("prompts", of.GetPrompts())
	e.list("resources", of.GetResources())
	var names []string
	for _, category := range of.GetRisks() {
		names = append(names, risk.Name(category))
	}
	e.list("risk", names)
}

// plainText is what YAML takes for text without quotes, but for the words that it
// knows.
var plainText = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*$`)

// knownWords are those that some YAML takes for something else than text.
var knownWords = map[string]bool{"true": true, "false": true, "null": true, "yes": true, "no": true, "on": true, "off": true, "y": true, "n": true}

// quoted returns a text as YAML, in quotes if it needs them.
func quoted(text string) string {
	switch {
	case plainText.MatchString(text) && !knownWords[strings.ToLower(text)]:
		return text
	case !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	out, err := jsontext.AppendQuote(nil, text)
	if err != nil {
		return "''" // It is not UTF-8, which no document is.
	}
	return string(out)
}
