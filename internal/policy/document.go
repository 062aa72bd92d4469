package policy

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/warder-gateway/warder/internal/risk"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Limits of a document.
const (
	MaxDocument = 1 << 20 // bytes
	MaxRules    = 10_000
	MaxTests    = 10_000
)

// Document is a policy as people write it: YAML with the members rules, limits
// and tests.
//
//	rules:
//	  - name: no-deletes         # required, distinct; also the rule's id
//	    priority: 10             # lower first; 0 if left out
//	    effect: deny             # required: allow or deny
//	    reason: Deleting repositories needs a person
//	    users: [ana]             # and groups, roles, applications, methods
//	    tools: ["github/delete_*"] # and prompts, resources
//	    risk: [destructive]
//	    when: 'arguments.repo.startsWith("prod-")' # a condition in CEL
//	limits:
//	  - name: per-user           # required, distinct
//	    per: user                # required: user, application, server, tool or all
//	    calls: 600               # required
//	    window: 1m               # required: 1s to 24h
//	    burst: 60                # a tenth of the calls if left out
//	    roles: [developer]       # and users, groups, applications, tools, prompts, resources, risk
//	tests:
//	  - as: {user: ana, application: cursor, roles: [developer]}
//	    call: github/delete_repo # a tool; or get: a prompt, or read: a resource
//	    arguments: {repo: prod-site} # and client: {name, version}, at: a time
//	    expect: deny             # required: allow or deny
type Document struct {
	Rules  []*snapshotv1.Rule
	Limits []*snapshotv1.Limit
	Tests  []Test

	// rules and limits have the places of those, in the same order.
	rules, limits []*node
}

// ParseDocument reads a document. It refuses what it does not know, rather than
// guess: a field, an effect, a category, a method. The error is fault.Invalid
// and names, of each rule, limit and test that is wrong, line and column, the field,
// and what to do; RemarksOf parts it. Whether the tests hold is for Check to say.
func ParseDocument(text []byte) (*Document, error) {
	root, err := parseYAML(text)
	if err != nil {
		return nil, err
	}
	top, err := root.fields([]string{"rules", "limits", "tests"})
	if err != nil {
		return nil, err
	}
	if top["rules"] == nil {
		return nil, root.wrong("the document has no rules; write \"rules: []\" for none")
	}
	document, wrong := &Document{}, &flaws{}
	wrong.add(document.parseRules(top["rules"]))
	wrong.add(document.parseLimits(top["limits"]))
	wrong.add(document.parseTests(top["tests"]))
	if err := wrong.asError(); err != nil {
		return nil, err
	}
	return document, nil
}

var ruleFields = []string{
	"name", "priority", "effect", "reason", "users", "groups", "roles", "applications",
	"tools", "prompts", "resources", "risk", "methods", "when",
}

func (d *Document) parseRules(n *node) error {
	items, err := n.items(MaxRules)
	if err != nil {
		return err
	}
	lines, conditions, wrong := map[string]int{}, 0, &flaws{}
	for _, item := range items {
		rule, err := parseRule(item)
		if err != nil {
			wrong.add(err)
			continue
		}
		if line, twice := lines[rule.GetName()]; twice {
			wrong.add(item.wrong("the rule in line %d is called %q too; give each its own name", line, rule.GetName()))
			continue
		}
		lines[rule.GetName()] = item.line()
		if rule.GetWhen() != "" {
			conditions++
		}
		if conditions > MaxConditions {
			wrong.add(item.wrong("more than %d rules have a condition", MaxConditions))
			break
		}
		d.Rules, d.rules = append(d.Rules, rule), append(d.rules, item)
	}
	return wrong.asError()
}

func parseRule(n *node) (*snapshotv1.Rule, error) {
	fields, err := n.fields(ruleFields)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"name", "effect"} {
		if fields[name] == nil {
			return nil, n.wrong("the rule has no %s", name)
		}
	}
	r, wrong := &snapshotv1.Rule{}, &flaws{}
	for _, parse := range []func() error{
		func() (err error) { r.Name, err = fields["name"].ruleName(); return },
		func() (err error) { r.Priority, err = fields["priority"].priority(); return },
		func() (err error) { r.Effect, err = fields["effect"].effect(); return },
		func() (err error) { r.Reason, err = fields["reason"].reason(); return },
		func() (err error) { r.Users, err = fields["users"].list(); return },
		func() (err error) { r.Groups, err = fields["groups"].list(); return },
		func() (err error) { r.Roles, err = fields["roles"].list(); return },
		func() (err error) { r.Applications, err = fields["applications"].list(); return },
		func() (err error) { r.Tools, err = fields["tools"].globs(Tool); return },
		func() (err error) { r.Prompts, err = fields["prompts"].globs(Prompt); return },
		func() (err error) { r.Resources, err = fields["resources"].globs(Resource); return },
		func() (err error) { r.Risks, err = fields["risk"].risks(); return },
		func() (err error) { r.Methods, err = fields["methods"].methods(); return },
		func() (err error) { r.When, err = fields["when"].condition(); return },
	} {
		wrong.add(parse())
	}
	if err := wrong.asError(); err != nil {
		return nil, err
	}
	r.Id = r.GetName()
	if !methodsFit(r) {
		return nil, fields["methods"].wrong("the rule can never match: none of its methods is about what its globs name (%s are methods of tools, %s of prompts, %s of resources)",
			few(methodsOf[Tool]), few(methodsOf[Prompt]), few(methodsOf[Resource]))
	}
	return r, nil
}

