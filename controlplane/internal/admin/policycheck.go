package admin

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/risk"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

const (
	// maxChecks is how many documents may be checked at once. Whoever may read may have
	// one checked, and what its conditions cost is his choice.
	maxChecks = 2
	// testTime is how long the tests of a document may take; to be checked it also
	// waits for others in that time.
	testTime = 10 * time.Second
)

// tooSlow says that the tests of a document ran out of time, if that is what the error
// says while whoever asked still waits.
func tooSlow(ctx context.Context, err error) error {
	if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fault.Wrap(fault.Invalid, "the tests of the document take longer than "+testTime.String()+"; leave some out, or loops in conditions", err)
}

// checking takes a turn to check a document. The context ends with its time; done gives
// the turn back.
func (p policies) checking(ctx context.Context) (limited context.Context, done func(), err error) {
	limited, cancel := context.WithTimeout(ctx, testTime)
	select {
	case p.checks <- struct{}{}:
		return limited, func() { cancel(); <-p.checks }, nil
	case <-limited.Done():
		cancel()
	}
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	return nil, nil, fault.Newf(fault.Exhausted, "%d documents are being checked already; try again in a moment", maxChecks)
}

// CheckPolicy says all that ApplyPolicy would say of a document, and how it differs
// from a version.
func (p policies) CheckPolicy(ctx context.Context, r *connect.Request[adminv1.CheckPolicyRequest]) (*connect.Response[adminv1.CheckPolicyResponse], error) {
	row, err := p.version(ctx, r.Msg.GetVersion())
	if err != nil {
		return nil, err
	}
	limited, done, err := p.checking(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	response := &adminv1.CheckPolicyResponse{Version: row.Version}
	document, err := policy.ParseDocument([]byte(r.Msg.GetDocument()))
	if err != nil {
		response.Remarks = remarkMessages(policy.RemarksOf(err))
		return reply(response), nil
	}
	now, err := p.surroundings(ctx)
	if err != nil {
		return nil, err
	}
	remarks := document.Lint(now.known)
	failures, err := document.Failures(limited, now.roles, now.risk, now.rolesOf)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		failures = policy.RemarksOf(tooSlow(ctx, err))
	}
	response.Tests, response.FailedTests = int32(len(document.Tests)), int32(len(failures))
	remarks = append(remarks, failures...)
	slices.SortStableFunc(remarks, policy.ByPlace)
	response.Remarks = remarkMessages(remarks)
	if response.Changes, err = changesFrom(row, document); err != nil {
		return nil, err
	}
	return reply(response), nil
}

// changesFrom returns how a document differs from a version.
func changesFrom(row db.PolicyVersion, document *policy.Document) ([]*adminv1.RuleChange, error) {
	var before *policy.Document
	if row.Version > 0 {
		var err error
		if before, err = policy.ParseDocument([]byte(row.Document)); err != nil {
			return nil, fault.Wrap(fault.Precondition, "version "+versionName(row.Version)+" cannot be read today:\n"+fault.Text(err), err)
		}
	}
	var messages []*adminv1.RuleChange
	for _, c := range before.Diff(document) {
		messages = append(messages, &adminv1.RuleChange{What: c.What, Name: c.Name, Change: c.Change, Before: c.Before, After: c.After})
	}
	return messages, nil
}

func versionName(version int64) string { return strconv.FormatInt(version, 10) }

// surroundings are what there is around a document: what it is checked against, and
// what recorded calls are decided again with.
type surroundings struct {
	roles []*snapshotv1.Role
	known policy.Known

	users   map[string][]string // roles by user
	entries map[policy.Target]snapshotv1.Risk
}

// surroundings reads them as they are.
func (p policies) surroundings(ctx context.Context) (*surroundings, error) {
	s := &surroundings{users: map[string][]string{}, entries: map[policy.Target]snapshotv1.Risk{}}
	for _, read := range []func(context.Context, *db.Queries) error{s.readRoles, s.readUsers, s.readEntries, s.readNames} {
		if err := read(ctx, p.Store.Queries); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *surroundings) readRoles(ctx context.Context, q *db.Queries) error {
	all, err := readRoles(ctx, q)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, role := range all {
		compiled, err := snapshotRole(role)
		if err != nil {
			return err
		}
		s.roles, names[role.GetName()] = append(s.roles, compiled), true
	}
	s.known.Role = isIn(names)
	return nil
}

func (s *surroundings) readUsers(ctx context.Context, q *db.Queries) error {
	rows, err := q.ListUsers(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.RemovedAt == nil {
			s.users[row.Name] = row.Roles
		}
	}
	return nil
}

// readEntries reads the categories of all entries in the catalogue, approved or not:
// a document may be written before they are.
func (s *surroundings) readEntries(ctx context.Context, q *db.Queries) error {
	rows, err := q.ListEntries(ctx, db.ListEntriesParams{
		Kinds: kindNames([]catalog.Kind{catalog.Tool, catalog.Prompt, catalog.Resource, catalog.Template}),
	})
	if err != nil {
		return err
	}
	for _, row := range rows {
		category, err := risk.Parse(row.Risk)
		if err != nil {
			return err
		}
		s.entries[policy.Target{Kind: policyKind(catalog.Kind(row.Kind)), Server: row.Server, Name: row.Name}] = category
	}
	return nil
}

// readNames reads what remarks know. Groups come with people's tokens and are
// nobody's to list; where tokens are taken, so are users and applications.
func (s *surroundings) readNames(ctx context.Context, q *db.Queries) error {
	rows, err := q.ListServers(ctx)
	if err != nil {
		return err
	}
	servers := map[string]bool{}
	for _, row := range rows {
		servers[row.Name] = true
	}
	s.known.Server = isIn(servers)
	tokens, err := q.TokensAreTaken(ctx)
	if err != nil || tokens {
		return err
	}
	applications, err := q.ListApplications(ctx)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, row := range applications {
		names[row.Name] = true
	}
	s.known.Application = isIn(names)
	s.known.User = func(name string) bool { _, known := s.users[name]; return known }
	return nil
}

func isIn(names map[string]bool) func(string) bool {
	return func(name string) bool { return names[name] }
}

// risk returns the category of what a decision is about; t has none yet.
func (s *surroundings) risk(t policy.Target) (snapshotv1.Risk, bool) {
	category, found := s.entries[policy.Target{Kind: t.Kind, Server: t.Server, Name: t.Name}]
	return category, found
}

// rolesOf returns the roles that a user has.
func (s *surroundings) rolesOf(name string) ([]string, bool) {
	roles, known := s.users[name]
	return roles, known
}
