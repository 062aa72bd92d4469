package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/finding"
	"github.com/warder-gateway/warder/internal/mcp"
)

// What alerts are about. Their target is always a server, so that a server cannot
// open more alerts than there are kinds, whatever it offers.
const (
	// AlertChanged says that approved definitions are others now.
	AlertChanged = "definition-changed"
	// AlertFlapping says that they keep changing.
	AlertFlapping = "server-flapping"
	// AlertFinding says that a new definition has hard findings.
	AlertFinding = "hard-finding"
	// AlertAlike says that names look like those of another server.
	AlertAlike = "look-alike"
	// AlertIdentity says that the server calls itself differently, or in a way that
	// has hard findings.
	AlertIdentity = "identity-changed"
	// AlertAddress says that somebody moved the server.
	AlertAddress = "address-changed"
	// AlertFailing says that the server cannot be discovered for long.
	AlertFailing = "server-failing"
)

const (
	// failingLong is how long a server fails before that is an alert.
	failingLong = 15 * time.Minute
	// maxNamed bounds the entries that the text of an alert names.
	maxNamed = 5
)

// alarm opens alerts about one server, in the transaction that found the reason.
// Its methods report whether an alert says what none did before, where the reason
// may stand for long.
type alarm struct {
	tx     *store.Tx
	server string
}

// discovered opens the alerts of a discovery; row is the server as it was.
func (a alarm) discovered(ctx context.Context, row db.LockServerRow, found *Discovery, plan *Plan, alike []Refusal) (news bool, err error) {
	if changed := plan.blocked(a.server); len(changed) > 0 {
		if err := a.changed(ctx, changed); err != nil {
			return false, err
		}
	}
	if hard := plan.suspicious(a.server); len(hard) > 0 {
		if err := a.raise(ctx, AlertFinding, "Hard findings in "+some(hard)+". Look at them before you approve: warder server show "+a.server); err != nil {
			return false, err
		}
	}
	if len(alike) > 0 {
		var names []string
		for _, r := range alike {
			names = append(names, r.Kind.FullName(a.server, r.Name))
		}
		if news, err = a.state(ctx, AlertAlike, "Refused, because the name looks like that of another server's: "+some(names)+"."); err != nil {
			return false, err
		}
	}
	if row.LastError != "" {
		if err := a.close(ctx, AlertFailing); err != nil {
			return false, err
		}
	}
	identified, err := a.identity(ctx, row.ClaimedName, found)
	return news || identified, err
}

// changed counts a change of approved definitions. One alert is open for all of
// them; a server that changes again and again makes it one about that.
func (a alarm) changed(ctx context.Context, names []string) error {
	text := "Another definition than was approved, blocked until a person approves it: " + some(names) + "."
	counted, err := a.tx.CountChange(ctx, db.CountChangeParams{Target: a.server, Text: text})
	if err != nil {
		return fmt.Errorf("count changes of %s: %w", a.server, err)
	}
	if counted > 0 {
		return nil
	}
	return a.raise(ctx, AlertChanged, text)
}

// identity looks at what the server says of itself.
func (a alarm) identity(ctx context.Context, before string, found *Discovery) (news bool, err error) {
	now := found.claimedName()
	if before != "" && before != now {
		text := fmt.Sprintf("It called itself %q and calls itself %q now: another program may answer at its address.",
			finding.Visible(before), finding.Visible(now))
		if err := a.raise(ctx, AlertIdentity, text); err != nil {
			return false, err
		}
	}
	if found.ServerInfo == nil {
		return false, nil
	}
	about := append(append([]byte(`{"serverInfo":`), found.ServerInfo...), '}')
	findings := scan(Subject{Kind: Instructions, Server: a.server, Definition: about}, nil)
	if finding.Worst(findings) != finding.Hard {
		return false, nil
	}
	return a.state(ctx, AlertIdentity, "What it says of itself has hard findings: "+findings[0].Explanation)
}

// failed opens an alert about a server that fails for long; row is the server as it
// was.
func (a alarm) failed(ctx context.Context, row db.LockServerRow, reason string) (news bool, err error) {
	if row.FailingSince == nil || time.Since(*row.FailingSince) < failingLong {
		return false, nil
	}
	return a.state(ctx, AlertFailing, "It cannot be discovered since "+row.FailingSince.UTC().Format("2006-01-02 15:04 MST")+
		", so that nobody knows whether what it offers has changed: "+reason)
}

// raise says that something happened.
func (a alarm) raise(ctx context.Context, kind, text string) error {
	return Raise(ctx, a.tx, kind, a.server, text)
}

// Raise opens an alert about something that happened to a server, or counts up the
// one that is open.
func Raise(ctx context.Context, tx *store.Tx, kind, server, text string) error {
	if err := tx.RaiseAlert(ctx, db.RaiseAlertParams{Kind: kind, Target: server, Text: text}); err != nil {
		return fmt.Errorf("raise alert %s of %s: %w", kind, server, err)
	}
	return nil
}

// state says that something is so; it is news only if the last alert of the kind
// said something else.
func (a alarm) state(ctx context.Context, kind, text string) (news bool, err error) {
	rows, err := a.tx.StateAlert(ctx, db.StateAlertParams{Kind: kind, Target: a.server, Text: text})
	if err != nil {
		return false, fmt.Errorf("state alert %s of %s: %w", kind, a.server, err)
	}
	return rows > 0, nil
}

// close ends alerts whose reason is gone.
func (a alarm) close(ctx context.Context, kinds ...string) error {
	_, err := a.tx.CloseAlertsOf(ctx, db.CloseAlertsOfParams{ClosedBy: a.tx.Actor(), Kinds: kinds, Target: a.server})
	if err != nil {
		return fmt.Errorf("close alerts of %s: %w", a.server, err)
	}
	return nil
}

// blocked returns the full names of what was approved once and came with another
// definition.
func (p *Plan) blocked(server string) (names []string) {
	for _, u := range p.Update {
		if u.Redefined && u.State == Changed {
			names = append(names, u.Known.Kind.FullName(server, u.Known.Name))
		}
	}
	return names
}

// suspicious returns the full names of what is new and has hard findings.
func (p *Plan) suspicious(server string) (names []string) {
	for _, e := range p.fresh() {
		if finding.Worst(e.Findings) == finding.Hard {
			names = append(names, e.Kind.FullName(server, e.Name))
		}
	}
	return names
}

// some lists names for people, a few of them.
func some(names []string) string {
	names = slices.Sorted(slices.Values(names))
	more := ""
	if len(names) > maxNamed {
		more = fmt.Sprintf(" and %d more", len(names)-maxNamed)
		names = names[:maxNamed]
	}
	for i, name := range names {
		names[i] = finding.Visible(cut(name, maxURI))
	}
	return strings.Join(names, ", ") + more
}

// maxClaimedName bounds what is kept of the name that a server gives itself, in
// bytes.
const maxClaimedName = 200

// claimedName is what the server calls itself; empty if it does not say. What a
// database cannot keep is left out.
func (d *Discovery) claimedName() (text string) {
	err := mcp.Members(d.ServerInfo, func(name string, value mcp.Span) (err error) {
		if name == "name" {
			text, err = mcp.String(value.Of(d.ServerInfo))
		}
		return err
	})
	if err != nil {
		return ""
	}
	return cut(strings.ReplaceAll(text, "\x00", ""), maxClaimedName)
}
