package terminal

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/agent/internal/calls"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// busy is the state of an agent at which all there is to see happens.
func busy() State {
	return State{
		Now: noon,
		Uplink: Uplink{Connected: true, Since: noon.Add(-133 * time.Minute), Nodes: []Node{
			{Name: "eu-1", Region: "eu", Address: "node1.corp:8445", State: "ready", Up: true, RoundTrip: 3200 * time.Microsecond, Calls: 2},
			{Name: "eu-2", Region: "eu", Address: "node2.corp:8445", State: "lost", Since: noon.Add(-time.Minute), Why: "connection refused by the other end"},
		}},
		Servers: []*enrollv1.ServerReport{
			{Name: "files", Local: true, Phase: enrollv1.ServerPhase_SERVER_PHASE_RUNNING, What: "npx -y server-filesystem /home/ana", Pid: 4711, StartedAt: timestamppb.New(noon.Add(-65 * time.Second)), Processes: 3, Restarts: 7},
			{Name: "shell", Phase: enrollv1.ServerPhase_SERVER_PHASE_REFUSED, What: "sh -c id", LastError: "the agent's file does not allow sh"},
			{Name: "wiki", Local: true, Phase: enrollv1.ServerPhase_SERVER_PHASE_WAITING, What: "http://127.0.0.1:3001/mcp", LastError: "dial tcp: connection refused"},
		},
		Calls: []calls.Call{
			{Number: 1, Server: "files", Method: "tools/call", Subject: "read_file", Began: noon.Add(-9 * time.Second), Took: 12 * time.Millisecond, Outcome: "ok"},
			{Number: 2, Server: "wiki", Method: "tools/call", Subject: "search", Began: noon.Add(-5 * time.Second), Took: 3 * time.Second, Outcome: "HTTP 502 Bad Gateway", Failed: true},
			{Number: 3, Server: "files", Method: "tools/call", Subject: "write_file", Began: noon.Add(-2 * time.Second), Running: true},
		},
		Logs: []Line{
			{Number: 1, Time: noon, Level: slog.LevelInfo, Message: "agent is up", Attributes: "agent=laptop"},
			{Number: 2, Time: noon, Level: slog.LevelWarn, Message: "server is not served", Attributes: "server=shell"},
			{Number: 3, Time: noon, Level: slog.LevelError, Message: "the agent's file cannot be used"},
		},
	}
}

// model is a model that has got a size and messages.
func model(t *testing.T, columns, lines int, messages ...tea.Msg) Model {
	t.Helper()
	var m tea.Model = NewModel(Facts{Agent: "laptop", Region: "eu", ControlPlane: "control.corp:8444", Version: "v1.2.3", Started: noon.Add(-2 * time.Hour)}, nil)
	for _, message := range append([]tea.Msg{tea.WindowSizeMsg{Width: columns, Height: lines}}, messages...) {
		m, _ = m.Update(message)
	}
	return m.(Model)
}

// keys are key presses.
func keys(names ...string) (messages []tea.Msg) {
	codes := map[string]rune{
		"tab": tea.KeyTab, "enter": tea.KeyEnter, "esc": tea.KeyEscape, "up": tea.KeyUp, "down": tea.KeyDown, "home": tea.KeyHome,
		"end": tea.KeyEnd, "backspace": tea.KeyBackspace, "pgup": tea.KeyPgUp,
	}
	for _, name := range names {
		if code, special := codes[name]; special {
			messages = append(messages, tea.KeyPressMsg{Code: code})
			continue
		}
		for _, r := range name {
			messages = append(messages, tea.KeyPressMsg{Code: r, Text: string(r)})
		}
	}
	return messages
}

func press(m Model, names ...string) Model {
	for _, key := range keys(names...) {
		next, _ := m.Update(key)
		m = next.(Model)
	}
	return m
}

