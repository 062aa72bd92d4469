package policy

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/warder-gateway/warder/internal/fault"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// maxFailures is how many failing tests one error describes.
const maxFailures = 10

// Check compiles the document's rules with the given roles and runs its tests.
// Lookup gives the category of what a test is about, from the catalogue (the
// target that it gets has none yet), users the roles of a user; what either does
// not know counts as unclassified and as a user without roles, and the error
// says so if the test fails. The deny overlay takes no part: it says what is
// revoked now, and a document is for longer.
//
// The error is fault.Invalid and names the failing tests by line, or that of ctx.
func (d *Document) Check(
	ctx context.Context,
	roles []*snapshotv1.Role,
	lookup func(Target) (snapshotv1.Risk, bool),
	users func(name string) (roles []string, ok bool),
) error {
	failures, err := d.Failures(ctx, roles, lookup, users)
	if err != nil || len(failures) == 0 {
		return err
	}
	text := fmt.Sprintf("%d of %d tests of the document fail:", len(failures), len(d.Tests))
	for _, failure := range failures[:min(len(failures), maxFailures)] {
		text += fmt.Sprintf("\n  line %d: %s", failure.Line, failure.Text)
	}
	return fault.New(fault.Invalid, text)
}

// CheckTest is the check of a document's own tests.
const CheckTest = "test-fails"

// Failures is Check with a remark for each test that fails. The error is that of
// Compile, or that of ctx: conditions cost what who wrote them likes, a test some
// seconds at most, and there may be many. It is looked at between tests.
func (d *Document) Failures(
	ctx context.Context,
	roles []*snapshotv1.Role,
	lookup func(Target) (snapshotv1.Risk, bool),
	users func(name string) (roles []string, ok bool),
) ([]Remark, error) {
	set, err := Compile(0, d.Rules, roles, nil, d.Limits...)
	if err != nil {
		return nil, err
	}
	var failures []Remark
	for i := range d.Tests {
		t := &d.Tests[i]
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("run test %d of %d: %w", i+1, len(d.Tests), err)
		}
		if failure := t.run(set, lookup, users); failure != "" {
			failures = append(failures, Remark{t.Line, t.Column, SeverityError, CheckTest, failure})
		}
	}
	return failures, nil
}

// run returns how the test fails, or "".
func (t *Test) run(set *Set, lookup func(Target) (snapshotv1.Risk, bool), users func(string) ([]string, bool)) string {
	var notes []string
	caller := t.As
	if caller.User != "" && !t.RolesGiven {
		roles, found := users(caller.User)
		if !found {
			notes = append(notes, fmt.Sprintf("there is no user %s, so no roles", caller.User))
		}
		caller.Roles = roles
	}
	target := t.Target
	category, found := lookup(target)
	if !found {
		category = snapshotv1.Risk_RISK_UNCLASSIFIED
		notes = append(notes, fmt.Sprintf("the %s is not in the catalogue, so unclassified", target.Kind))
	}
	target.Risk = category
	got := Decide(set, &Request{Principal: &caller, Method: t.Method, Target: target, Facts: t.Facts})
	if got.Effect == t.Expect {
		return ""
	}
	notes = append([]string{fmt.Sprintf("%s: %s", got.Rule, got.Reason)}, notes...)
	return fmt.Sprintf("%s %s %s: expected %s, got %s (%s)",
		cmp.Or(caller.User, caller.Application, "a caller without a name"), t.verb(), &target,
		effectName(t.Expect), effectName(got.Effect), strings.Join(notes, "; "))
}

// verb says what the test's caller does to the target.
func (t *Test) verb() string {
	switch {
	case t.Method != t.Target.Kind.Method():
		return "with " + t.Method + " on"
	case t.Target.Kind == Prompt:
		return "gets"
	case t.Target.Kind == Resource:
		return "reads"
	}
	return "calls"
}

func effectName(e snapshotv1.Effect) string {
	if e == snapshotv1.Effect_EFFECT_ALLOW {
		return "allow"
	}
	return "deny"
}