// methodsFit reports whether one of the rule's methods is about a kind that the
// rule is about.
func methodsFit(r *snapshotv1.Rule) bool {
	globs := [kinds][]string{r.GetTools(), r.GetPrompts(), r.GetResources()}
	named := slices.ContainsFunc(globs[:], func(list []string) bool { return len(list) > 0 })
	for kind, list := range globs {
		if named && len(list) == 0 {
			continue
		}
		if len(r.GetMethods()) == 0 || slices.ContainsFunc(r.GetMethods(), Kind(kind).takes) {
			return true
		}
	}
	return false
}

// maxReason bounds a rule's reason, in bytes: it goes to everybody who is denied, and
// into the audit each time.
const maxReason = 1000

func (n *node) reason() (string, error) {
	text, err := n.text()
	if err == nil && len(text) > maxReason {
		err = n.wrong("a reason is at most %d bytes long; put the rest where people can read it, and the way there in here", maxReason)
	}
	return text, err
}

// ruleName reads the name of a rule.
func (n *node) ruleName() (string, error) {
	name, err := n.text()
	switch {
	case err != nil:
		return "", err
	case name != strings.TrimSpace(name) || len(name) > 200:
		return "", n.wrong("a rule's name is at most 200 bytes long, without space around it")
	}
	if err := nameIsFree(name); err != nil {
		return "", n.wrong("%v; choose another", err)
	}
	return name, nil
}

func (n *node) priority() (int32, error) {
	if n == nil {
		return 0, nil
	}
	if _, whole := n.value.(*ast.IntegerNode); !whole {
		return 0, n.wrong("a priority is a whole number")
	}
	number, err := strconv.ParseInt(n.value.GetToken().Value, 10, 32)
	if err != nil {
		return 0, n.wrong("a priority is a whole number from %d to %d, without a prefix", math.MinInt32, math.MaxInt32)
	}
	return int32(number), nil
}

func (n *node) effect() (snapshotv1.Effect, error) {
	text, err := n.text()
	if err != nil {
		return 0, err
	}
	switch text {
	case "allow":
		return snapshotv1.Effect_EFFECT_ALLOW, nil
	case "deny":
		return snapshotv1.Effect_EFFECT_DENY, nil
	}
	return 0, n.wrong("%q is neither allow nor deny%s", text, suggestion(text, []string{"allow", "deny"}))
}

func (n *node) globs(kind Kind) ([]string, error) {
	return n.listOf(func(item *node, text string) error {
		if _, err := parseGlob(kind, text); err != nil {
			return item.wrong("%v", err)
		}
		return nil
	})
}

func (n *node) risks() (risks []snapshotv1.Risk, err error) {
	_, err = n.listOf(func(item *node, text string) error {
		r, err := risk.Parse(text)
		if err != nil {
			return item.wrong("%v%s", err, suggestion(text, risk.Names()))
		}
		risks = append(risks, r)
		return nil
	})
	return risks, err
}

// methods reads a list of methods that a rule can be about. Methods that list
// are refused: what is listed is what may be called, so a rule about them would
// do nothing.
func (n *node) methods() ([]string, error) {
	known := Methods()
	return n.listOf(func(item *node, text string) error {
		switch {
		case slices.Contains(known, text):
			return nil
		case strings.HasSuffix(text, "/list"):
			return item.wrong("what is listed is what may be used; write %s, %s or %s", MethodCall, MethodGet, MethodRead)
		}
		return item.wrong("no decision is made about method %q; there are %s%s", text, few(known), suggestion(text, known))
	})
}

// condition reads a condition in CEL and compiles it.
func (n *node) condition() (string, error) {
	text, err := n.text()
	if err != nil || text == "" {
		return "", err
	}
	if _, err := compileCondition(text); err != nil {
		at := &errAt{line: 1, column: 1, text: err.Error()}
		errors.As(err, &at)
		return "", n.wrongAt(at.line, at.column, "%s", at.text)
	}
	return text, nil
}

// suggestion returns a question that offers the likeliest of the known words,
// or nothing.
func suggestion(word string, known []string) string {
	best := slices.MinFunc(known, func(a, b string) int { return cmp.Compare(distance(word, a), distance(word, b)) })
	if distance(strings.ToLower(word), best) > 2 {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance returns how many letters must be changed, added or removed to turn
// one word into the other. Words of more than 32 bytes are far from all others.
func distance(a, b string) int {
	if len(a) > 32 || len(b) > 32 {
		return 32
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