// screen is what is seen, without styles. It fails if that is not as large as the screen, line by line.
func screen(t *testing.T, m Model) string {
	t.Helper()
	seen := ansi.Strip(m.View().Content)
	if strings.ContainsFunc(seen, func(r rune) bool { return r < ' ' && r != '\n' }) {
		t.Errorf("something on the screen moves the cursor: %q", seen)
	}
	lines := strings.Split(seen, "\n")
	if len(lines) != m.height {
		t.Errorf("%d×%d: it has %d lines", m.width, m.height, len(lines))
	}
	for i, line := range lines {
		if w := ansi.StringWidth(line); w != m.width {
			t.Errorf("%d×%d: line %d is %d wide: %q", m.width, m.height, i, w, line)
		}
	}
	return seen
}

// sees fails unless all of the texts are on the screen.
func sees(t *testing.T, m Model, texts ...string) {
	t.Helper()
	seen := screen(t, m)
	for _, text := range texts {
		if !strings.Contains(seen, text) {
			t.Errorf("%q is not to be seen:\n%s", text, seen)
		}
	}
}

// misses fails if one of the texts is on the screen.
func misses(t *testing.T, m Model, texts ...string) {
	t.Helper()
	seen := screen(t, m)
	for _, text := range texts {
		if strings.Contains(seen, text) {
			t.Errorf("%q is to be seen:\n%s", text, seen)
		}
	}
}

// What a program says while it starts is no error of it (npx and its like warn, and tell of what they fetch).
func TestTheLineOfAServerThatStartsIsNoError(t *testing.T) {
	s := busy()
	s.Servers = []*enrollv1.ServerReport{{Name: "files", Phase: enrollv1.ServerPhase_SERVER_PHASE_STARTING, What: "npx files", LastLine: "npm warn deprecated inflight"}}
	m := press(model(t, 120, 24, s), "2")
	sees(t, m, "◐ starting", "It is still starting; its last line: npm warn deprecated inflight")
	if n := strings.Count(screen(t, m), "npm warn"); n != 1 {
		t.Errorf("the line is shown %d times, also as an error:\n%s", n, screen(t, m))
	}
}

func TestASmallScreenShowsOnePaneAtATime(t *testing.T) {
	m := model(t, 80, 24, busy())
	sees(t, m, "warder agent  laptop · eu", "up 2h 00m  v1.2.3", "control plane control.corp:8444", "● connected for 2h 13m",
		"1 Nodes 2", "2 Servers 3", "3 Calls 3", "4 Logs 3", "ROUND TRIP", "eu-1", "● ready", "3.2 ms", "node1.corp:8445", "○ lost", "q stop")
	misses(t, m, "RESTARTS", "agent is up")
	m = press(m, "2")
	sees(t, m, "files", "● running", "4711", "1m 05s", "7", "file", "✗ refused", "control plane", "stdio", "HTTP", "✗ away")
	misses(t, m, "ROUND TRIP")
	m = press(m, "tab")
	sees(t, m, "11:59:51", "tools/call", "read_file", "12 ms", "ok", "HTTP 502", "… running")
	m = press(m, "4")
	sees(t, m, "12:00:00", "INFO", "agent is up  agent=laptop", "WARN", "server is not served", "ERROR", "l level")
	sees(t, press(m, "tab"), "ROUND TRIP")
}

func TestALargeScreenShowsAllPanes(t *testing.T) {
	m := model(t, 200, 60, busy())
	sees(t, m, "╭─ 1 Nodes 2 ─", "╭─ 2 Servers 3 ─", "╭─ 3 Calls 3 ─", "╭─ 4 Logs 3 ─", "3.2 ms", "● running", "read_file", "agent is up  agent=laptop")
}

