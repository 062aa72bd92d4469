package policy

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/goccy/go-yaml/ast"

	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

var limitFields = []string{
	"name", "per", "calls", "window", "burst", "users", "groups", "roles", "applications", "tools", "prompts", "resources", "risk",
}

func (d *Document) parseLimits(n *node) error {
	if n == nil {
		return nil
	}
	items, err := n.items(MaxLimits)
	if err != nil {
		return err
	}
	lines, wrong := map[string]int{}, &flaws{}
	for _, item := range items {
		limit, err := parseLimit(item)
		if err != nil {
			wrong.add(err)
			continue
		}
		if line, twice := lines[limit.GetName()]; twice {
			wrong.add(item.wrong("the limit in line %d is called %q too; give each its own name", line, limit.GetName()))
			continue
		}
		lines[limit.GetName()] = item.line()
		d.Limits, d.limits = append(d.Limits, limit), append(d.limits, item)
	}
	return wrong.asError()
}

func parseLimit(n *node) (*snapshotv1.Limit, error) {
	fields, err := n.fields(limitFields)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"name", "per", "calls", "window"} {
		if fields[name] == nil {
			return nil, n.wrong("the limit has no %s", name)
		}
	}
	l, wrong := &snapshotv1.Limit{}, &flaws{}
	for _, parse := range []func() error{
		func() (err error) { l.Name, err = fields["name"].ruleName(); return },
		func() (err error) { l.Per, err = fields["per"].per(); return },
		func() (err error) { l.Calls, err = fields["calls"].count(); return },
		func() (err error) { l.Window, err = fields["window"].window(); return },
		func() (err error) { l.Burst, err = fields["burst"].count(); return },
		func() (err error) { l.Users, err = fields["users"].list(); return },
		func() (err error) { l.Groups, err = fields["groups"].list(); return },
		func() (err error) { l.Roles, err = fields["roles"].list(); return },
		func() (err error) { l.Applications, err = fields["applications"].list(); return },
		func() (err error) { l.Tools, err = fields["tools"].globs(Tool); return },
		func() (err error) { l.Prompts, err = fields["prompts"].globs(Prompt); return },
		func() (err error) { l.Resources, err = fields["resources"].globs(Resource); return },
		func() (err error) { l.Risks, err = fields["risk"].risks(); return },
	} {
		wrong.add(parse())
	}
	if err := wrong.asError(); err != nil {
		return nil, err
	}
	if fields["burst"] == nil {
		l.Burst = max(l.GetCalls()/10, 1)
	}
	return l, nil
}

func (n *node) per() (snapshotv1.LimitPer, error) {
	text, err := n.text()
	if err != nil {
		return 0, err
	}
	for per, name := range perNames {
		if name == text {
			return snapshotv1.LimitPer(per), nil
		}
	}
	return 0, n.wrong("%q has no bucket of its own; write user, application, server, tool, or all%s", text, suggestion(text, perNames[1:]))
}

// count reads a whole number from 1; 0 for a field that was left out.
func (n *node) count() (uint32, error) {
	if n == nil {
		return 0, nil
	}
	whole, ok := n.value.(*ast.IntegerNode)
	if ok {
		if number, fits := whole.Value.(uint64); fits && number >= 1 && number <= maxPerWindow {
			return uint32(number), nil
		}
	}
	return 0, n.wrong("this is a whole number from 1 to %d", maxPerWindow)
}

func (n *node) window() (*durationpb.Duration, error) {
	if _, number := n.value.(*ast.IntegerNode); number {
		return nil, n.wrong("a window has a unit; write 60s, 1m or 24h")
	}
	text, err := n.text()
	if err != nil {
		return nil, err
	}
	window, err := time.ParseDuration(text)
	if err != nil || window < MinWindow || window > MaxWindow {
		return nil, n.wrong("%q is not a window; write a time from 1s to 24h, such as 90s or 1m", text)
	}
	return durationpb.New(window), nil
}
