package terminal

import (
	"cmp"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/warder-gateway/warder/agent/internal/calls"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// The panes, in their order.
const (
	nodes = iota
	servers
	made
	logs
	panes
)

// newPanes returns the panes without rows.
func newPanes() [panes]pane {
	list := [panes]pane{
		nodes: {title: "Nodes", empty: "No node is known yet: the control plane says which there are.", columns: []column{
			{title: "NODE", most: 24}, {title: "REGION", most: 12, spare: 2}, {title: "STATE", most: 14},
			{title: "ROUND TRIP", most: 10, right: true}, {title: "CALLS", most: 6, right: true}, {title: "ADDRESS", spare: 1},
		}},
		servers: {title: "Servers", empty: "No server is declared in the agent's file, and none is assigned.", columns: []column{
			{title: "SERVER", most: 20}, {title: "KIND", most: 5, spare: 3}, {title: "STATE", most: 10}, {title: "PID", most: 8, right: true, spare: 5},
			{title: "UP", most: 8, right: true, spare: 4}, {title: "RESTARTS", most: 8, right: true, spare: 2},
			{title: "FROM", most: 13, spare: 1}, {title: "LAST ERROR"},
		}},
		made: {title: "Calls", tails: true, empty: "No call has come yet.", columns: []column{
			{title: "TIME", most: 8, spare: 3}, {title: "SERVER", most: 20}, {title: "CALL", least: 22},
			{title: "TOOK", most: 8, right: true, spare: 2}, {title: "RESULT", most: 32, spare: 1},
		}},
		logs: {title: "Logs", tails: true, empty: "Nothing was logged yet.", columns: []column{
			{title: "TIME", most: 8}, {title: "LEVEL", most: 5}, {title: "MESSAGE"},
		}},
	}
	for i := range list {
		list[i].level = least
	}
	return list
}

// take makes the rows of a state.
func (m *Model) take(s State) {
	old := m.state
	m.state = s
	m.panes[nodes].set(nodeRows(s.Uplink.Nodes, s.Now))
	m.panes[servers].set(serverRows(s.Servers, s.Now))
	m.panes[made].set(callRows(s.Calls, s.Now)) // The time of those that run goes on.
	if len(s.Logs) > 0 && (len(old.Logs) == 0 || s.Logs[len(s.Logs)-1].Number != old.Logs[len(old.Logs)-1].Number) {
		m.panes[logs].set(logRows(s.Logs, s.Now.Location()))
	}
	m.panes[logs].note = ""
	if s.Dropped > 0 {
		m.panes[logs].note = say(thousands(s.Dropped) + " older dropped")
	}
}

func nodeRows(list []Node, now time.Time) []row {
	rows := make([]row, len(list))
	for i, n := range list {
		state := cell{say("○ " + n.State), faint}
		round, running := cell{"-", faint}, cell{"-", faint}
		if n.RoundTrip > 0 {
			round = cell{say(trip(n.RoundTrip)), plain}
		}
		switch {
		case n.Up:
			state = cell{say("● " + n.State), good}
			running = cell{say(strconv.Itoa(n.Calls)), plain}
		case n.Why != "":
			state.style = warning
		}
		rows[i] = row{
			key:   n.Name,
			cells: []cell{{say(n.Name), bold}, {say(n.Region), plain}, state, round, running, {say(n.Address), faint}},
			more:  paragraphs(n.Name+" at "+n.Address+", "+n.State+since(n.Since, now), n.Why),
		}
	}
	return rows
}

// since words how long something has been so, if that is known.
func since(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	return " for " + span(now.Sub(at))
}

// paragraphs are those texts that are not empty.
func paragraphs(texts ...string) (more []clean) {
	for _, text := range texts {
		if text != "" {
			more = append(more, say(text))
		}
	}
	return more
}

// phase is a server's phase in words.
var phases = map[enrollv1.ServerPhase]cell{
	enrollv1.ServerPhase_SERVER_PHASE_IDLE:     {"○ idle", faint},
	enrollv1.ServerPhase_SERVER_PHASE_STARTING: {"◐ starting", warning},
	enrollv1.ServerPhase_SERVER_PHASE_RUNNING:  {"● running", good},
	enrollv1.ServerPhase_SERVER_PHASE_WAITING:  {"✗ away", bad},
	enrollv1.ServerPhase_SERVER_PHASE_REFUSED:  {"✗ refused", bad},
}

func serverRows(reports []*enrollv1.ServerReport, now time.Time) []row {
	rows := make([]row, len(reports))
	for i, r := range reports {
		state, known := phases[r.GetPhase()]
		if !known {
			state = cell{"? unknown", warning}
		}
		kind, from := "stdio", "control plane"
		if strings.HasPrefix(r.GetWhat(), "http://") || strings.HasPrefix(r.GetWhat(), "https://") {
			kind = "HTTP"
		}
		if r.GetLocal() {
			from = "file"
		}
		pid, up, restarts := cell{"-", faint}, cell{"-", faint}, cell{"-", faint}
		if r.GetPid() != 0 {
			pid.text = say(strconv.Itoa(int(r.GetPid())))
		}
		if r.GetStartedAt() != nil {
			up = cell{say(span(now.Sub(r.GetStartedAt().AsTime()))), plain}
		}
		if r.GetRestarts() > 0 {
			restarts = cell{say(thousands(r.GetRestarts())), warning}
		}
		line := ""
		if r.GetLastLine() != "" {
			line = "It is still starting; its last line: " + r.GetLastLine()
		}
		rows[i] = row{
			key:   r.GetName(),
			cells: []cell{{say(r.GetName()), bold}, {say(kind), plain}, state, pid, up, restarts, {say(from), plain}, {say(r.GetLastError()), faint}},
			more:  paragraphs(about(r, kind), r.GetLastError(), line),
		}
	}
	return rows
}

// about is what a server is.
func about(r *enrollv1.ServerReport, kind string) string {
	if kind == "HTTP" || r.GetProcesses() < 2 {
		return r.GetWhat()
	}
	return fmt.Sprintf("%s (%d processes)", r.GetWhat(), r.GetProcesses())
}

func callRows(list []calls.Call, now time.Time) []row {
	rows := make([]row, len(list))
	for i, c := range list {
		took, result := cell{say(trip(c.Took)), plain}, cell{say(c.Outcome), plain}
		switch {
		case c.Running:
			took, result = cell{say(span(now.Sub(c.Began))), accent}, cell{"… running", accent}
		case c.Failed:
			result.style = bad
		}
		method := cell{say(strings.TrimSpace(c.Method + " " + c.Subject)), plain}
		if strings.HasPrefix(c.Method, "(") {
			method.style = faint
		}
		rows[i] = row{
			key: strconv.FormatUint(c.Number, 10),
			cells: []cell{{say(c.Began.In(now.Location()).Format(time.TimeOnly)), faint}, {say(c.Server), bold}, method,
				took, result},
			more: paragraphs(strings.Join(strings.Fields(c.Server+" "+c.Method+" "+c.Subject), " "), cmp.Or(c.Outcome, "It runs.")),
		}
	}
	return rows
}

func logRows(lines []Line, zone *time.Location) []row {
	rows := make([]row, len(lines))
	for i, l := range lines {
		text := say(l.Message)
		if l.Attributes != "" {
			text += "  " + say(l.Attributes)
		}
		rows[i] = row{
			key: strconv.FormatUint(l.Number, 10), level: l.Level,
			cells: []cell{{say(l.Time.In(zone).Format(time.TimeOnly)), faint}, levelCell(l.Level), {text, plain}},
			more:  []clean{text},
		}
	}
	return rows
}

func levelCell(level slog.Level) cell {
	switch {
	case level >= slog.LevelError:
		return cell{"ERROR", bad}
	case level >= slog.LevelWarn:
		return cell{"WARN", warning}
	case level >= slog.LevelInfo:
		return cell{"INFO", good}
	}
	return cell{"DEBUG", faint}
}