func TestTheScreenIsFilledAtEverySize(t *testing.T) {
	hostile := busy()
	hostile.Uplink.Nodes = append(hostile.Uplink.Nodes, Node{Name: strings.Repeat("漢", 50), Address: "👩‍👩‍👧 ⚠️ 🇩🇪 " + strings.Repeat("e\u0301", 90), Why: strings.Repeat("long words ", 90)})
	hostile.Uplink.Connected, hostile.Uplink.Why = false, strings.Repeat("no\n", 200)
	hostile.Servers[0].LastError = strings.Repeat("界", 300)
	hostile.Logs = append(hostile.Logs, Line{Number: 4, Message: strings.Repeat("x", 5000), Attributes: "a\x1b[2Jb"})
	hostile.Dropped = 12345
	for _, size := range [][2]int{{0, 0}, {1, 1}, {10, 3}, {39, 24}, {40, 8}, {41, 9}, {57, 13}, {80, 24}, {139, 60}, {140, 30}, {141, 31}, {200, 60}, {500, 200}} {
		m := model(t, size[0], size[1], hostile)
		if size[0] == 0 {
			if m.View().Content != "" {
				t.Error("something is drawn without a screen")
			}
			continue
		}
		for _, seen := range []Model{m, press(m, "2", "down"), press(m, "3", "up"), press(m, "4", "up", "up"), press(m, "4", "end"), press(m, "?"), press(m, "/", strings.Repeat("filter", 30)), press(m, "/", "nothing", "enter")} {
			screen(t, seen)
		}
	}
}

func TestWhatServersSayMovesNoCursor(t *testing.T) {
	s := busy()
	evil := "\x1b[2J\x1b]0;gone\x07\u202e\r\n\u009b5A"
	s.Servers[0].Name, s.Servers[0].LastError, s.Servers[0].What = "x"+evil, evil, evil
	s.Uplink.Nodes[0] = Node{Name: "y" + evil, Region: evil, Address: evil, State: evil, Why: evil}
	s.Uplink.Connected, s.Uplink.Why = false, evil
	s.Calls[0] = calls.Call{Number: 1, Server: "z" + evil, Method: evil, Subject: evil, Outcome: evil}
	s.Logs[0].Message, s.Logs[0].Attributes = evil, evil
	for _, size := range [][2]int{{80, 24}, {200, 60}} {
		m := model(t, size[0], size[1], s)
		for _, key := range []string{"1", "2", "3", "4"} {
			seen := press(m, key, "home")
			screen(t, seen)
			for _, sequence := range []string{"\x1b[2J", "\x1b]0", "\u009b", "\u202e", "\x07", "\r"} {
				if strings.Contains(seen.View().Content, sequence) {
					t.Errorf("pane %s draws %q", key, sequence)
				}
			}
		}
		sees(t, press(m, "2"), `x\x1b[2J`)
	}
}

func TestTheScreenFollowsItsSize(t *testing.T) {
	m := model(t, 80, 24, busy())
	misses(t, m, "╭─")
	next, _ := m.Update(tea.WindowSizeMsg{Width: 200, Height: 60})
	sees(t, next.(Model), "╭─ 4 Logs")
	next, _ = next.Update(tea.WindowSizeMsg{Width: 20, Height: 4})
	sees(t, next.(Model), "too small: 40×8")
}

func TestAFilterShowsOnlyWhatMatches(t *testing.T) {
	m := press(model(t, 80, 24, busy()), "4", "/", "SHELL")
	sees(t, m, "filter: SHELL█", "4 Logs 1/3 “SHELL”", "server is not served")
	misses(t, m, "agent is up", "cannot be used")
	m = press(m, "q") // It is a letter like any other.
	sees(t, m, "filter: SHELLq█", "Nothing of 3 matches")
	m = press(m, "backspace", "enter")
	sees(t, m, "1/3", "server is not served", "l level")
	m = press(m, "esc")
	sees(t, m, "4 Logs 3", "agent is up")
	m = press(m, "l", "l")
	sees(t, m, "4 Logs 2/3 ≥warn", "server is not served")
	misses(t, m, "agent is up")
	m = press(m, "l")
	misses(t, m, "server is not served")
	sees(t, press(m, "l"), "4 Logs 3", "agent is up")
	sees(t, press(m, "2", "/", "4711"), "2 Servers 1/3", "running")
}

func TestMoreIsSaidOfWhatIsSelected(t *testing.T) {
	m := press(model(t, 80, 24, busy()), "1", "down")
	sees(t, m, "eu-2 at node2.corp:8445, lost for 1m 00s", "connection refused by the other end")
	m = press(m, "2")
	sees(t, m, "npx -y server-filesystem /home/ana (3 processes)")
	sees(t, press(m, "down"), "the agent's file does not allow sh")
}

