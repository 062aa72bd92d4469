package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Test is what a document says of itself.
type Test struct {
	// As is the caller.
	As principal.Principal
	// RolesGiven says that As.Roles are to be used as they are; otherwise they are
	// those that the user has.
	RolesGiven bool
	// Target is what is called, got or read; its category is for Check to find.
	Target Target
	// Method is what is decided on: the main one of the target's kind, if the test
	// names no other.
	Method string
	// Facts are what conditions see of the call.
	Facts  Facts
	Expect snapshotv1.Effect
	// Line and Column are where the test stands in the document, from 1.
	Line, Column int
}

func (d *Document) parseTests(n *node) error {
	if n == nil {
		return nil
	}
	items, err := n.items(MaxTests)
	if err != nil {
		return err
	}
	wrong := &flaws{}
	for _, item := range items {
		test, err := parseTest(item)
		if err != nil {
			wrong.add(err)
			continue
		}
		d.Tests = append(d.Tests, test)
	}
	return wrong.asError()
}

func parseTest(n *node) (Test, error) {
	fields, err := n.fields([]string{"as", "call", "get", "read", "method", "arguments", "client", "at", "expect"})
	if err != nil {
		return Test{}, err
	}
	for _, name := range []string{"as", "expect"} {
		if fields[name] == nil {
			return Test{}, n.wrong("the test has no %s", name)
		}
	}
	at := n.begins()
	test := Test{Line: at.Line, Column: at.Column}
	if err := test.parseCaller(fields["as"]); err != nil {
		return Test{}, err
	}
	if err := test.parseTarget(n, fields); err != nil {
		return Test{}, err
	}
	if err := test.parseFacts(fields); err != nil {
		return Test{}, err
	}
	test.Expect, err = fields["expect"].effect()
	return test, err
}

// aboutKinds has the field of a test that names a target of each kind.
var aboutKinds = [kinds]string{Tool: "call", Prompt: "get", Resource: "read"}

// parseTarget reads what the test is about: exactly one of call, get and read,
// and the method if it is not the main one.
func (t *Test) parseTarget(n *node, fields map[string]*node) error {
	var about *node
	for kind, name := range aboutKinds {
		switch {
		case fields[name] == nil:
		case about != nil:
			return fields[name].wrong("a test is about one thing; write another test")
		default:
			about, t.Target.Kind = fields[name], Kind(kind)
		}
	}
	if about == nil {
		return n.wrong("the test has no call (of a tool), get (of a prompt) or read (of a resource)")
	}
	text, err := about.text()
	if err != nil {
		return err
	}
	t.Target.Server, t.Target.Name, _ = strings.Cut(text, "/")
	if t.Target.Server == "" || t.Target.Name == "" {
		return about.wrong("%q is not \"server/%s\"", text, t.Target.Kind)
	}
	method, err := fields["method"].text()
	if err != nil {
		return err
	}
	t.Method = cmp.Or(method, t.Target.Kind.Method())
	if known := methodsOf[t.Target.Kind]; !slices.Contains(known, t.Method) {
		return fields["method"].wrong("no decision about a %s is made for method %q; there are %s%s",
			t.Target.Kind, t.Method, few(known), suggestion(t.Method, known))
	}
	return nil
}

func (t *Test) parseCaller(n *node) error {
	fields, err := n.fields([]string{"user", "application", "roles", "groups", "key", "issuer"})
	if err != nil {
		return err
	}
	t.RolesGiven = fields["roles"] != nil
	for _, parse := range []func() error{
		func() (err error) { t.As.User, err = fields["user"].text(); return },
		func() (err error) { t.As.Application, err = fields["application"].text(); return },
		func() (err error) { t.As.Roles, err = fields["roles"].list(); return },
		func() (err error) { t.As.Groups, err = fields["groups"].list(); return },
		func() (err error) { t.As.KeyID, err = fields["key"].text(); return },
		func() (err error) { t.As.Issuer, err = fields["issuer"].text(); return },
	} {
		if err := parse(); err != nil {
			return err
		}
	}
	return nil
}

// parseFacts reads what conditions see of the call.
func (t *Test) parseFacts(fields map[string]*node) (err error) {
	if arguments := fields["arguments"]; arguments != nil {
		switch {
		case !arguments.isMapping():
			return arguments.wrong("arguments are an object; write {name: value}")
		case t.Method != MethodCall && t.Method != MethodGet:
			return arguments.wrong("requests of %s have no arguments that a client chooses", t.Method)
		}
		if t.Facts.Arguments, err = arguments.json(); err != nil {
			return err
		}
	}
	if client := fields["client"]; client != nil {
		names, err := client.fields([]string{"name", "version"})
		if err != nil {
			return err
		}
		if t.Facts.Client.Name, err = names["name"].text(); err != nil {
			return err
		}
		if t.Facts.Client.Version, err = names["version"].text(); err != nil {
			return err
		}
	}
	text, err := fields["at"].text()
	if err != nil || text == "" {
		return err
	}
	if t.Facts.Now, err = time.Parse(time.RFC3339, text); err != nil {
		return fields["at"].wrong("%q is not a time; write one as 2026-11-22T10:00:00Z", text)
	}
	return nil
}