func TestWhatIsSelectedStaysSoWhenMoreComes(t *testing.T) {
	s := busy()
	m := press(model(t, 80, 24, s), "3", "up")
	if !strings.Contains(m.View().Content, "\x1b[7m 11:59:55") {
		t.Fatalf("the second call is not selected:\n%s", m.View().Content)
	}
	for i := range 100 {
		s.Calls = append(s.Calls[:len(s.Calls):len(s.Calls)], calls.Call{Number: uint64(4 + i), Server: "files", Method: "ping", Began: noon, Outcome: "ok"})
	}
	next, _ := m.Update(s)
	sees(t, next.(Model), "HTTP 502 Bad Gateway", "esc follow")
	if !strings.Contains(next.(Model).View().Content, "\x1b[7m 11:59:55") {
		t.Error("another call is selected")
	}
	misses(t, press(next.(Model), "esc"), "HTTP 502")
	misses(t, press(next.(Model), "end"), "HTTP 502")
}

func TestAFloodOfLogsShowsTheNewest(t *testing.T) {
	journal := NewJournal(slog.DiscardHandler)
	log := slog.New(allLevels{journal.Handler()})
	l := &looker{source: Source{Uplink: func() Uplink { return Uplink{} }, File: func() string { return "" }, Servers: func() []*enrollv1.ServerReport { return nil }, Calls: calls.NewLog(), Journal: journal}}
	m := press(model(t, 80, 24), "4")
	for i := range 20 {
		for j := range 500 {
			log.Info("flood", "line", i*500+j)
		}
		next, _ := m.Update(l.look())
		m = next.(Model)
		sees(t, m, fmt.Sprintf("flood  line=%d ", i*500+499))
	}
	sees(t, m, "4 Logs 1,000", "9,000 older dropped")
}

func TestQuittingStopsTheAgent(t *testing.T) {
	for _, key := range []tea.KeyPressMsg{{Code: 'q', Text: "q"}, {Code: 'c', Mod: tea.ModCtrl}} {
		m := model(t, 80, 24, busy())
		next, command := m.Update(key)
		if command == nil || !next.(Model).quit {
			t.Fatalf("%s does not quit", key)
		}
		if _, quits := command().(tea.QuitMsg); !quits {
			t.Errorf("%s does something else", key)
		}
	}
	m := press(model(t, 80, 24, busy()), "/")
	if next, _ := m.Update(tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}); !next.(Model).quit {
		t.Error("ctrl-c does not quit while a filter is typed")
	}
}

func TestHelpNamesTheKeysAndGoesAway(t *testing.T) {
	m := press(model(t, 80, 24, busy()), "?")
	sees(t, m, "nodes, servers, calls, logs", "stop the agent: running calls may end first", "any key closes this")
	sees(t, press(m, "x"), "ROUND TRIP")
}

func TestAnAwayControlPlaneSaysWhy(t *testing.T) {
	s := busy()
	s.Uplink = Uplink{Since: noon.Add(-3 * time.Minute), Why: "connection refused"}
	sees(t, model(t, 80, 24, s), "✗ away for 3m 00s: connection refused", "No node is known yet")
	sees(t, model(t, 80, 24), "not reached yet")
}

func TestAFileThatCannotBeUsedIsShownUntilItIsMended(t *testing.T) {
	broken := busy()
	broken.File = "/home/ana/agent.yaml: line 3, column 5: unknown field"
	for _, size := range [][2]int{{minWidth, minHeight}, {100, 24}, {140, 30}} {
		m := model(t, size[0], size[1], broken)
		seen := strings.Join(strings.Fields(screen(t, m)), " ")
		if size[0] > minWidth && !strings.Contains(seen, "line 3, column 5: unknown field") || !strings.Contains(seen, "✗ what was read before") {
			t.Errorf("%v: %s", size, seen)
		}
		next, _ := m.Update(busy())
		misses(t, next.(Model), "what was read before")
	}
}

func TestACallIsShownWithItsNameWhereThereIsLittleRoom(t *testing.T) {
	m := model(t, 140, 30, busy())
	sees(t, m, "tools/call read_file", "tools/call write_file")
}
